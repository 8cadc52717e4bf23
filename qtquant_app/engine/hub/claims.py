"""Who is fetching what: of two threads that want the same bytes one waits until the other has them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Claims:
    """Ranges of one file that threads have claimed; no two of them overlap."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ranges: list[tuple[int, int]] = []

    @contextmanager
    def held(self, start: int, stop: int) -> Iterator[None]:
        """The range is this thread's within; waits for those that overlap it."""
        with self._changed:
            while any(start < other_stop and other_start < stop for other_start, other_stop in self._ranges):
                self._changed.wait()
            self._ranges.append((start, stop))
        try:
            yield
        finally:
            with self._changed:
                self._ranges.remove((start, stop))
                self._changed.notify_all()
