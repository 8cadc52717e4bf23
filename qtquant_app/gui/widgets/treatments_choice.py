"""What a budget may choose from: a box for each scheme, one for leaving a tensor as it is, and a field to add more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QLineEdit, QSizePolicy, QVBoxLayout, QWidget

from qtquant_app.core.budget import Treatment, treatment_label
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.flow import Flow
from qtquant_app.gui.widgets.text import Text, sentence_case

KEEP: Treatment = "keep"


class TreatmentsChoice(QWidget):
    """Emits `changed` when a box is ticked or unticked."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("treatmentsChoice")
        self.boxes: dict[Treatment, QCheckBox] = {}
        self._usual: tuple[Scheme, ...] = ()
        self._flow_holder = QWidget()
        self._flow = Flow(self._flow_holder)
        self._flow.setSpacing(2 * GRID)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self._flow_holder.setSizePolicy(policy)
        self.line = QLineEdit()
        self.line.setObjectName("addTreatmentEdit")
        self.line.setAccessibleName("A scheme to add to what the budget may use")
        self.line.setPlaceholderText("W4 g32 sym mse")
        self.line.setMaximumWidth(50 * GRID)
        self.add_button = Button("Add", name="addTreatmentButton", tip="Adds the scheme in the field to the choice")
        self.add_button.setAccessibleName("Add the scheme to what the budget may use")
        self.usual_button = Button("Usual choice", name="usualTreatmentsButton", tip="Ticks what is ticked at first")
        self.usual_button.setProperty("flat", True)
        self.fault = Text(wrap=True)
        self.fault.set_tone("bad")
        self.fault.setVisible(False)
        self._lay_out()
        self.line.returnPressed.connect(self.add)
        self.line.textEdited.connect(lambda: self.fault.setVisible(False))
        self.add_button.clicked.connect(self.add)
        self.usual_button.clicked.connect(self._tick_usual)

    @property
    def chosen(self) -> tuple[Treatment, ...]:
        """What is ticked, in the order shown."""
        return tuple(treatment for treatment, box in self.boxes.items() if box.isChecked())

    @property
    def as_usual(self) -> bool:
        """Whether what is ticked is what is ticked at first."""
        return set(self.chosen) == set(self._usual)

    def offer(self, usual: Sequence[Scheme], ticked: Iterable[Treatment] | None = None) -> None:
        """A box for each of `usual`, for keeping and for what else is in `ticked`; without `ticked` the usual are ticked."""
        before, self._usual = self._usual, tuple(usual)
        wanted = self._usual if ticked is None else tuple(ticked)
        for gone in before:
            if gone not in (*usual, *wanted):
                box = self.boxes.pop(gone)
                self._flow.removeWidget(box)
                box.hide()
                box.deleteLater()
        for treatment in (*usual, KEEP, *wanted):
            self._box(treatment).setChecked(treatment in wanted)
        self._put_in_order((*usual, KEEP))
        self._say()

    def add(self) -> None:
        """Ticks the scheme in the field, with a box of its own where it has none; says what is wrong with it otherwise."""
        text = self.line.text().strip()
        if not text:
            self.line.setFocus()
            return
        try:
            treatment = KEEP if text.lower() == KEEP else parse_label(text)
        except QtQuantError as error:
            hint = window_hint(error)
            self.fault.setText(sentence_case(error.message) + (f": {hint}" if hint else ""))
            self.fault.setVisible(True)
            self.line.setFocus()
            return
        self.line.clear()
        self.fault.setVisible(False)
        self._box(treatment).setChecked(True)

    def _box(self, treatment: Treatment) -> QCheckBox:
        """The box of a treatment; a new one stands after all others."""
        found = self.boxes.get(treatment)
        if found is not None:
            return found
        label = treatment_label(treatment)
        box = QCheckBox("Keep as it is" if treatment == KEEP else label)
        box.setObjectName(f"allow {label}")
        box.setAccessibleName("The budget may keep tensors as they are" if treatment == KEEP else f"May use {label}")
        box.toggled.connect(self._on_toggled)
        before = next(reversed(self.boxes.values()), None)
        self.boxes[treatment] = box
        self._flow.addWidget(box)
        if before is not None:
            QWidget.setTabOrder(before, box)
        QWidget.setTabOrder(box, self.line)
        box.show()
        self._flow_holder.updateGeometry()
        return box

    def _put_in_order(self, first: Sequence[Treatment]) -> None:
        """These boxes before all others, on the screen and for the Tab key."""
        self.boxes = {treatment: self.boxes[treatment] for treatment in dict.fromkeys((*first, *self.boxes))}
        before: QWidget | None = None
        for box in self.boxes.values():
            self._flow.removeWidget(box)
            self._flow.addWidget(box)
            if before is not None:
                QWidget.setTabOrder(before, box)
            before = box
        self._flow_holder.updateGeometry()

    def _on_toggled(self) -> None:
        self._say()
        self.changed.emit()

    def _tick_usual(self) -> None:
        for treatment, box in self.boxes.items():
            box.setChecked(treatment in self._usual)

    def _say(self) -> None:
        self.usual_button.setVisible(not self.as_usual)

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        for widget in (Text("Another scheme", muted=True), self.line, self.add_button, self.usual_button):
            line.addWidget(widget)
        line.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2 * GRID)
        column.addWidget(self._flow_holder)
        column.addLayout(line)
        column.addWidget(self.fault)
