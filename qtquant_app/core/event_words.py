"""Events in words, one line each: for the window's log, and for what the history keeps of a run."""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.events import (
    Calibrated,
    Event,
    Fetched,
    FileTransferred,
    Planned,
    RunStarted,
    ShardWritten,
    StageChanged,
    Waiting,
    Warned,
)
from qtquant_app.core.quantities import bytes_text, duration_text, plural, rate_text

STAGES = {
    "quantize": "quantizing",
    "write": "writing",
    "verify": "verifying the written files",
    "finish": "finishing",
    "calibrate": "calibrating: the model reads the samples, block by block",
    "upload": "publishing",
    "fetch": "fetching the model, all of which calibration reads",
}


def describe(event: Event) -> str:
    """One line for the events that are worth one; tensors have the table."""
    match event:
        case Planned():
            return f"planned: {event.plan.label}, {event.plan.format}, on {event.plan.device}"
        case RunStarted():
            resumed = f", {event.resumed_tensors:,} of them done before" if event.resumed_tensors else ""
            return f"started: {plural(event.tensors, 'tensor')}{resumed}, {bytes_text(event.bytes_total)} to read"
        case StageChanged():
            return STAGES.get(event.stage, event.stage)
        case ShardWritten():
            return f"wrote {event.file}, {bytes_text(event.bytes)}, sha256 {event.sha256}"
        case FileTransferred():
            return f"copied {event.file}, {bytes_text(event.bytes)}"
        case Warned():
            return f"warning: {event.text}"
        case Waiting():
            return f"waiting: {event.text}"
        case _:
            return ""


def fetched_text(event: Fetched) -> str:
    """How far the source has come in, until all of it has: `fetched 25% of 100 MB, 5.00 MB/s, 15 s left`."""
    if event.done >= event.total:
        return ""
    left = "" if event.seconds_left is None else f", {duration_text(event.seconds_left)} left"
    return f"fetched {event.done / event.total:.0%} of {bytes_text(event.total)}, {rate_text(event.rate)}{left}"


class Teller:
    """Describes events in turn. A run that waits says so at each look, and calibration names its block at each step; both are
    told once."""

    def __init__(self) -> None:
        self._waiting = self._block = ""

    def lines(self, events: Iterable[Event]) -> list[str]:
        """The lines that `events` are worth, in their order."""
        return [line for event in events if (line := self.line(event))]

    def line(self, event: Event) -> str:
        """The line that `event` is worth, or nothing."""
        line = describe(event)
        if isinstance(event, Calibrated):
            known, self._block = self._block, event.text
            return "" if event.text == known else f"calibrating {event.text}"
        if not isinstance(event, Waiting):
            self._waiting = ""
            return line
        known, self._waiting = self._waiting, line
        return "" if line == known else line
