"""A table of values: each column says what it shows and by what it sorts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import QAbstractTableModel, QModelIndex, QObject, QPersistentModelIndex, Qt

from qtquant_app.core.quantities import NOTHING
from qtquant_app.gui.export import Numbers
from qtquant_app.gui.widgets.text import cell_text, plain_tip

Index = QModelIndex | QPersistentModelIndex


@dataclass(frozen=True, slots=True)
class Column:
    """One column over rows of some type. `sample` is a text as wide as any usual one.

    A file of numbers takes `value`, in `unit`; without it the key of a column of numbers, and else the text.
    """

    title: str
    text: Callable[[Any], str]
    key: Callable[[Any], Any]
    sample: str = ""
    number: bool = False
    tip: Callable[[Any], str] | None = None
    value: Callable[[Any], object] | None = None
    unit: str = ""

    @property
    def heading(self) -> str:
        """The title with the unit of its values."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    def exported(self, row: Any) -> object:
        """What a file says of `row`: a number in full, a text, or None where there is nothing."""
        if self.value is not None:
            return self.value(row)
        text = self.text(row)
        if text == NOTHING:
            return None
        key = self.key(row) if self.number else None
        return key if isinstance(key, (int, float)) else text


class RowsModel(QAbstractTableModel):
    """Rows in the order given, or sorted by a column. Texts are made only for the rows that show."""

    def __init__(self, columns: Sequence[Column], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.columns = tuple(columns)
        self._rows: list[Any] = []
        self._order: list[int] = []
        """Position on screen to position in `_rows`."""
        self._sorted_by: tuple[int, Qt.SortOrder] = (-1, Qt.SortOrder.AscendingOrder)

    def set_rows(self, rows: Iterable[Any]) -> None:
        """Replaces all rows, keeping the chosen sorting."""
        self.beginResetModel()
        self._rows = list(rows)
        self._order = self._sorted()
        self.endResetModel()

    def row(self, at: int) -> Any:
        """The value shown in row `at`."""
        return self._rows[self._order[at]]

    def tabbed(self, rows: Iterable[int]) -> str:
        """Titles and the given rows as text with tabs."""
        lines = ["\t".join(column.title for column in self.columns)]
        lines += ["\t".join(column.text(self.row(i)) for column in self.columns) for i in rows]
        return "\n".join(lines) + "\n"

    def numbers(self) -> Numbers:
        """Titles and all rows in the order shown, for a file. The rows are worked out where they are written."""
        rows, columns = [self._rows[at] for at in self._order], self.columns
        return [column.heading for column in columns], ([column.exported(row) for column in columns] for row in rows)

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(self._rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        return 0 if parent.isValid() else len(self.columns)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if not index.isValid():
            return None
        column = self.columns[index.column()]
        match role:
            case Qt.ItemDataRole.DisplayRole:
                return cell_text(column.text(self.row(index.row())))
            case Qt.ItemDataRole.TextAlignmentRole if column.number:
                return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            case Qt.ItemDataRole.ToolTipRole:
                return plain_tip((column.tip or column.text)(self.row(index.row())))
            case _:
                return None

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if orientation != Qt.Orientation.Horizontal or not 0 <= section < len(self.columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self.columns[section].title
        if role == Qt.ItemDataRole.TextAlignmentRole and self.columns[section].number:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        self._sorted_by = (column, order)
        self.layoutAboutToBeChanged.emit()
        before = self.persistentIndexList()
        held = [self._order[index.row()] for index in before]
        self._order = self._sorted()
        places = {row: at for at, row in enumerate(self._order)}
        self.changePersistentIndexList(
            before, [self.index(places[row], index.column()) for row, index in zip(held, before, strict=True)]
        )
        self.layoutChanged.emit()

    def _sorted(self) -> list[int]:
        column, order = self._sorted_by
        if column < 0:
            return list(range(len(self._rows)))
        keys = [self.columns[column].key(row) for row in self._rows]
        return sorted(range(len(keys)), key=keys.__getitem__, reverse=order == Qt.SortOrder.DescendingOrder)
