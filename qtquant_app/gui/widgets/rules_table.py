"""The table of rules: edited in place, dragged into another order, worked by keyboard."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import (
    QAbstractItemModel,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QSize,
    Qt,
    Signal,
)
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import (
    QAbstractItemDelegate,
    QAbstractItemView,
    QComboBox,
    QLineEdit,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from qtquant_app.gui.models.rule_table import PATTERN, SCHEME, RuleTable
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.rule_line import fill_schemes
from qtquant_app.gui.widgets.table import Table

Index = QModelIndex | QPersistentModelIndex
LEAST_ROWS = 3
EMPTY = (
    "No rules: every linear layer gets the scheme at the left, and output heads are kept. Write a rule below, or choose "
    "tensors on the Inspect page and add them as one."
)


class RulesTable(Table):
    """Shows a RuleTable. Alt+Up and Alt+Down, Delete, F2 and Enter do what dragging and clicking do."""

    removal_wanted = Signal()
    step_wanted = Signal(int)
    """-1: up, 1: down."""

    def __init__(self, model: RuleTable) -> None:
        super().__init__(model, "rulesTable", "Rules of the recipe")
        self._rules = model
        self._schemes = SchemeDelegate(self)
        self.setSortingEnabled(False)  # the order decides
        self.setItemDelegateForColumn(PATTERN, PatternDelegate(self))
        self.setItemDelegateForColumn(SCHEME, self._schemes)
        triggers = QAbstractItemView.EditTrigger
        self.setEditTriggers(triggers.DoubleClicked | triggers.EditKeyPressed)
        self.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self.setDragDropOverwriteMode(False)
        self.setDropIndicatorShown(True)
        self.setToolTip("Drag a rule, or Alt+Up and Alt+Down, to change the order; F2 edits it, Delete removes it")
        self.set_empty_text(EMPTY)
        self._add_keys()

    def sizeHint(self) -> QSize:
        """A few rows; it takes what room there is."""
        rows = LEAST_ROWS * self.verticalHeader().defaultSectionSize()
        return QSize(super().sizeHint().width(), self.horizontalHeader().sizeHint().height() + rows)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint().boundedTo(QSize(super().minimumSizeHint().width(), self.sizeHint().height()))

    def chosen(self) -> tuple[int, ...]:
        """The rules chosen, in their order."""
        return tuple(sorted(index.row() for index in self.selectionModel().selectedRows()))

    def choose(self, rows: Sequence[int]) -> None:
        """Chooses these rules; the first becomes the current one."""
        flags = QItemSelectionModel.SelectionFlag
        selection = self.selectionModel()
        selection.clearSelection()
        there = [row for row in rows if 0 <= row < self._rules.rowCount()]
        for row in there:
            selection.select(self._rules.index(row, 0), flags.Select | flags.Rows)
        if there:
            selection.setCurrentIndex(self._rules.index(there[0], 0), flags.NoUpdate)
            self.scrollTo(self._rules.index(there[0], 0))

    def set_schemes(self, labels: Sequence[str]) -> None:
        """Schemes to offer besides the common ones, where one is edited."""
        self._schemes.labels = tuple(labels)

    def edit_current(self) -> None:
        """Opens the editor of the current cell; of the pattern, where the cell cannot be edited."""
        index = self.currentIndex()
        if index.isValid() and self.state() != QAbstractItemView.State.EditingState:
            self.edit(index if index.column() in (PATTERN, SCHEME) else index.siblingAtColumn(PATTERN))

    def _add_keys(self) -> None:
        for keys, do in (
            ("Delete", self.removal_wanted.emit),
            ("Alt+Up", lambda: self.step_wanted.emit(-1)),
            ("Alt+Down", lambda: self.step_wanted.emit(1)),
            ("Return", self.edit_current),
            ("Enter", self.edit_current),
        ):
            shortcut = QShortcut(QKeySequence(keys), self, context=Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(do)


class PatternDelegate(QStyledItemDelegate):
    """A line for the pattern."""

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        line = QLineEdit(parent)
        line.setObjectName("rulePatternEdit")
        line.setAccessibleName("Pattern of the rule")
        return line


class SchemeDelegate(QStyledItemDelegate):
    """A list of schemes, in which any other can be written."""

    labels: tuple[str, ...] = ()

    def createEditor(self, parent: QWidget, option: QStyleOptionViewItem, index: Index) -> QWidget:
        combo = ChoiceBox(parent)
        combo.setObjectName("ruleSchemeEdit")
        combo.setAccessibleName("Scheme of the rule")
        combo.setEditable(True)
        combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        combo.setEditText(str(index.data()))
        fill_schemes(combo, (str(index.data()), *self.labels))
        combo.activated.connect(lambda _row: self._taken(combo))
        return combo

    def setEditorData(self, editor: QWidget, index: Index) -> None:
        if isinstance(editor, QComboBox) and not editor.property("filled"):  # other rows may change meanwhile
            editor.setEditText(str(index.data()))
            editor.setProperty("filled", True)

    def setModelData(self, editor: QWidget, model: QAbstractItemModel, index: Index) -> None:
        if isinstance(editor, QComboBox):
            model.setData(QModelIndex(index), editor.currentText())  # type: ignore[arg-type]

    def _taken(self, combo: QComboBox) -> None:
        """One chosen from the list is chosen: no second key is needed."""
        self.commitData.emit(combo)
        self.closeEditor.emit(combo, QAbstractItemDelegate.EndEditHint.NoHint)
