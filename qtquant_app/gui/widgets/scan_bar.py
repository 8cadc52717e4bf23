"""The bar above the map of the model: what to scan, the scan's progress, the report."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from qtquant_app.core.quantities import bytes_text
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.schemes_choice import SchemesChoice
from qtquant_app.gui.widgets.text import Elided

STEPS = 1000


def cost_words(fetched: int) -> str:
    """What follows the words of a button that scans."""
    return f", fetching up to {bytes_text(fetched)}" if fetched else ""


class ScanBar(QWidget):
    """Buttons to start and cancel a scan and to save its report, a line that says how it stands, and the schemes."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.scan_button = Button(
            "&Scan the model", "play", name="scanButton", tip="Measures every tensor under these schemes", primary=True
        )
        self.cancel_button = Button(
            "Cancel", "stop", name="cancelScanButton", tip="Stops the scan; what is measured stays"
        )
        self.cancel_button.setAccessibleName("Cancel the scan")
        self.report_button = Button(
            "Save the report…", "save", name="saveReportButton", tip="Writes the scan as one page of HTML"
        )
        self.schemes = SchemesChoice()
        self.progress = QProgressBar()
        self.progress.setObjectName("scanProgress")
        self.progress.setAccessibleName("Progress of the scan")
        self.progress.setRange(0, STEPS)
        self.progress.setTextVisible(False)
        self.words = Elided(mode=Qt.TextElideMode.ElideRight, muted=True)
        self.words.setObjectName("scanWords")
        self._lay_out()
        self.set_running(False)

    def set_progress(self, done: float, words: str) -> None:
        """Shows how far the scan is, 0 to 1."""
        self.progress.setUpdatesEnabled(False)  # else it paints itself, and all that waits to be painted, on the spot
        self.progress.setValue(round(STEPS * done))
        self.progress.setUpdatesEnabled(True)
        self.progress.setAccessibleDescription(words)
        self.say(words)

    def say(self, words: str, tone: str = "muted") -> None:
        """How the scan stands, in words."""
        self.words.set_tone(tone)
        self.words.setText(words)

    def set_cost(self, fetched: int) -> None:
        """Says beforehand how many bytes a scan fetches at most; 0 where the model is here."""
        self.scan_button.setText(f"&Scan the model{cost_words(fetched)}")

    def set_running(self, running: bool) -> None:
        """What can be pressed while a scan runs, and while none does."""
        self.progress.setVisible(running)
        self.cancel_button.setVisible(running)
        self.scan_button.setVisible(not running)
        self.schemes.lock(running)

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.scan_button)
        line.addWidget(self.cancel_button)
        middle = QVBoxLayout()
        middle.setSpacing(2)
        middle.addWidget(self.progress)
        middle.addWidget(self.words)
        line.addLayout(middle, 1)
        line.addWidget(self.report_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        column.addWidget(self.schemes)
