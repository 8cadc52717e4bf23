"""Whether the files are what they should be: the verdict, what it rests on, and what differs."""

from __future__ import annotations

from PySide6.QtWidgets import QProgressBar

from qtquant_app.core.quantities import plural
from qtquant_app.core.report import VerifyReport
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.progress import Progress
from qtquant_app.gui.saved import Saved
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text

MISMATCH_COLUMNS = (
    Column("Where", lambda m: m.where, lambda m: m.where),
    Column("What", lambda m: m.text, lambda m: m.text, "decodes to a relative error of 0.0123456, not the reported"),
)
BY_THE_RUN = {
    "full": "Verified by the run: every tensor was read back from the files and compared with its source.",
    "quick": "Partly verified by the run: one chunk of each tensor was read back and compared.",
    "none": "Not verified by the run.",
}


class ProofCard(Card):
    """The verification of a result."""

    def __init__(self) -> None:
        super().__init__("Verification")
        self.again_button = Button(
            "&Verify again", "check", name="verifyAgainButton", tip="Reopens and checks every file"
        )
        self.verdict = Text(bold=True, wrap=True)
        self.verdict.setObjectName("verdict")
        self.basis = Text(muted=True, wrap=True)
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Progress of the verification")
        self.progress_bar.setRange(0, 1000)
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setVisible(False)
        self.mismatches = RowsModel(MISMATCH_COLUMNS, self)
        self.mismatch_table = Table(self.mismatches, "mismatchTable", "What differs")
        self.mismatch_table.setMaximumHeight(40 * GRID)
        self.mismatch_table.setVisible(False)
        self.header.addWidget(self.again_button)
        self.add(self.verdict)
        self.add(self.basis)
        self.add(self.progress_bar)
        self.add(self.mismatch_table)

    def show_saved(self, saved: Saved) -> None:
        """What the run itself found."""
        self._say(BY_THE_RUN.get(saved.verified, BY_THE_RUN["none"]), "good" if saved.verified == "full" else "warn")
        self.basis.setText(f"{plural(len(saved.sha256), 'file')} with a sha256 each, below.")

    def show_progress(self, progress: Progress) -> None:
        self.progress_bar.setVisible(True)
        self.progress_bar.setValue(round(1000 * progress.fraction))
        self._say("Verifying…", "text")
        self.basis.setText("")

    def show_report(self, report: VerifyReport) -> None:
        """What verifying again found."""
        counts = f"{plural(report.files, 'weight file')} with {plural(report.tensors, 'tensor')}"
        if report.ok:
            self._say(f"\u2713 All as it was written: {counts}.", "good")
        else:
            self._say(f"\u2717 {plural(len(report.mismatches), 'difference')} in {counts}.", "bad")
        compared = len(report.compared)
        self.basis.setText(
            f"Every file's sha256 and header checked, and {plural(compared, 'tensor')} compared with the source."
            if compared
            else "Every file's sha256 and header checked; the source was not at hand to compare the weights with."
        )
        self.mismatches.set_rows(report.mismatches)
        self.mismatch_table.setVisible(not report.ok)

    def show_failure(self) -> None:
        """The verification itself failed; the error stands above."""
        self._say("Not verified: see the message.", "bad")
        self.basis.setText("")

    def _say(self, verdict: str, tone: str) -> None:
        self.progress_bar.setVisible(tone == "text")
        self.mismatch_table.setVisible(False)
        self.verdict.setText(verdict)
        self.verdict.set_tone(tone)
