"""Weight files that are not here: what a checkpoint needs of the place where they are, whatever place that is."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol


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

    def prefetch(self, file: str, ranges: Iterable[tuple[int, int]]) -> None:
        """Fetches ranges of a file, several at a time, and keeps them."""
