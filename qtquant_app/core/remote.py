"""Weight files that are not here: what a checkpoint needs of the place where they are, whatever place that is."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from pathlib import Path
from threading import Event
from typing import Protocol


class GivenUp(Exception):  # noqa: N818 - not an error: nobody waits for it any longer
    """What was to be fetched is wanted no more."""


class Remote(Protocol):
    """One state of a repository, which never changes: a commit. Everything may be called by several threads at once.

    What it does raises SourceError where the files cannot be reached, or are not what they were said to be.
    """

    @property
    def name(self) -> str:
        """What opens just this state again: `org/name@COMMIT`."""

    def open(self, file: str) -> io.RawIOBase:
        """The file, to be read from any place; what is read is fetched, and kept for the next time."""

    def size(self, file: str) -> int:
        """Bytes of the file."""

    def mark(self, file: str) -> str:
        """A hash of the file's content, as the repository names it."""

    def fetch(self, file: str) -> Path:
        """A small file, fetched whole: where it lies here now, under its own name in the checkpoint's root."""

    def missing(self, file: str, start: int, stop: int) -> int:
        """How many bytes of `start` to `stop` would be transferred if they were read now."""

    def has(self, file: str) -> bool:
        """Whether the whole file is here, in the cache that the tools of the place share."""

    def part(self, file: str, start: int, stop: int, given_up: Event, *, anew: bool = False) -> bytes:
        """Bytes `start` to `stop`, of which no more is fetched than is not known, or all `anew`; nothing of it is kept.

        Raises GivenUp soon after the event is set.
        """

    def download(self, file: str, given_up: Event, progress: Callable[[int], None]) -> Path:
        """The whole file, fetched into the cache that the tools of the place share; `progress` is told how many
        bytes are there, in any thread.

        Raises GivenUp soon after the event is set.
        """

    def prefetch(self, file: str, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetches ranges of a file, several at a time, and keeps them."""
