"""What one tensor loses under a scheme: the sums of a run, without the pictures of a preview."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.errors import UsageError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.matrix import Matrix
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.shared_range import fixed_of
from qtquant_app.engine.tensor_work import located
from qtquant_app.engine.tools import Tools
from qtquant_app.quant.chunk import Backend, QuantizedChunk, Raw, RowErrors, as_float32, rows_of

T = TypeVar("T")


def chunks(
    tools: Tools, tensor: Matrix, scheme: Scheme, take: Callable[[Raw, QuantizedChunk, int], T]
) -> Generator[Event, None, list[T]]:
    """Quantizes `tensor` as a run does, a chunk of rows at a time, and returns what `take` makes of each.

    `take` gets a chunk's weights, what became of them and its first row, in a thread of the pool; the weights are gone
    when it returns.
    """
    fixed = yield from fixed_of(tools, tensor, scheme)

    def work(start: int, stop: int) -> tuple[int, T]:
        raw = tools.reader.rows(tensor, start, stop)
        with located(tensor, start):
            chunk = tools.quantized(raw, tensor, scheme, fixed)
        return tensor.row_bytes * (stop - start), take(raw, chunk, start)

    found = []
    for nbytes, taken in ordered(
        tools.pool, tools.window, (partial(work, *span) for span in tools.spans(tensor, scheme))
    ):
        found.append(taken)
        yield ChunkDone(tensor.name, nbytes)
    return found


def bytes_read(tensor: Matrix, scheme: Scheme) -> int:
    """Bytes that `chunks` reads: all of the tensor, and once before where one scale serves all of it."""
    return tensor.nbytes * (2 if scheme.needs_extremes else 1)


def whole_and_part(
    tools: Tools, tensor: Matrix, scheme: Scheme, place: Place | None
) -> Generator[Event, None, tuple[ErrorSums, ErrorSums]]:
    """The errors of all of `tensor`, as a run reports them, and those of `place`, which must lie within it."""
    where = place or Place((0, tensor.rows), (0, tensor.columns))

    def take(raw: Raw, chunk: QuantizedChunk, start: int) -> tuple[RowErrors, RowErrors]:
        return chunk.errors, _part(tools.backend, raw, chunk, tensor.dtype, scheme, where, start)

    found = yield from chunks(tools, tensor, scheme, take)
    whole = RowErrors.concat([errors for errors, _ in found]).sums(tensor.columns)
    if place is None:
        return whole, whole
    return whole, RowErrors.concat([part for _, part in found]).sums(where.columns[1] - where.columns[0])


def checked_place(tensor: Matrix, place: Place | None) -> Place | None:
    """`place` itself. Raises UsageError where it is empty or not all of it lies within `tensor`."""
    if place is None:
        return None
    sides = (("row", place.rows, tensor.rows), ("column", place.columns, tensor.columns))
    for word, (first, end), count in sides:
        if not 0 <= first < end <= count:
            outside = first if first < 0 or first >= count else end - 1
            raise UsageError(
                f"{tensor.name} has no {word} {outside}: it has {count}", hint=f"{word}s count from 0", code="place"
            )
    return place


def _part(
    backend: Backend, raw: Raw, chunk: QuantizedChunk, dtype: str, scheme: Scheme, place: Place, start: int
) -> RowErrors:
    """The errors of the rows and columns of `place` that lie in a chunk whose first row is `start`."""
    top, bottom = max(place.rows[0] - start, 0), max(0, min(place.rows[1] - start, len(raw)))
    rows, columns = slice(top, max(top, bottom)), slice(*place.columns)
    if columns == slice(0, raw.shape[1]) or rows.start == rows.stop:
        errors = chunk.errors
        return RowErrors(
            errors.square_error[rows],
            errors.square_weight[rows],
            errors.square_dequantized[rows],
            errors.max_error[rows],
        )
    weights = as_float32(raw[rows, columns], dtype)
    restored = backend.dequantize(
        rows_of(chunk, np.arange(rows.start, rows.stop), scheme), dtype, scheme, raw.shape[1]
    )[:, columns]
    error = weights - restored  # in float32, as every pass over the weights takes it
    return RowErrors(_squares(error), _squares(weights), _squares(restored), np.abs(error).max(axis=1))


def _squares(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sum of squares of each row."""
    found: NDArray[np.float64] = (values.astype(np.float64) ** 2).sum(axis=1)
    return found
