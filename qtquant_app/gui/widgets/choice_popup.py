"""A small sheet to choose tensors by: blocks, kind or place, and error. It closes by Escape and by a click elsewhere."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDoubleSpinBox, QFrame, QGridLayout, QHBoxLayout, QSpinBox, QWidget

from qtquant_app.core.choosing import Survey, Wish
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Text

NO_ERROR = "No error is known yet: let the whole model be scanned (Whole model), or look at some tensors."
_MOST = 100_000
_ANY, _WORST, _BELOW = range(3)


class ChoicePopup(QFrame):
    """What is left as it is does not narrow the choice."""

    wanted = Signal(object)
    """Wish."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("choicePopup")
        self.setAccessibleName("Choose tensors")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.first, self.last = _spin("firstBlockSpin", "First block"), _spin("lastBlockSpin", "Last block")
        self.which_combo = _combo("choiceKindCombo", "Kind or place")
        self.error_combo = _combo("choiceErrorCombo", "Error")
        self.count = _spin("worstCountSpin", "How many of the worst")
        self.limit = QDoubleSpinBox()
        self.choose_button = Button("Choose", name="applyChoiceButton", primary=True)
        self.note = Text(muted=True, wrap=True)
        self._survey = Survey({}, {}, None)
        self._set_up()
        self._lay_out()
        self._connect()
        self.set_errors_known(False)
        self.set_survey(self._survey)

    @property
    def wish(self) -> Wish:
        """What is asked for, as the fields are now."""
        blocks = (self.first.value(), self.last.value())
        kind, place = self.which_combo.currentData() or ("", "")
        by = self.error_combo.currentIndex()
        return Wish(
            kind,
            place,
            None if blocks == self._survey.blocks or self._survey.blocks is None else blocks,
            worst=self.count.value() if by == _WORST else None,
            below=self.limit.value() if by == _BELOW else None,
        )

    def set_survey(self, survey: Survey) -> None:
        """Offers what there is in a checkpoint; nothing narrows the choice at first."""
        self._survey = survey
        low, high = survey.blocks or (0, 0)
        for spin, value in ((self.first, low), (self.last, high)):
            spin.setEnabled(survey.blocks is not None)
            spin.setRange(low, high)
            spin.setValue(value)
        self.which_combo.clear()
        self.which_combo.addItem("all kinds and places", ("", ""))
        for kind, count in survey.kinds.items():
            self.which_combo.addItem(f"{kind} ({count:,})", (kind, ""))
        for place, count in survey.places.items():
            self.which_combo.addItem(f"{place} ({count:,})", ("", place))
        self._show_fields()

    def set_errors_known(self, known: bool) -> None:
        """Whether the tree shows errors to choose by."""
        self.error_combo.setEnabled(known)
        self.note.setText("" if known else NO_ERROR)
        self.note.setVisible(not known)
        if not known:
            self.error_combo.setCurrentIndex(_ANY)

    def ask_error(self) -> None:
        """Puts the fields at the worst ones, for somebody who wants to choose by error."""
        if self.error_combo.isEnabled():
            self.error_combo.setCurrentIndex(_WORST)
            self.count.setFocus(Qt.FocusReason.PopupFocusReason)

    def _set_up(self) -> None:
        self.error_combo.addItems(["any", "the worst", "below"])
        self.count.setRange(1, _MOST)
        self.count.setValue(10)
        self.limit.setObjectName("belowSpin")
        self.limit.setAccessibleName("With a signal to noise ratio below")
        self.limit.setSuffix(" dB")
        self.limit.setDecimals(1)
        self.limit.setRange(-100, 300)
        self.limit.setValue(20)
        self.first.setToolTip("The number of the first block")
        self.last.setToolTip("The number of the last block, which is chosen too")

    def _lay_out(self) -> None:
        blocks, errors, foot = QHBoxLayout(), QHBoxLayout(), QHBoxLayout()
        for widget in (self.first, Text("to"), self.last):
            blocks.addWidget(widget)
        blocks.addStretch(1)
        for field in (self.error_combo, self.count, self.limit):
            errors.addWidget(field)
        errors.addStretch(1)
        foot.addStretch(1)
        foot.addWidget(self.choose_button)
        grid = QGridLayout(self)
        grid.setContentsMargins(3 * GRID, 3 * GRID, 3 * GRID, 3 * GRID)
        grid.setSpacing(2 * GRID)
        grid.addWidget(Text("Blocks", muted=True), 0, 0)
        grid.addLayout(blocks, 0, 1)
        grid.addWidget(Text("Of them", muted=True), 1, 0)
        grid.addWidget(self.which_combo, 1, 1)
        grid.addWidget(Text("Error", muted=True), 2, 0)
        grid.addLayout(errors, 2, 1)
        grid.addWidget(self.note, 3, 0, 1, 2)
        grid.addLayout(foot, 4, 0, 1, 2)
        self.setMinimumWidth(80 * GRID)

    def _connect(self) -> None:
        self.first.valueChanged.connect(lambda value: self.last.setValue(max(value, self.last.value())))
        self.last.valueChanged.connect(lambda value: self.first.setValue(min(value, self.first.value())))
        self.error_combo.currentIndexChanged.connect(self._show_fields)
        self.choose_button.clicked.connect(self._choose)
        self.choose_button.setAutoDefault(True)

    def _show_fields(self) -> None:
        by = self.error_combo.currentIndex()
        self.count.setVisible(by == _WORST)
        self.limit.setVisible(by == _BELOW)

    def _choose(self) -> None:
        wish = self.wish
        self.close()
        self.wanted.emit(wish)


def _spin(name: str, title: str) -> QSpinBox:
    spin = QSpinBox()
    spin.setObjectName(name)
    spin.setAccessibleName(title)
    return spin


def _combo(name: str, title: str) -> ChoiceBox:
    combo = ChoiceBox()
    combo.setObjectName(name)
    combo.setAccessibleName(title)
    return combo
