"""The trail: the newest events and messages of this process, kept for the report of a failure. Bounded; costs next to nothing."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import fields
from datetime import datetime
from typing import Any

from qtquant_app.core.escaping import shortened, visible
from qtquant_app.core.events import (
    Calibrated,
    ChunkDone,
    Event,
    Fetched,
    RunStarted,
    ShardWritten,
    StageChanged,
    TensorDone,
    TensorKept,
    TensorScanned,
    TextRead,
    Verified,
    Waiting,
    Warned,
)

LOGGER_NAME = "qtquant"
"""What is logged goes to this logger; only front ends give it a file."""
LENGTH = 100
_PER_TENSOR = (TensorDone, TensorKept, TensorScanned, Verified)
_LONGEST = 300
"""Characters of a line; names in a checkpoint may be as long as they please."""


class Trail:
    """Any thread may add. Events that come by the thousand leave only the newest of them, and their number."""

    def __init__(self, length: int = LENGTH) -> None:
        self._steps: deque[tuple[float, Event | str]] = deque(maxlen=length)
        self._last: tuple[float, Event] | None = None
        self._count = 0
        self.facts: dict[str, str] = {}
        """What a report should say besides, such as the device chosen."""

    def add(self, event: Event) -> None:
        """Notes an event of a run, a scan, a preview."""
        if isinstance(event, (ChunkDone, Fetched, TextRead, Calibrated)):
            self._last, self._count = (time.time(), event), self._count + 1
        elif isinstance(event, _PER_TENSOR):  # put into words when they are asked for
            self._steps.append((time.time(), event))
        else:  # at once: some carry a whole plan
            self._steps.append((time.time(), event_line(event)))

    def say(self, text: str) -> None:
        """Notes a message, such as the window shows in its strip."""
        self._steps.append((time.time(), text))

    def lines(self) -> list[str]:
        """The steps in words, oldest first: `11:25:38.120 ShardWritten file=model.safetensors, bytes=1000`."""
        steps = [(when, step if isinstance(step, str) else event_line(step)) for when, step in tuple(self._steps)]
        if self._last is not None:
            when, event = self._last
            steps.append((when, f"{event_line(event)} (the newest of {self._count:,})"))
        return [
            f"{datetime.fromtimestamp(when):%H:%M:%S.%f}"[:12] + f" {visible(shortened(text, _LONGEST))}"
            for when, text in sorted(steps)
        ]

    def clear(self) -> None:
        self._steps.clear()
        self._last, self._count = None, 0
        self.facts.clear()


def event_line(event: Event) -> str:
    """An event in one line: its name, and what of it is a word or a number."""
    return f"{type(event).__name__} {', '.join(_words(event))}".strip()


def _words(event: Any) -> list[str]:
    found = []
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, (str, int, float)):
            found.append(f"{field.name}={value}")
        elif isinstance(name := getattr(value, "name", None), str):  # the report of a tensor
            found.append(f"{field.name}={name}")
    return found


TRAIL = Trail()
"""This process's."""


def log_event(event: Event) -> None:
    """Logs the milestones of a run: its start, its stages, its shards, what it warns of. Nothing for a chunk or a tensor."""
    if isinstance(event, (Warned, Waiting)):
        LOGGER.warning("%s", event_line(event))
    elif isinstance(event, (RunStarted, StageChanged, ShardWritten)):
        LOGGER.info("%s", event_line(event))


def log_events(events: Iterable[Event]) -> None:
    """`log_event` for each of a batch."""
    for event in events:
        log_event(event)


LOGGER = logging.getLogger(LOGGER_NAME)
LOGGER.addHandler(logging.NullHandler())  # without a front end nothing is printed either
