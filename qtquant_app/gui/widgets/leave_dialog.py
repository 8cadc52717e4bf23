"""Asks what becomes of a run when its window is closed. Nothing happens by itself: Escape stays."""

from __future__ import annotations

from enum import StrEnum

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QDialog, QGridLayout, QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text


class Leave(StrEnum):
    """What somebody chose."""

    PAUSE = "pause"
    BACKGROUND = "background"
    CANCEL = "cancel"
    STAY = "stay"


_CHOICES = (
    (
        Leave.PAUSE,
        "&Pause and close",
        "pause",
        "What is finished is kept; Resume goes on from there at the next start.",
    ),
    (
        Leave.BACKGROUND,
        "Go on in the &background",
        "play",
        "The window hides; the program ends by itself when all is done.",
    ),
    (Leave.CANCEL, "&Cancel the run and close", "stop", "What is finished is kept on disk for a later start by hand."),
    (Leave.STAY, "&Stay", "", "Nothing changes."),
)


class LeaveDialog(QDialog):
    """Stands before its window and lets the run go on meanwhile; `chosen` says what was chosen, once."""

    chosen = Signal(object)
    """Leave."""

    def __init__(self, waits: int, parent: QWidget) -> None:
        """`waits` jobs wait behind the one that runs."""
        super().__init__(parent)
        self.setObjectName("leaveDialog")
        self.setAccessibleName("A run is under way")
        self.setWindowTitle("A run is under way")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowModality(Qt.WindowModality.WindowModal)
        self.buttons: dict[Leave, Button] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(5 * GRID, 4 * GRID, 5 * GRID, 4 * GRID)
        layout.setSpacing(3 * GRID)
        layout.addWidget(Text("A run is under way. What should become of it?", bold=True))
        if waits:
            jobs = "1 job waits" if waits == 1 else f"{waits} jobs wait"
            layout.addWidget(Text(f"{jobs} behind it, and will be there at the next start.", muted=True))
        grid = QGridLayout()
        grid.setHorizontalSpacing(4 * GRID)
        grid.setVerticalSpacing(2 * GRID)
        for row, (choice, title, drawing, words) in enumerate(_CHOICES):
            button = Button(title, drawing, name=f"{choice}Button", primary=choice is Leave.STAY)
            button.setAccessibleDescription(words)
            button.clicked.connect(lambda _=False, choice=choice: self._choose(choice))
            self.buttons[choice] = button
            grid.addWidget(button, row, 0)
            grid.addWidget(Text(words, muted=True), row, 1)
        layout.addLayout(grid)
        self.buttons[Leave.STAY].setDefault(True)
        self.buttons[Leave.STAY].setFocus()
        self.rejected.connect(lambda: self.chosen.emit(Leave.STAY))

    def _choose(self, choice: Leave) -> None:
        if choice is Leave.STAY:
            self.reject()
            return
        self.chosen.emit(choice)
        self.accept()
