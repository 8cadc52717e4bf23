"""What a scheme costs and loses, as a table that can be copied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractItemView, QFrame, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from qtquant_app.gui.export import Numbers
from qtquant_app.gui.theme import tabular
from qtquant_app.gui.widgets.export_menu import table_menu


class MetricsTable(QTableWidget):
    """Two columns: a measure and its value with the unit. Ctrl+C copies the selected rows, or all of them."""

    def __init__(self, name: str, spoken: str, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self.setObjectName(name)
        self.setAccessibleName(spoken)
        self.setFont(tabular(self.font()))
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._raw: dict[str, object] = {}
        self.menu = table_menu(self, self.numbers, self.copy)
        self.horizontalHeader().hide()
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 4)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)

    def set_rows(self, rows: Sequence[tuple[str, str]], raw: Mapping[str, object] | None = None) -> None:
        """Shows `rows` of measure and value. `raw` has the numbers behind the values, by measure, for files."""
        self._raw = dict(raw or {})
        self.setRowCount(len(rows))
        for row, (measure, value) in enumerate(rows):
            self.setItem(row, 0, QTableWidgetItem(measure))
            item = QTableWidgetItem(value)
            item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.setItem(row, 1, item)
        self.setFixedHeight(self.verticalHeader().defaultSectionSize() * len(rows) + 2 * self.frameWidth())

    def numbers(self) -> Numbers:
        """The measures and their values, for a file: in full where `set_rows` was given them."""
        return ("Measure", "Value"), [(measure, self._raw.get(measure, text)) for measure, text in self.values.items()]

    @property
    def values(self) -> dict[str, str]:
        """What it shows, by measure."""
        return {self._cell(row, 0): self._cell(row, 1) for row in range(self.rowCount())}

    def copy(self) -> None:
        """Puts the selected rows, or all where none is, on the clipboard: tabs between columns, one line a row."""
        selected = sorted({index.row() for index in self.selectedIndexes()}) or range(self.rowCount())
        lines = (f"{self._cell(row, 0)}\t{self._cell(row, 1)}" for row in selected)
        QGuiApplication.clipboard().setText("\n".join(lines))

    def _cell(self, row: int, column: int) -> str:
        item = self.item(row, column)
        return item.text() if item is not None else ""
