"""What is stored transposed is written in strips, chunks of rows put together: a few long stretches instead of many short ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Lock

import numpy as np

from qtquant_app.core.plan import OutTensor
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.placed import write_rows
from qtquant_app.formats.base import Bytes

STRIP_BYTES = 24 << 20
"""What a strip holds at most, if more than one chunk: the whole of most tensors."""


class Strip:
    """The chunks of the rows from `start` to `stop` of `rows`, as they come, in any order, from any thread."""

    def __init__(self, place: OutTensor, rows: int, spans: list[tuple[int, int]]) -> None:
        self._place, self._rows, self._spans = place, rows, spans
        self._lock, self._there = Lock(), set[int]()
        self._start, self._stop = spans[0][0], spans[-1][1]
        self._data: Bytes | None = None

    def write(self, out: OutputFolder, file: str, start: int, stop: int, data: Bytes) -> None:
        """Takes a chunk in; with the last of them, writes all. May be called again with a chunk after a write that failed."""
        first, last = (self._width(at - self._start) for at in (start, stop))
        with self._lock:
            if self._data is None:
                self._data = np.empty((self._place.shape[0], self._width(self._stop - self._start)), np.uint8)
        self._data[:, first:last] = data[:, : last - first]
        with self._lock:
            self._there.add(start)
            if len(self._there) < len(self._spans):
                return
        write_rows(out, file, self._place, self._rows, self._data, self._start, self._stop, None)
        self._data = None

    def _width(self, rows: int) -> int:
        return self._place.nbytes // self._place.shape[0] * rows // self._rows


def in_strips(
    place: OutTensor, rows: int, spans: Iterable[tuple[int, int]]
) -> Iterator[tuple[tuple[int, int], Strip | None]]:
    """Each of `spans`, the chunks of a tensor in order, and the strip that it goes to; none where `place` is not transposed."""
    if place.axis != 1:
        yield from ((span, None) for span in spans)
        return
    left = list(spans)
    while left:
        chunk = max(1, place.nbytes * (left[0][1] - left[0][0]) // rows)
        count = max(1, STRIP_BYTES // chunk)
        own, left = left[:count], left[count:]
        strip = Strip(place, rows, own)
        yield from ((span, strip) for span in own)
