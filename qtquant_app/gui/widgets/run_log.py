"""The log of a run: what happened, when, in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from PySide6.QtWidgets import QPlainTextEdit

from qtquant_app.core.event_words import Teller
from qtquant_app.core.events import Event
from qtquant_app.gui.theme import fixed_font

LINES = 5000


class RunLog(QPlainTextEdit):
    """Grows at the end; each batch of events is one edit."""

    def __init__(self) -> None:
        super().__init__()
        self._teller = Teller()
        self.setObjectName("runLog")
        self.setAccessibleName("Log of the run")
        self.setReadOnly(True)
        self.setTabChangesFocus(True)
        self.setUndoRedoEnabled(False)
        self.setMaximumBlockCount(LINES)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setFont(fixed_font(self.font()))
        self.setPlaceholderText("What a run does is written here.")

    def add(self, lines: Iterable[str]) -> None:
        """Appends `lines`, each with the time."""
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        text = "\n".join(f"{now}  {line}" for line in lines)
        if text:
            self.appendPlainText(text)

    def add_events(self, events: Iterable[Event]) -> None:
        self.add(self._teller.lines(events))
