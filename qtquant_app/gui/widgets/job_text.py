"""All that is kept of a job: settings, times, result, error, log."""

from __future__ import annotations

from PySide6.QtWidgets import QPlainTextEdit

from qtquant_app.core.job import JobRecord
from qtquant_app.core.job_words import report
from qtquant_app.gui.theme import fixed_font


class JobText(QPlainTextEdit):
    """Shows the job that is chosen, to read and to copy."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("jobText")
        self.setAccessibleName("Settings, result and log of the chosen job")
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setFont(fixed_font(self.font()))
        self.setPlaceholderText("Choose a job above: its settings, result, error and log show here.")

    def show_job(self, job: JobRecord | None) -> None:
        """Shows `job`; the place that is read stays where the text is only longer."""
        text = "" if job is None else report(job)
        if text != self.toPlainText():
            at = self.verticalScrollBar().value()
            self.setPlainText(text)
            self.verticalScrollBar().setValue(at)
