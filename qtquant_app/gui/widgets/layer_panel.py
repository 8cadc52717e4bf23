"""The layer tree with its filter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from PySide6.QtCore import (
    QEvent,
    QItemSelectionModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QSignalBlocker,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeView,
    QVBoxLayout,
    QWidget,
)

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import UsageError
from qtquant_app.core.quantities import TIMES
from qtquant_app.gui.models.tensor_tree import Column, TensorTree
from qtquant_app.gui.theme import tabular
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Text

OPEN_ALL_UP_TO = 300
"""A filter that leaves no more tensors than this shows them at once, their blocks open."""
FILTER_DELAY_MS = 60
SAMPLES = {
    Column.NAME: "model.layers.10 mlp",
    Column.SCHEME: "W4 g128 sym",
    Column.SQNR: "24.31 dB ",
    Column.BYTES: "1.23 GB ",
    Column.SHAPE: f"128256 {TIMES} 8192 ",
    Column.KIND: "embedding ",
    Column.DTYPE: "F8_E4M3 ",
}


class AiryRows(QStyledItemDelegate):
    """Rows with a little air between them."""

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex | QPersistentModelIndex) -> QSize:
        return super().sizeHint(option, index) + QSize(0, 4)


class LayerPanel(QWidget):
    """Chooses a tensor. `chosen` says which; `choose` makes the choice from outside, in silence."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = TensorTree(self)
        self.filter_edit = QLineEdit()
        self.kind_combo = ChoiceBox()
        self.flat_check = QCheckBox("F&lat")
        self.tree = QTreeView()
        self.footer = Text(muted=True, wrap=True)
        self._name = ""
        self._open: set[int] = set()
        """The rows a person opened; a filter opens others, and taking it away comes back to these."""
        self._timer = QTimer(self, singleShot=True, interval=FILTER_DELAY_MS)
        self._name_widgets()
        self._set_up_tree()
        self._lay_out()
        self._connect()
        self._count()

    def set_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        """Shows the tensors of `checkpoint`."""
        tensors = checkpoint.tensors if checkpoint else ()
        self._name, self._open = "", set()
        self.model.set_tensors(tensors)
        with QSignalBlocker(self.kind_combo):
            kind = self.kind_combo.currentData()
            self.kind_combo.clear()
            self.kind_combo.addItem("All kinds", "")
            for name, count in sorted(Counter(tensor.kind.value for tensor in tensors).items()):
                self.kind_combo.addItem(f"{name} ({count:,})", name)
            self.kind_combo.setCurrentIndex(max(0, self.kind_combo.findData(kind)))
        self._refilter()
        self._open_first_block()

    def _open_first_block(self) -> None:
        """The first block stands open: it shows what a block holds, and most checkpoints have but one kind."""
        blocks = (self.model.index(row, 0) for row in range(self.model.rowCount()))
        first = next((index for index in blocks if self.model.rowCount(index)), None)
        if first is not None:
            self.tree.expandRecursively(first, 1)

    def choose(self, name: str) -> None:
        """Shows the tensor `name` as the one chosen."""
        if name == self._name:
            return
        self._name = name
        self._show_choice()

    def _name_widgets(self) -> None:
        self.filter_edit.setObjectName("layerFilter")
        self.filter_edit.setAccessibleName("Filter the tensors")
        self.filter_edit.setPlaceholderText("Filter by name")
        self.filter_edit.setToolTip(
            "Words of the name, a glob such as *.mlp.*, or re: and a regular expression (Ctrl+F)"
        )
        self.filter_edit.setClearButtonEnabled(True)
        self.kind_combo.setObjectName("kindCombo")
        self.kind_combo.setAccessibleName("Kind of tensor")
        self.flat_check.setObjectName("flatCheck")
        self.flat_check.setAccessibleName("Flat list")
        self.flat_check.setToolTip("One list of all tensors, to sort them across blocks")
        self.tree.setObjectName("layerTree")
        self.tree.setAccessibleName("Tensors of the checkpoint")

    def _set_up_tree(self) -> None:
        tree = self.tree
        tree.setModel(self.model)
        tree.setUniformRowHeights(True)
        tree.setItemDelegate(AiryRows(tree))
        tree.setAlternatingRowColors(True)
        tree.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        tree.setFont(tabular(tree.font()))
        tree.setIndentation(14)
        header = tree.header()
        header.setSectionsMovable(True)
        header.setStretchLastSection(False)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setSortIndicator(Column.NAME, Qt.SortOrder.AscendingOrder)
        tree.setSortingEnabled(True)
        for column, sample in SAMPLES.items():
            header.resizeSection(column, tree.fontMetrics().horizontalAdvance(sample) + 16)
        tree.installEventFilter(self)

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.kind_combo, 1)
        row.addWidget(self.flat_check)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self.filter_edit)
        column.addLayout(row)
        column.addWidget(self.tree, 1)
        column.addWidget(self.footer)

    def _connect(self) -> None:
        self.filter_edit.textChanged.connect(self._timer.start)
        self.filter_edit.returnPressed.connect(self.tree.setFocus)
        self._timer.timeout.connect(self._refilter)
        self.kind_combo.currentIndexChanged.connect(self._refilter)
        self.flat_check.toggled.connect(self._refilter)
        self.tree.expanded.connect(self._opened)
        self.tree.collapsed.connect(self._closed)
        self._watch_selection()
        QShortcut(QKeySequence.StandardKey.Find, self, self.focus_filter)

    def _watch_selection(self) -> None:
        self.tree.selectionModel().currentChanged.connect(self._picked)

    def focus_filter(self) -> None:
        """Ctrl+F: the filter line takes the keyboard."""
        self.filter_edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter_edit.selectAll()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        pressed = watched is self.tree and event.type() == QEvent.Type.KeyPress
        if pressed and isinstance(event, QKeyEvent) and event.matches(QKeySequence.StandardKey.Copy):
            self._copy_name()
            return True
        return super().eventFilter(watched, event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.filter_edit.text():
            self.filter_edit.clear()
        elif event.key() == Qt.Key.Key_Down and self.filter_edit.hasFocus():
            self.tree.setFocus()
        else:
            super().keyPressEvent(event)

    def _copy_name(self) -> None:
        tensor = self.model.tensor(self.tree.currentIndex())
        if tensor is not None:
            QGuiApplication.clipboard().setText(tensor.name)

    def _picked(self, current: QModelIndex) -> None:
        tensor = self.model.tensor(current) if current.isValid() else None
        if tensor is not None and tensor.name != self._name:
            self._name = tensor.name
            self.chosen.emit(tensor.name)

    def _show_choice(self) -> None:
        index = self.model.index_of(self._name)
        if index.isValid():
            flags = QItemSelectionModel.SelectionFlag
            self.tree.selectionModel().setCurrentIndex(index, flags.ClearAndSelect | flags.Rows)
            self.tree.scrollTo(index)
        elif not self._name:
            self.tree.selectionModel().clear()

    def _opened(self, index: QModelIndex) -> None:
        if not self.filter_edit.text():
            self._open.add(self.model.key(index))

    def _closed(self, index: QModelIndex) -> None:
        if not self.filter_edit.text():
            self._open.discard(self.model.key(index))

    def _refilter(self) -> None:
        text = self.filter_edit.text()
        try:
            self.model.set_filter(text, self.kind_combo.currentData() or "", self.flat_check.isChecked())
        except UsageError as error:
            self.footer.setText(error.message)
            return
        flat = self.flat_check.isChecked()
        self.tree.setRootIsDecorated(not flat)
        side = Qt.TextElideMode.ElideLeft if flat else Qt.TextElideMode.ElideMiddle
        self.tree.setTextElideMode(side)  # whole names differ at their ends
        self._reopen(text)
        self._show_choice()
        self._count()

    def _reopen(self, text: str) -> None:
        with QSignalBlocker(self.tree):
            if text and self.model.matching <= OPEN_ALL_UP_TO:
                self.tree.expandAll()
            elif not text:
                for index in self._rows_to_open():
                    self.tree.expand(index)

    def _rows_to_open(self) -> Iterator[QModelIndex]:
        for key in sorted(self._open):
            index = self.model.index_of_key(key)
            if index.isValid():
                yield index

    def _count(self) -> None:
        model = self.model
        if not model.total:
            self.footer.setText("No checkpoint is open")
        elif model.matching == model.total:
            self.footer.setText(f"{model.total:,} tensors")
        elif model.matching:
            self.footer.setText(f"{model.matching:,} of {model.total:,} tensors")
        else:
            self.footer.setText("No tensor matches; Escape clears the filter")
