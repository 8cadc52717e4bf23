"""Drives a generator of events from the command line: a live bar on a terminal, silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from time import monotonic
from typing import TypeVar

from qtquant_app.core.events import ChunkDone, Event, RunStarted, StageChanged, TextRead, Warned
from qtquant_app.core.quantities import duration_text, rate_text

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

    def show(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._start(event.bytes_total)
        elif isinstance(event, StageChanged):
            self._stage = event.stage
        elif isinstance(event, Warned):
            self.clear()
            print(f"warning: {event.text}", file=sys.stderr)
        elif isinstance(event, ChunkDone):
            self._done += event.bytes
            self._draw(event.tensor, rate_text)
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
        sys.stderr.write(f"\r\x1b[K{self._stage:8} [{filled:{_WIDTH}}] {part:4.0%} {rate} {left} {name}")
        sys.stderr.flush()


def drive(events: Generator[Event, None, T]) -> T:
    """Runs the generator to its end and returns its result. Ctrl-C closes it, so that its journal is kept."""
    bar = Bar()
    try:
        while True:
            bar.show(next(events))
    except StopIteration as finished:
        result: T = finished.value
        return result
    finally:
        bar.clear()
        events.close()


def printable(text: str) -> str:
    """`text` without control characters: names come from files that anyone may have made."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
