"""What an evaluation reads, and the prompts that both models go on with."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QFileDialog, QHBoxLayout, QMenu, QPlainTextEdit, QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Elided, Text

BUILT_IN = "Python's language reference, or of drawings and sounds made by rule"
_FILES = "Text (*.txt *.md *.jsonl);;All files (*)"
_PROMPTS = "Prompts, one a line: both models go on with each"
_PROMPT_LINES = 2


class EvaluationChoice(QWidget):
    """A text or a folder, prompts, and whether the result is timed as well."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._text = ""
        self.text_button = Button(
            "Te&xt…", "open", name="evaluationTextButton", tip="Reads a text or samples of yours instead"
        )
        menu = QMenu("What both models read", self.text_button)
        menu.setObjectName("evaluationTextMenu")
        menu.addAction("A &file…").triggered.connect(self.choose_file)
        menu.addAction("A f&older of texts, pictures or sounds…").triggered.connect(self.choose_folder)
        menu.addAction("What is &built in").triggered.connect(lambda: self.set_text(""))
        self.text_button.setMenu(menu)
        self.text_label = Elided()
        self.prompts_edit = QPlainTextEdit()
        self.prompts_edit.setObjectName("promptsEdit")
        self.prompts_edit.setAccessibleName("Prompts that both models go on with, one a line")
        self.prompts_edit.setPlaceholderText(_PROMPTS)
        self.prompts_edit.setTabChangesFocus(True)
        self.prompts_edit.setFixedHeight(_PROMPT_LINES * self.prompts_edit.fontMetrics().lineSpacing() + 4 * GRID)
        self.speed_check = QCheckBox("Time both as well")
        self.speed_check.setObjectName("evaluationSpeedCheck")
        self.speed_check.setAccessibleName("Time both as well")
        self.speed_check.setToolTip(
            "Tokens a second of the result in qtquant_app.load, and of the original in transformers"
        )
        self._lay_out()
        self.set_text("")
        self.set_timed(False)

    @property
    def text(self) -> str:
        """What is read; empty for what is built in."""
        return self._text

    @property
    def prompts(self) -> tuple[str, ...]:
        """The prompts, blank lines left out."""
        lines = self.prompts_edit.toPlainText().split("\n")
        return tuple(line.strip() for line in lines if line.strip())

    @property
    def speed(self) -> bool:
        """Whether the result is to be timed."""
        return not self.speed_check.isHidden() and self.speed_check.isChecked()

    def set_text(self, path: str) -> None:
        """Reads what is at `path` from now on; empty for what is built in."""
        self._text = path
        self.text_label.setText(f"the second half of {path or BUILT_IN}")
        self.changed.emit()

    def set_timed(self, possible: bool) -> None:
        """Whether there is something that runs the result's format here."""
        self.speed_check.setVisible(possible)

    def choose_file(self) -> None:
        """Asks for a text file; none chosen keeps what there is."""
        path, _ = QFileDialog.getOpenFileName(self, "A text to read", "", _FILES)
        if path:
            self.set_text(path)

    def choose_folder(self) -> None:
        """Asks for a folder; none chosen keeps what there is."""
        path = QFileDialog.getExistingDirectory(self, "A folder of texts, pictures or sounds", self._text)
        if path:
            self.set_text(path)

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(GRID)
        line.addWidget(Text("Reads", muted=True))
        line.addWidget(self.text_label, 1)
        line.addWidget(self.text_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addLayout(line)
        layout.addWidget(self.prompts_edit)
        layout.addWidget(self.speed_check)
