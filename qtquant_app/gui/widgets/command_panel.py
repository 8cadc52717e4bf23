"""The command line that does the same, ready to copy."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.command_line import quantize_words, shell_line
from qtquant_app.core.recipe import Recipe
from qtquant_app.gui.theme import GRID, fixed_font
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text

RECIPE_FILE = "recipe.json"
SAME = "Gives the same bytes as Start on the Run page."
SAVE_FIRST = f"Save the recipe as {RECIPE_FILE} first: the rules are in it. {SAME}"


class CommandPanel(QWidget):
    """Shows `qtquant quantize …` for the recipe as it is."""

    copied = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.code = QPlainTextEdit()
        self.code.setObjectName("commandLine")
        self.code.setAccessibleName("Command line that does the same")
        self.code.setReadOnly(True)
        self.code.setTabChangesFocus(True)
        self.code.setFont(fixed_font(self.code.font()))
        self.note = Text(muted=True, wrap=True)
        self.copy_button = Button("&Copy", "copy", name="copyCommandButton", tip="Copies the command line")
        self.copy_button.clicked.connect(self._copy)
        foot = QHBoxLayout()
        foot.addWidget(self.note, 1)
        foot.addWidget(self.copy_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID)
        column.addWidget(self.code, 1)
        column.addLayout(foot)

    def show_command(
        self,
        model: str,
        output: str,
        recipe: Recipe,
        file: str,
        device: str,
        statistics: str = "",
        calibration: Calibration | None = None,
    ) -> None:
        """Shows the command for `recipe`, which is in `file` where it was saved."""
        named = model or "MODEL", output or "OUT"
        words = quantize_words(*named, recipe, file or RECIPE_FILE, device, statistics, calibration)
        self.code.setPlainText(shell_line(words))
        self.note.setText(SAVE_FIRST if recipe.rules and not file else SAME)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.code.toPlainText())
        self.copied.emit()
