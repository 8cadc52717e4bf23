"""The tree of tensors: one is looked at, several may be chosen, and filters take neither choice away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSignalBlocker,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QWidget,
)

from qtquant_app.core.quantities import TIMES
from qtquant_app.gui.export import Numbers
from qtquant_app.gui.models.tensor_cells import WARNING
from qtquant_app.gui.models.tensor_marks import Marks
from qtquant_app.gui.models.tensor_tree import Column, TensorTree
from qtquant_app.gui.theme import tabular
from qtquant_app.gui.widgets.export_menu import Entries, table_menu

OPEN_ALL_UP_TO = 300
"""A filter that leaves no more tensors than this shows them at once, their blocks open."""
MARKED_UP_TO = 500
"""So many chosen rows are chosen again after a filter; of more only the one looked at."""
SELECTED_UP_TO = 64
"""Of a choice made from outside, so many stretches of rows are selected in Qt, which compares each with each; others look so."""
OPENED_UP_TO = 1_500
"""What such a choice stands in opens, where no more rows than this come into sight."""
HEADER = ("Name", "Flags", "Scheme", "SQNR (dB)", "Bytes", "Shape", "Kind", "Type")
SAMPLES = {
    Column.NAME: "model.layers.10 mlp",
    Column.FLAGS: f"{WARNING} extreme outliers ",
    Column.SCHEME: "W4 g128 sym",
    Column.SQNR: "24.31 dB ",
    Column.BYTES: "1.23 GB ",
    Column.SHAPE: f"128256 {TIMES} 8192 ",
    Column.KIND: "embedding ",
    Column.DTYPE: "F8_E4M3 ",
}
_SELECTED = QStyle.StateFlag.State_Selected
_DISPLAY = QStyleOptionViewItem.ViewItemFeature.HasDisplay
_Flag = QItemSelectionModel.SelectionFlag


class AiryRows(QStyledItemDelegate):
    """Rows with a little air between them, in plain text.

    Asking the model for a cell through Qt takes Python seven times, and each time waits its turn where a worker plans or lists; the
    text is therefore taken straight from the model, once.
    """

    def initStyleOption(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> None:
        model = index.model()
        option.index = index  # type: ignore[attr-defined, assignment]
        option.features = _DISPLAY  # type: ignore[attr-defined]
        option.displayAlignment = model.data(index, Qt.ItemDataRole.TextAlignmentRole)  # type: ignore[attr-defined]
        option.text = model.data(index)  # type: ignore[attr-defined]
        view = self.parent()
        if isinstance(view, LayerTree) and view.is_marked(index):
            option.state |= _SELECTED  # type: ignore[attr-defined]
        if index.column() != Column.NAME:
            option.textElideMode = Qt.TextElideMode.ElideRight  # type: ignore[attr-defined]

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return super().sizeHint(option, index) + QSize(0, 4)


class LayerTree(QTreeView):
    """Shows a TensorTree. What is chosen and what is open outlasts filters and sorting."""

    chosen = Signal(str)
    """The tensor looked at, or the part of a stack: `experts.up_proj[3]`."""
    selection_chosen = Signal(object)
    """tuple[str, ...]: all tensors and parts chosen; a block or module stands for what can be quantized below it."""

    def __init__(self, model: TensorTree, parent: QWidget | None = None, more: Entries | None = None) -> None:
        """`more` are further entries of its menu."""
        super().__init__(parent)
        self._rows = model
        self._marks: Marks | None = None
        """A choice made from outside: thousands of rows of it need no selection of Qt's to show as chosen."""
        self._name = ""
        self._names: tuple[str, ...] = ()
        self._marked: list[tuple[str, int]] = []
        self._restoring = False
        self._open: set[int] = set()
        """The rows a person opened; a filter opens others, and taking it away comes back to these."""
        self.setModel(model)
        self._set_up()
        self.menu = table_menu(self, self.table, self.copy, keys=False, more=more)
        model.dataChanged.connect(self.viewport().update)
        self.expanded.connect(self._opened)
        self.collapsed.connect(self._closed)
        self.selectionModel().currentChanged.connect(self._picked)
        self.selectionModel().selectionChanged.connect(self._marks_changed)

    @property
    def names(self) -> tuple[str, ...]:
        """All that is chosen, in the order of the choice."""
        return self._names

    def forget(self) -> None:
        """Another checkpoint: nothing is chosen, nothing is open."""
        self._name, self._marked, self._marks, self._open = "", [], None, set()
        self._announce(())

    def choose(self, name: str) -> None:
        """Shows the tensor or part `name` as the one looked at, without saying `chosen`."""
        if name == self._name:
            return
        self._name, self._marks = name, None
        self._marked = [(name, -1)] if name else []
        self._show_choice()
        self._announce((name,) if name else ())

    def choose_many(self, names: tuple[str, ...]) -> None:
        """Chooses tensors however many they are; the first is looked at, unless one of them is."""
        if not names:
            return
        elsewhere = self._name not in names
        self._name = names[0] if elsewhere else self._name
        self._marked, self._marks = [], self._rows.marks(names)
        if not self._rows.flat:
            self._open_above(self._marks)
        self._show_choice()
        self._announce(names)
        if elsewhere:
            self.chosen.emit(self._name)

    def is_marked(self, index: QModelIndex | QPersistentModelIndex) -> bool:
        """Whether a choice made from outside holds the row."""
        return self._marks is not None and self._rows.marked(self._marks, index)

    def show_rows(self, first_time: bool) -> None:
        """The model has other rows: opens and chooses among them what was open and chosen; at first the first block."""
        flat = self._rows.flat
        self.setRootIsDecorated(not flat)
        self.setTextElideMode(Qt.TextElideMode.ElideLeft if flat else Qt.TextElideMode.ElideMiddle)  # names differ late
        if first_time:
            self._open_first_block()
        self._reopen()
        self._marks = self._rows.marks(self._names) if self._marks else None
        self._show_choice()

    def table(self) -> Numbers:
        """The rows as they stand, of blocks only what is open. A flat list is made row by row as it is read."""
        if self._rows.flat:
            return HEADER, self._rows.exported_list()
        return HEADER, [self._rows.exported(index) for index in self._visible()]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy):
            self.copy()
        else:
            super().keyPressEvent(event)

    def _set_up(self) -> None:
        self.setObjectName("layerTree")
        self.setAccessibleName("Tensors of the checkpoint")
        self.setUniformRowHeights(True)
        self.setItemDelegate(AiryRows(self))
        self.setAlternatingRowColors(True)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setFont(tabular(self.font()))
        self.setIndentation(14)
        header = self.header()
        header.setSectionsMovable(True)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSortIndicator(Column.NAME, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        for column, sample in SAMPLES.items():
            header.resizeSection(column, self.fontMetrics().horizontalAdvance(sample) + 16)
        self.setColumnHidden(Column.FLAGS, True)

    # What is chosen

    def _picked(self, current: QModelIndex) -> None:
        name = self._rows.name(current) if current.isValid() else ""
        if name and name != self._name and not self._restoring:
            self._name = name
            self.chosen.emit(name)

    def _marks_changed(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        if self._restoring:
            return
        rows = list(self._selected())
        added = sum(stretch.height() for stretch in selected.toList())
        more = self._marks is not None and deselected.isEmpty() and len(rows) > added
        names = self._names if more else ()  # a Ctrl click adds to a choice of which Qt knows a part
        self._marks = None
        self._marked = [(self._rows.name(index), self._rows.key(index)) for index in rows[: MARKED_UP_TO + 1]]
        below = (name for index in rows for name in self._rows.names_below(index))
        self._announce(tuple(dict.fromkeys((*names, *below))))
        self._marks = self._rows.marks(self._names) if more else None
        self.viewport().update()

    def _announce(self, names: tuple[str, ...]) -> None:
        if names != self._names:
            self._names = names
            self.selection_chosen.emit(names)

    def _selected(self) -> Iterator[QModelIndex]:
        for stretch in self.selectionModel().selection().toList():
            for row in range(stretch.top(), stretch.bottom() + 1):
                yield self._rows.index(row, 0, stretch.parent())

    def _show_choice(self) -> None:
        self._restoring = True
        try:
            self._mark_again()
        finally:
            self._restoring = False

    def _mark_again(self) -> None:
        model, chosen = self._rows, QItemSelection()
        marked = self._marked if len(self._marked) <= MARKED_UP_TO else []
        for name, key in marked:
            index = model.index_of(name) if name else model.index_of_key(key)
            if index.isValid():
                chosen.select(index, index)
        for first, last in self._stretches(self._marks) if self._marks else ():
            chosen.select(first, last)
        self.selectionModel().select(chosen, _Flag.ClearAndSelect | _Flag.Rows)
        current = model.index_of(self._name)
        if current.isValid():
            noted = _Flag.NoUpdate if marked else _Flag.Select | _Flag.Rows
            self.selectionModel().setCurrentIndex(current, noted)
            self.scrollTo(current)
        elif not self._name:
            self.selectionModel().clearCurrentIndex()

    def _stretches(self, marks: Marks) -> Iterable[tuple[QModelIndex, QModelIndex]]:
        """What Qt is told to select of a choice."""
        rows = self._rows
        if not rows.flat:
            nodes, _ = marks.cover(SELECTED_UP_TO)
            return ((index, index) for index in (rows.index_of_key(node.number) for node in nodes))
        found = islice(marks.stretches(rows.rowCount()), SELECTED_UP_TO)
        return ((rows.index(first, 0), rows.index(last, 0)) for first, last in found)

    # What is open

    def _open_above(self, marks: Marks) -> None:
        """Opens what the rows of a choice stand in, if not too much comes into sight."""
        nodes, all_of_it = marks.cover(OPENED_UP_TO)
        above: dict[int, QModelIndex] = {}
        for node in nodes if all_of_it else ():
            index = self._rows.index_of_key(node.number).parent()
            while index.isValid() and self._rows.key(index) not in above:
                above[self._rows.key(index)] = index
                index = index.parent()
        if sum(map(self._rows.rowCount, above.values())) <= OPENED_UP_TO:
            for _, index in sorted(above.items()):
                self.expand(index)

    def _opened(self, index: QModelIndex) -> None:
        if not self._rows.text:
            self._open.add(self._rows.key(index))

    def _closed(self, index: QModelIndex) -> None:
        if not self._rows.text:
            self._open.discard(self._rows.key(index))

    def _open_first_block(self) -> None:
        """The first block stands open: it shows what a block holds, and most checkpoints have but one kind."""
        blocks = (self._rows.index(row, 0) for row in range(self._rows.rowCount()))
        first = next((index for index in blocks if self._rows.tensor(index) is None), None)
        if first is not None and not self._rows.flat:
            self.expandRecursively(first, 1)

    def _reopen(self) -> None:
        with QSignalBlocker(self):
            if self._rows.text and self._rows.matching <= OPEN_ALL_UP_TO:
                self._open_groups(QModelIndex())
            elif not self._rows.text:
                for key in sorted(self._open):
                    index = self._rows.index_of_key(key)
                    if index.isValid():
                        self.expand(index)

    def _open_groups(self, above: QModelIndex) -> None:
        """Opens blocks and modules, not stacks of experts."""
        for row in range(self._rows.rowCount(above)):
            index = self._rows.index(row, 0, above)
            if self._rows.tensor(index) is None:
                self.expand(index)
                self._open_groups(index)

    # Taking it away

    def _visible(self) -> Iterator[QModelIndex]:
        index = self._rows.index(0, 0)
        while index.isValid():
            yield index
            index = self.indexBelow(index)

    def copy(self) -> None:
        """One row as its name; several as a table that a spreadsheet takes."""
        rows = sorted(self._selected(), key=lambda index: self.visualRect(index).top())
        if len(rows) > 1:
            lines = [HEADER, *(self._rows.exported(index) for index in rows)]
            text = "\n".join("\t".join("" if cell is None else str(cell) for cell in line) for line in lines)
            QGuiApplication.clipboard().setText(text)
        elif name := self._rows.name(self.currentIndex()):
            QGuiApplication.clipboard().setText(name)
