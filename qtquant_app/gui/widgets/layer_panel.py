"""The layer tree with its filter."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Qt, QTimer, Signal
from PySide6.QtGui import QKeyEvent, QKeySequence, QShortcut
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError, UsageError
from qtquant_app.core.matrix import part_of
from qtquant_app.gui.export import Numbers
from qtquant_app.gui.models.tensor_filter import ODD
from qtquant_app.gui.models.tensor_tree import Column, TensorTree
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.choose_button import ChooseButton, told
from qtquant_app.gui.widgets.layer_tree import LayerTree
from qtquant_app.gui.widgets.text import Text

FILTER_DELAY_MS = 20
"""Keys that come together are one request."""


class LayerPanel(QWidget):
    """Chooses tensors. `chosen` says which is looked at; `choose` makes the choice from outside, in silence."""

    chosen = Signal(str)
    """The tensor looked at, or the part of a stack: `experts.up_proj[3]`."""
    selection_chosen = Signal(object)
    """tuple[str, ...]: all tensors and parts chosen; a block or module stands for what can be quantized below it."""
    ready = Signal()
    """The tree shows the newest checkpoint under the newest filter."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model = TensorTree(self)
        self.filter_edit = QLineEdit()
        self.kind_combo = ChoiceBox()
        self.flat_check = QCheckBox("F&lat")
        self.choose_button = ChooseButton(self.model)
        self.tree = LayerTree(self.model, more=self.choose_button.entries)
        self._checkpoint: Checkpoint | None = None
        self.footer = Text(muted=True, wrap=True)
        self._first_time = False
        self._kinds: dict[str, int] | None = None
        self._timer = QTimer(self, singleShot=True, interval=FILTER_DELAY_MS)
        self._name_widgets()
        self._lay_out()
        self._connect()
        self._show_rows()

    @property
    def names(self) -> tuple[str, ...]:
        """All tensors and parts chosen."""
        return self.tree.names

    def set_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        """Shows the tensors of `checkpoint`: at once, or where there are thousands when `ready` says so."""
        self.tree.forget()
        self._checkpoint = checkpoint
        self.choose_button.set_checkpoint(checkpoint)
        self._first_time = True
        self.model.set_tensors(checkpoint.tensors if checkpoint else ())
        self._count()

    def choose(self, name: str) -> None:
        """Shows the tensor `name`, or a part of a stack such as `experts.up_proj[3]`, as the one looked at."""
        self.tree.choose(name)
        self._look_at(name)

    def table(self) -> Numbers:
        """Titles and rows of the tree as it stands."""
        return self.tree.table()

    def focus_filter(self) -> None:
        """Ctrl+F: the filter line takes the keyboard."""
        self.filter_edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.filter_edit.selectAll()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self.filter_edit.text():
            self.filter_edit.clear()
        elif event.key() == Qt.Key.Key_Down and self.filter_edit.hasFocus():
            self.tree.setFocus()
        else:
            super().keyPressEvent(event)

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

    def _lay_out(self) -> None:
        row = QHBoxLayout()
        row.setSpacing(4)
        row.addWidget(self.kind_combo, 1)
        row.addWidget(self.flat_check)
        row.addWidget(self.choose_button)
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
        self.model.ready.connect(self._show_rows)
        self.model.flags_changed.connect(self._show_flags)
        self.tree.chosen.connect(self._look_at)
        self.tree.chosen.connect(self.chosen)
        self.choose_button.chosen.connect(self.tree.choose_many)
        self.choose_button.failed.connect(self._tell)
        self.tree.selection_chosen.connect(self.selection_chosen)
        self.tree.selection_chosen.connect(self._count)
        QShortcut(QKeySequence.StandardKey.Find, self, self.focus_filter)

    def _look_at(self, name: str) -> None:
        known = self._checkpoint.by_name if self._checkpoint else {}
        self.choose_button.look_at(known.get(name) or known.get(part_of(name)[0]))

    def _tell(self, error: QtQuantError) -> None:
        self.footer.setText(told(error))

    def _refilter(self) -> None:
        text, kind = self.filter_edit.text(), self.kind_combo.currentData() or ""
        try:
            self.model.set_filter(text, kind, self.flat_check.isChecked())
        except UsageError as error:
            self.footer.setText(error.message)
            return
        self._count()

    def _show_rows(self) -> None:
        self._offer_kinds()
        self.tree.show_rows(self._first_time)
        self._first_time = False
        self._count()
        if not self.model.busy:
            self.ready.emit()

    def _show_flags(self) -> None:
        self.tree.setColumnHidden(Column.FLAGS, ODD not in self.model.kinds)
        self._offer_kinds()

    def _offer_kinds(self) -> None:
        kinds = dict(self.model.kinds)
        if kinds == self._kinds:
            return
        self._kinds = kinds
        before = self.kind_combo.currentData()
        with QSignalBlocker(self.kind_combo):
            self.kind_combo.clear()
            self.kind_combo.addItem("All kinds", "")
            for kind, count in kinds.items():
                self.kind_combo.addItem(f"{'Odd tensors' if kind == ODD else kind} ({count:,})", kind)
            self.kind_combo.setCurrentIndex(max(0, self.kind_combo.findData(before)))
        if before and self.kind_combo.currentData() != before:
            self._refilter()

    def _count(self) -> None:
        model, chosen = self.model, len(self.tree.names)
        more = f", {chosen:,} chosen" if chosen > 1 else ""
        if not model.coming:
            self.footer.setText("No checkpoint is open")
        elif not model.total:
            self.footer.setText(f"Listing {model.coming:,} tensors \N{HORIZONTAL ELLIPSIS}")
        elif model.matching == model.total:
            self.footer.setText(f"{model.total:,} tensors{more}")
        elif model.matching:
            self.footer.setText(f"{model.matching:,} of {model.total:,} tensors{more}")
        else:
            self.footer.setText("No tensor matches; Escape clears the filter")
