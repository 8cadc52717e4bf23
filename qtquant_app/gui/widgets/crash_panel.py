"""The report of a failure of the program itself, to read, to copy, to save: beside the window, which stays usable."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QFileDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from qtquant_app.core.quantities import plural
from qtquant_app.gui.theme import GRID, fixed_font
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.sentence import Sentence
from qtquant_app.gui.widgets.text import Elided, Text, sentence_case

FILE = "qtquant-report.txt"
ADVICE = (
    "Please look this report over and send it to whoever makes QtQuant. Tokens, passwords, your name and your home folder are "
    "masked in it; names of models and tensors are not. What a run had finished is kept: started again, it goes on where it was."
)


class CrashPanel(QDialog):
    """Says what failed in a sentence and shows the report; further reports are put below the first."""

    def __init__(
        self, what: str, report: str, parent: QWidget | None = None, *, title: str = "Report of an error"
    ) -> None:
        super().__init__(parent)
        self.setObjectName("crashReport")
        self.setAccessibleName(title)
        self.setWindowTitle(title)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(760, 520)
        self._sentence = Sentence(bold=True)
        self._sentence.setText(sentence_case(what))
        self._count = Text(muted=True)
        self._count.setObjectName("crashReportCount")
        self._count.setVisible(False)
        self._body = QPlainTextEdit(report)
        self._body.setObjectName("crashReportText")
        self._body.setAccessibleName("The report")
        self._body.setReadOnly(True)
        self._body.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self._body.setFont(fixed_font(self.font()))
        self._saved = Elided(muted=True)
        self._saved.setObjectName("crashReportSaved")
        self._lay_out()
        self._body.setFocus()

    def text(self) -> str:
        """The whole report."""
        return self._body.toPlainText()

    def add(self, report: str) -> None:
        """Puts the report of another failure below."""
        self._body.appendPlainText(f"\n{'-' * 72}\n\n{report}")

    def set_count(self, times: int, kinds: int) -> None:
        """Says how often something failed since the panel opened, and in how many different ways."""
        ways = f", in {kinds} different ways" if kinds > 1 else ""
        self._count.setText(f"This happened {plural(times, 'time')}{ways}.")
        self._count.setVisible(times > 1)

    def save_as(self) -> None:
        """Asks for a file and writes the report into it."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", str(Path.home() / FILE), "Text (*.txt)")
        if not path:
            return
        try:
            Path(path).write_text(self.text(), encoding="utf-8")
        except OSError as error:
            self._saved.setText(f"{path} cannot be written: {error.strerror or error}")
        else:
            self._saved.setText(f"Saved {path}")

    def _lay_out(self) -> None:
        advice = Sentence()
        advice.setText(ADVICE)
        copy = Button("&Copy", "copy", name="crashReportCopy", tip="Copies the whole report", primary=True)
        save = Button("&Save…", name="crashReportSave", tip="Saves the whole report as a text file")
        close = Button("C&lose", name="crashReportClose")
        copy.clicked.connect(self._copy)
        save.clicked.connect(self.save_as)
        close.clicked.connect(self.close)
        buttons = QHBoxLayout()
        buttons.setSpacing(2 * GRID)
        buttons.addWidget(self._saved, 1)
        for button in (copy, save, close):
            buttons.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(self._sentence)
        layout.addWidget(self._count)
        layout.addWidget(advice)
        layout.addWidget(self._body, 1)
        layout.addLayout(buttons)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.text())
        self._saved.setText("Copied")
