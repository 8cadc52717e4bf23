"""The pieces of work of a preview: chunks of rows quantized, measured and drawn."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.matrix import Matrix
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import MAX_CELLS, View
from qtquant_app.engine.look import Positions, cell_size, every, quantized, read_rows
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.tensor_work import located
from qtquant_app.engine.tools import Tools
from qtquant_app.quant.chunk import Fixed, RowErrors
from qtquant_app.quant.kernels.inspect import CellErrors, cell_errors, histogram
from qtquant_app.quant.kernels.view import view_cells

_PROFILE_BLOCKS = 256
"""Column blocks where the scheme has no groups of its own."""

_SAMPLE = 1 << 20
"""Weights in a sample of rows, about: a few milliseconds of work."""

_SAMPLE_CHUNK = 1 << 19
"""Bytes of a chunk of a sample: small, so that every thread has one."""

_HOTTEST = 32


@dataclass(frozen=True, slots=True)
class Hot:
    """A group of a row, or a few side by side, with much error; columns from `first` to `end`."""

    row: int
    first: int
    end: int
    square_error: float
    square_weight: float
    max_error: float


@dataclass(frozen=True, slots=True)
class Work:
    """Which rows are looked at, and how the maps are cut into cells."""

    matrix: Matrix
    scheme: Scheme
    view: View
    rows: Positions
    sampled: bool
    rows_per_cell: int
    """Of the picture: matrix rows, of which a sample looks at one."""
    columns_per_cell: int
    group_columns: int
    """Columns of a part of the profile, cut at group boundaries where there are groups."""

    @classmethod
    def of(cls, matrix: Matrix, scheme: Scheme, view: View, sample: bool) -> Work:
        rows, columns = matrix.shape
        group = min(scheme.group_size or cell_size(columns, _PROFILE_BLOCKS), columns)
        group *= cell_size(-(-columns // group), MAX_CELLS)
        looked_at = max(1, _SAMPLE // columns)
        sampled = sample and looked_at < rows and scheme.row_block == 1
        tall = cell_size(rows, min(looked_at, MAX_CELLS) if sampled else MAX_CELLS)
        chosen = np.minimum(every(rows)[::tall] + tall // 2, rows - 1) if sampled else every(rows)
        return cls(matrix, scheme, view, chosen, sampled, tall, cell_size(columns, MAX_CELLS), group)

    def spans(self, tools: Tools) -> Iterator[Positions]:
        """The rows looked at, a chunk at a time; no cell of the picture is cut."""
        row_bytes = self.matrix.row_bytes
        if self.sampled:
            step = max(1, _SAMPLE_CHUNK // row_bytes)
        else:
            limit, whole = tools.cut.rows(row_bytes), lcm(self.rows_per_cell, self.scheme.row_block)
            step = max(1, limit // whole) * whole
        return (self.rows[start : start + step] for start in range(0, len(self.rows), step))

    def spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """`values` of the rows looked at as values of all rows: each stands for its neighbours."""
        return np.repeat(values, self.rows_per_cell)[: self.matrix.rows] if self.sampled else values


@dataclass(frozen=True, slots=True)
class Weights:
    """What does not depend on the scheme; `counts` are None until they are counted."""

    range: tuple[float, float]
    edges: NDArray[np.float64]
    counts: NDArray[np.int64] | None

    @classmethod
    def between(cls, extremes: tuple[float, float], bins: int) -> Weights:
        """An axis of `bins` equal parts: never empty, even where all weights are one value."""
        low, high = extremes
        if low == high:
            low, high = low - max(abs(low), 1e-6), high + max(abs(high), 1e-6)
        return cls(extremes, np.linspace(low, high, bins + 1), None)


@dataclass(frozen=True, slots=True)
class Part:
    """What one chunk adds to the picture."""

    bytes: int
    errors: RowErrors
    scale: NDArray[Any]
    zero: NDArray[np.uint8] | None
    counts: NDArray[np.int64] | None
    error_counts: NDArray[np.int64]
    cell_error: NDArray[np.float64]
    """Sum of e^2 of each part of the profile."""
    cell_weight: NDArray[np.float64]
    column_error: NDArray[np.float64]
    hot: tuple[Hot, ...]
    extreme: NDArray[np.float32]
    total: NDArray[np.float64]


def extremes(tools: Tools, work: Work) -> Generator[Event, None, tuple[float, float]]:
    """The smallest and largest weight of the rows looked at."""

    def chunk(rows: Positions) -> tuple[int, float, float]:
        raw = read_rows(tools, work.matrix, rows)
        with located(work.matrix, rows):
            return work.matrix.row_bytes * len(rows), *tools.backend.extremes(raw, work.matrix.dtype)

    low, high = np.inf, -np.inf
    for nbytes, lo, hi in ordered(tools.pool, tools.window, (partial(chunk, rows) for rows in work.spans(tools))):
        low, high = min(low, lo), max(high, hi)
        yield ChunkDone(work.matrix.name, nbytes)
    return low, high


def parts(tools: Tools, work: Work, fixed: Fixed | None, weights: Weights) -> Iterator[Callable[[], Part]]:
    """The work, chunk by chunk."""
    return (partial(_part, tools, work, fixed, weights, rows) for rows in work.spans(tools))


def _part(tools: Tools, work: Work, fixed: Fixed | None, weights: Weights, rows: Positions) -> Part:
    matrix, scheme, dtype = work.matrix, work.scheme, work.matrix.dtype
    raw, chunk = quantized(tools, matrix, scheme, rows, fixed)
    counts = None
    if weights.counts is None:
        counts = histogram(raw, dtype, float(weights.edges[0]), float(weights.edges[-1]), len(weights.edges) - 1)
    cells = cell_errors(raw, dtype, chunk, scheme, work.group_columns)
    down = 1 if work.sampled else work.rows_per_cell
    extreme, total = view_cells(
        raw, dtype, chunk, scheme, work.view, every(matrix.columns), down, work.columns_per_cell
    )
    return Part(
        bytes=matrix.row_bytes * len(rows),
        errors=chunk.errors,
        scale=chunk.scale,
        zero=chunk.zero,
        counts=counts,
        error_counts=cells.counts,
        cell_error=cells.square_error.sum(axis=0),
        cell_weight=cells.square_weight.sum(axis=0),
        column_error=cells.columns,
        hot=_hot(cells, rows, work),
        extreme=extreme,
        total=total,
    )


def _hot(cells: CellErrors, rows: Positions, work: Work) -> tuple[Hot, ...]:
    """The cells of a chunk with the largest squared error."""
    errors = cells.square_error.reshape(-1)
    count, across = min(_HOTTEST, errors.size), cells.square_error.shape[1]
    places = np.argpartition(errors, errors.size - count)[errors.size - count :]
    found = []
    for place in places.tolist():
        row, cell = divmod(place, across)
        first = cell * work.group_columns
        found.append(
            Hot(
                row=int(rows[row]),
                first=first,
                end=min(first + work.group_columns, work.matrix.columns),
                square_error=float(errors[place]),
                square_weight=float(cells.square_weight[row, cell]),
                max_error=float(cells.peak[row, cell]),
            )
        )
    return tuple(found)


def hottest(found: Iterable[Hot]) -> tuple[Hot, ...]:
    """Those with the largest squared error, the largest first; of equals the upper left one."""
    return tuple(sorted(found, key=lambda hot: (-hot.square_error, hot.row, hot.first))[:_HOTTEST])
