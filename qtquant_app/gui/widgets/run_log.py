"""The log of a run: what happened, when, in plain words."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from PySide6.QtWidgets import QPlainTextEdit

from qtquant_app.core.events import Event, FileTransferred, RunStarted, ShardWritten, StageChanged, Warned
from qtquant_app.core.quantities import bytes_text, plural
from qtquant_app.gui.theme import fixed_font

LINES = 5000

STAGES = {
    "quantize": "quantizing",
    "write": "writing",
    "verify": "verifying the written files",
    "finish": "finishing",
}


class RunLog(QPlainTextEdit):
    """Grows at the end; each batch of events is one edit."""

    def __init__(self) -> None:
        super().__init__()
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
        self.add(line for event in events if (line := describe(event)))


def describe(event: Event) -> str:
    """One line for the events that are worth one; tensors have the table."""
    match event:
        case RunStarted():
            resumed = f", {event.resumed_tensors:,} of them done before" if event.resumed_tensors else ""
            return f"started: {plural(event.tensors, 'tensor')}{resumed}, {bytes_text(event.bytes_total)} to read"
        case StageChanged():
            return STAGES[event.stage]
        case ShardWritten():
            return f"wrote {event.file}, {bytes_text(event.bytes)}, sha256 {event.sha256}"
        case FileTransferred():
            return f"copied {event.file}, {bytes_text(event.bytes)}"
        case Warned():
            return f"warning: {event.text}"
        case _:
            return ""
