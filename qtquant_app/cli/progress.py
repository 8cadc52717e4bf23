"""Drives a generator of events from the command line: a live bar on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from time import monotonic
from typing import TextIO, TypeVar

from qtquant_app.core.escaping import visible, visible_lines
from qtquant_app.core.event_words import fetched_text
from qtquant_app.core.events import (
    Calibrated,
    ChunkDone,
    Event,
    Fetched,
    RunStarted,
    StageChanged,
    TextRead,
    Waiting,
    Warned,
)
from qtquant_app.core.quantities import duration_text, rate_text
from qtquant_app.core.trail import TRAIL, log_event

T = TypeVar("T")

_WIDTH = 24
_REFRESH_SECONDS = 0.1


class Bar:
    """One line on stderr, rewritten as bytes go through."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._stage = ""
        self._total = self._done = 0
        self._started = monotonic()
        self._drawn = 0.0
        self._waits = False
        self._fetching = ""

    def show(self, event: Event) -> None:
        waits, self._waits = self._waits, isinstance(event, Waiting)
        if isinstance(event, Waiting):
            if not waits:
                self.clear()
                say(f"waiting: {printable(event.text)}", stream=sys.stderr)
        elif isinstance(event, RunStarted):
            self._start(event.bytes_total)
        elif isinstance(event, StageChanged):
            self._stage = event.stage
        elif isinstance(event, Warned):
            self.clear()
            say(f"warning: {printable(event.text)}", stream=sys.stderr)
        elif isinstance(event, ChunkDone):
            self._done += event.bytes
            self._draw(event.tensor, rate_text)
        elif isinstance(event, Fetched):
            self._fetching = _piped(fetched_text(event))
            self._draw(event.file, rate_text)
        elif isinstance(event, Calibrated):
            if event.total != self._total:
                self._start(event.total)
            self._done = event.done
            self._draw(event.text, None)
        elif isinstance(event, TextRead):
            if event.done < self._done or event.total != self._total:
                self._start(event.total)
            self._done = event.done
            self._draw(f"{event.done:,} of {event.total:,} tokens", None)

    def _start(self, total: int) -> None:
        """Something else begins, `total` bytes or tokens long."""
        self._total, self._done, self._started = total, 0, monotonic()

    def clear(self) -> None:
        if self._live and self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _draw(self, name: str, rate_of: Callable[[float], str] | None) -> None:
        now = monotonic()
        if not self._live or now - self._drawn < _REFRESH_SECONDS:
            return
        self._drawn = now
        part = min(1.0, self._done / self._total) if self._total else 0.0
        elapsed = now - self._started
        left = f"ETA {duration_text(elapsed * (1 - part) / part)}" if part else ""
        filled = "=" * round(part * _WIDTH)
        rate = rate_of(self._done / elapsed) if elapsed and rate_of else ""
        name = printable(name)[-40:]
        line = f"{self._stage:8} [{filled:{_WIDTH}}] {part:4.0%} {rate} {left} {self._fetching}{name}"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


def _piped(text: str) -> str:
    return f"| {text} | " if text else ""


def drive(events: Generator[Event, None, T]) -> T:
    """Runs the generator to its end and returns its result. Ctrl-C closes it, so that its journal is kept."""
    bar = Bar()
    try:
        while True:
            event = next(events)
            TRAIL.add(event)
            log_event(event)
            bar.show(event)
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        bar.clear()
        events.close()


def printable(text: str) -> str:
    """`text` on one line, without control characters: names come from files that anyone may have made."""
    return visible(text)


def say(text: str = "", *, stream: TextIO | None = None) -> None:
    """Prints lines of our own to stdout, or to `stream`. Whatever is in them, nothing but text reaches the terminal."""
    print(visible_lines(text), file=stream)
