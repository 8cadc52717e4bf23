"""The bar above the plot of a budget: measures, says how it stands, and opens the choices again."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Elided, tip_text

STEPS = 1000
MEASURE, AGAIN = "Measure", "Measure again"


class MeasureBar(QWidget):
    """Buttons to measure, to cancel and to see the choices; a line that says how it stands."""

    choices_toggled = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.measure_button = Button(MEASURE, "play", name="measureBudgetButton", primary=True)
        self.cancel_button = Button(
            "Cancel", "stop", name="cancelMeasureButton", tip="Stops measuring; what was measured before stays"
        )
        self.cancel_button.setAccessibleName("Cancel measuring")
        self.choices_button = Button("Choices", name="budgetChoicesButton", tip="Shows what the budget may do")
        self.choices_button.setAccessibleName("Show what the budget may do")
        self.choices_button.setCheckable(True)
        self.choices_button.toggled.connect(self.choices_toggled)
        self.progress = QProgressBar()
        self.progress.setObjectName("measureProgress")
        self.progress.setAccessibleName("Progress of measuring")
        self.progress.setRange(0, STEPS)
        self.progress.setTextVisible(False)
        self.words = Elided(mode=Qt.TextElideMode.ElideRight, muted=True)
        self.words.setObjectName("budgetWords")
        self._running = False
        self._lay_out()

    @property
    def choices_shown(self) -> bool:
        """Whether what the budget may do is in sight."""
        return self.choices_button.isChecked()

    def show_choices(self, shown: bool) -> None:
        """Opens or closes what the budget may do."""
        self.choices_button.setChecked(shown)

    def set_state(self, *, measured: bool, running: bool, why_not: str, stale: str) -> None:
        """Which buttons there are. Where all is measured and nothing has changed there is nothing to press."""
        if running and not self._running:
            self.progress.setValue(0)
        self._running = running
        self.progress.setVisible(running)
        self.cancel_button.setVisible(running)
        self.measure_button.setVisible(not running and (not measured or bool(stale)))
        self.measure_button.setEnabled(not why_not)
        self.measure_button.setText(AGAIN if measured else MEASURE)
        self.measure_button.setAccessibleName(self.measure_button.text())
        why = why_not or stale or "Measures every module under every scheme that the budget may use"
        self.measure_button.setToolTip(tip_text(why))
        self.measure_button.setAccessibleDescription(why)
        self.choices_button.setVisible(measured and not running)

    def set_progress(self, done: float, words: str) -> None:
        """Shows how far measuring is, 0 to 1."""
        self.progress.setUpdatesEnabled(False)  # else it paints itself, and all that waits to be painted, on the spot
        self.progress.setValue(round(STEPS * done))
        self.progress.setUpdatesEnabled(True)
        self.progress.setAccessibleDescription(words)
        self.words.set_tone("muted")
        self.words.setText(words)

    def say(self, words: str, *, warn: bool = False) -> None:
        """How it stands, in words; while it measures the progress says it."""
        if not self._running:
            self.words.set_tone("warn" if warn else "muted")
            self.words.setText(words)

    def _lay_out(self) -> None:
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2 * GRID)
        line.addWidget(self.measure_button)
        line.addWidget(self.cancel_button)
        middle = QVBoxLayout()
        middle.setSpacing(2)
        middle.addWidget(self.progress)
        middle.addWidget(self.words)
        line.addLayout(middle, 1)
        line.addWidget(self.choices_button)
