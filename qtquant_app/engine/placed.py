"""Writes and reads what is stored for some rows of a weight: in one piece, row by row, or a stretch of each stored row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.plan import OutTensor
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.reader import RangeReader
from qtquant_app.formats.base import Bytes

_WHOLE = 24 << 20
"""A transposed tensor of so many bytes is read whole, for all chunks of its rows."""

Positions = NDArray[np.int64] | None
"""Where in the stored tensor each row goes; None where they stay in order."""


def write_rows(
    out: OutputFolder, file: str, place: OutTensor, rows: int, data: NDArray[Any], start: int, stop: int, at: Positions
) -> None:
    """Writes `data`, what is stored for the rows from `start` to `stop` of `rows`.

    Along axis 0 it is [stop - start, bytes of a row]; along axis 1 [first dimension, bytes that these rows take in each].
    """
    if place.axis == 1:
        width = place.nbytes // place.shape[0]
        first, last = width * start // rows, width * stop // rows
        if last - first == width and data.shape[1] == width:
            out.write(file, place.offset, np.ascontiguousarray(data))
            return
        for line, part in enumerate(data):
            out.write(file, place.offset + line * width + first, part[: last - first])
        return
    width = place.nbytes // rows
    for first, begin, end in _runs(start, stop, at):
        out.write(file, place.offset + first * width, np.ascontiguousarray(data[begin:end]))


def read_rows(
    reader: RangeReader, file: str, place: OutTensor, rows: int, start: int, stop: int, at: Positions, slot: str = ""
) -> Bytes:
    """The inverse of `write_rows`: two dimensions, in the reader's buffer `slot` where it is in one piece."""
    if place.axis == 1:
        width = place.nbytes // place.shape[0]
        first, last = width * start // rows, width * stop // rows
        if place.nbytes <= _WHOLE:
            lines = reader.held(file, place.offset, place.nbytes).reshape(place.shape[0], width)
            return np.ascontiguousarray(lines[:, first:last])
        found = np.empty((place.shape[0], last - first), np.uint8)
        for line in range(place.shape[0]):
            found[line] = reader.read(file, place.offset + line * width + first, last - first, slot)
        return found
    width = place.nbytes // rows
    if at is None:
        data = reader.read(file, place.offset + start * width, (stop - start) * width, slot)
        return data.reshape(stop - start, width)
    found = np.empty((stop - start, width), np.uint8)
    for first, begin, end in _runs(start, stop, at):
        data = reader.read(file, place.offset + first * width, (end - begin) * width, slot)
        found[begin:end] = data.reshape(end - begin, width)
    return found


def _runs(start: int, stop: int, at: Positions) -> Iterator[tuple[int, int, int]]:
    """Stretches of the rows from `start` to `stop` that stay together: (where it goes, its first and its last row but one,
    counted from `start`)."""
    if at is None:
        yield start, 0, stop - start
        return
    places = at[start:stop]
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    for begin, end in zip([0, *breaks.tolist()], [*breaks.tolist(), len(places)], strict=True):
        yield int(places[begin]), begin, end
