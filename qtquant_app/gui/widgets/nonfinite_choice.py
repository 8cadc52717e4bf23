"""Chooses what becomes of tensors that hold NaN or infinity."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Text

_WORDS = {
    "refuse": ("End the run there", "The run ends and names the first such weight; what is done until then is kept."),
    "keep": (
        "Keep those tensors as they are",
        "Every tensor that would be quantized is looked at first, which reads the checkpoint once; a scan of it counts.",
    ),
    "repair": (
        "Replace those weights",
        "NaN becomes 0; an infinity the largest finite weight of its row, or the smallest. Each is counted in the report.",
    ),
}


class NonFiniteChoice(QWidget):
    """The combo box of policies and, below, what the chosen one does."""

    policy_changed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.combo = ChoiceBox()
        self.combo.setObjectName("nonfiniteCombo")
        self.combo.setAccessibleName("What becomes of tensors with NaN or infinity")
        for policy, (title, _) in _WORDS.items():
            self.combo.addItem(title, policy)
        self._about = Text(muted=True, wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.combo)
        layout.addWidget(self._about)
        self._describe()
        self.combo.currentIndexChanged.connect(self._on_chosen)

    def set_policy(self, policy: str) -> None:
        """Shows `policy`, saying nothing."""
        with QSignalBlocker(self.combo):
            self.combo.setCurrentIndex(self.combo.findData(policy))
        self._describe()

    def _on_chosen(self) -> None:
        self._describe()
        self.policy_changed.emit(self.combo.currentData())

    def _describe(self) -> None:
        self._about.setText(_WORDS[self.combo.currentData()][1])
