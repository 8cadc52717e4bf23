"""Waiting for room on a drive that has filled up while a run was writing: nothing is lost, and the run goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from time import sleep
from typing import TypeVar

from qtquant_app.core.errors import WriteError
from qtquant_app.core.events import Event, Waiting
from qtquant_app.core.quantities import bytes_text
from qtquant_app.engine.faults import DISK_FULL
from qtquant_app.engine.planner import free_bytes

T = TypeVar("T")

SECONDS = 0.2
"""Between two looks at the drive; a cancel is no slower."""


class Room:
    """The room on the drive that `folder` is on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def needed(self, work: Callable[[], T], again: Callable[[], T] | None = None) -> Generator[Event, None, T]:
        """`work`; where it finds the disk full, `again` (or else `work` once more) until that does not.

        Raises what they raise but a WriteError of the code "disk-full".
        """
        try:
            return work()
        except WriteError as error:
            full = _full(error)
        return (yield from self.awaited(full, again or work))

    def awaited(self, full: WriteError, again: Callable[[], T]) -> Generator[Event, None, T]:
        """`again`, as often as it takes; `full` is how the last attempt ended."""
        while True:
            yield Waiting(DISK_FULL, self._text(full))
            sleep(SECONDS)
            try:
                return again()
            except WriteError as error:
                full = _full(error)

    def _text(self, full: WriteError) -> str:
        free = free_bytes(self._folder)
        there = "" if free is None else f", and its drive has {bytes_text(free)} free"
        return f"{full.message}{there}: the run goes on when there is room"


def _full(error: WriteError) -> WriteError:
    if error.code != DISK_FULL:
        raise error
    return error
