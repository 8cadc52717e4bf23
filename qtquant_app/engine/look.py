"""A window of a matrix as cells: what the error map draws, down to one weight a cell."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.matrix import Matrix, find
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Window
from qtquant_app.engine.cost import CHUNK_BYTES
from qtquant_app.engine.device import resolve
from qtquant_app.engine.holder import holder
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.tensor_work import located
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.quant.chunk import Fixed, QuantizedChunk, RowErrors, rows_of
from qtquant_app.quant.kernels.view import Cells, view_cells

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

Positions = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Picture:
    """What a window shows, reduced to cells; the last row and column of cells may stand for fewer weights."""

    window: Window
    rows: Positions
    """The matrix row at each display position of the window, [bottom - top]."""
    columns: Positions
    """The matrix column at each display position, [right - left]."""
    rows_per_cell: int
    columns_per_cell: int
    extreme: NDArray[np.float32]
    """The value of the largest magnitude in each cell, with its sign."""
    mean: NDArray[np.float32]
    """The mean of each cell."""


def look(
    checkpoint: Checkpoint, layer: str, scheme: Scheme, window: Window, known: Preview, *, device: str = "auto"
) -> Generator[Event, None, Picture]:
    """The cells of `window`, from the rows it needs and no others. `known` is the layer's preview under `scheme`, or what a
    run makes of that: it has the order of rows and columns, and the parameters of a whole tensor.

    Raises what `preview` raises.
    """
    matrix, scheme = find(checkpoint, layer), known.scheme
    rows = _positions(known.channel_square_error if window.sort_rows else None, window.top, window.bottom)
    columns = _positions(known.column_square_error if window.sort_columns else None, window.left, window.right)
    down, across = cell_size(len(rows), window.cells_down), cell_size(len(columns), window.cells_across)
    yield RunStarted(1, len(rows) * matrix.row_bytes)
    work = _Work(matrix, scheme, window, columns, across, known)
    extreme: list[NDArray[np.float32]] = []
    total: list[NDArray[np.float64]] = []
    with open_tools(checkpoint, holder(matrix, scheme), resolve(device)) as tools:
        for start, count, (high, sums) in ordered(tools.pool, tools.window, _tasks(tools, work, rows, down)):
            if start % down:  # the next rows of a cell that is more than a chunk
                extreme[-1] = _larger(extreme[-1], high)
                total[-1] = total[-1] + sums
            else:
                extreme.append(high)
                total.append(sums)
            yield ChunkDone(matrix.name, count * matrix.row_bytes)
    return Picture(
        window=window,
        rows=rows,
        columns=columns,
        rows_per_cell=down,
        columns_per_cell=across,
        extreme=np.concatenate(extreme),
        mean=mean_of(np.concatenate(total), len(rows), down, len(columns), across),
    )


def cell_size(length: int, cells: int) -> int:
    """How many rows or columns go into a cell so that there are at most `cells`."""
    return max(1, -(-length // max(1, cells)))


def every(length: int) -> Positions:
    """All rows or columns, as they are."""
    return np.arange(length, dtype=np.int32)


def mean_of(
    total: NDArray[np.float64], rows: int, rows_per_cell: int, columns: int, columns_per_cell: int
) -> NDArray[np.float32]:
    """The means of cells from their sums over `rows` by `columns` weights."""
    down, across = (
        np.diff(np.append(np.arange(0, length, size), length))
        for length, size in ((rows, rows_per_cell), (columns, columns_per_cell))
    )
    with np.errstate(over="ignore"):  # squares of the largest numbers are beyond float32
        mean: NDArray[np.float32] = (total / np.outer(down, across)).astype(np.float32)
    return mean


def _larger(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    """The value of the larger magnitude, the positive one of two."""
    found: NDArray[np.float32] = np.where(np.abs(one) > np.abs(other), one, other)
    return np.where(np.abs(one) == np.abs(other), np.maximum(one, other), found)


def _positions(errors: NDArray[np.float64] | None, first: int, last: int) -> Positions:
    """The rows or columns at the display positions from `first` to `last`: as they are, or the largest error first."""
    if errors is None:
        return np.arange(first, last, dtype=np.int32)
    return np.argsort(-errors, kind="stable").astype(np.int32)[first:last]


@dataclass(frozen=True, slots=True)
class _Work:
    matrix: Matrix
    scheme: Scheme
    window: Window
    columns: Positions
    columns_per_cell: int
    known: Preview


def _tasks(tools: Tools, work: _Work, rows: Positions, down: int) -> Iterator[Callable[[], Any]]:
    """Chunks of whole cells; where one cell is more than a chunk, chunks of a part of it."""
    most = max(1, CHUNK_BYTES // work.matrix.row_bytes)
    whole = max(down, most // down * down)
    for first in range(0, len(rows), whole):
        end = min(first + whole, len(rows))
        step = whole if whole <= most else most
        for start in range(first, end, step):
            yield partial(_cells, tools, work, rows, start, min(start + step, end), down)


def _cells(tools: Tools, work: _Work, every_row: Positions, start: int, stop: int, down: int) -> tuple[int, int, Cells]:
    """(the first display position, how many, their cells)."""
    matrix, scheme, rows = work.matrix, work.scheme, every_row[start:stop]
    raw, chunk = quantized(tools, matrix, scheme, rows, work.known.fixed)
    view = work.window.view
    cells = view_cells(raw, matrix.dtype, chunk, scheme, view, work.columns, down, work.columns_per_cell)
    return start, len(rows), cells


def quantized(
    tools: Tools, matrix: Matrix, scheme: Scheme, rows: Positions, fixed: Fixed | None
) -> tuple[NDArray[Any], QuantizedChunk]:
    """The matrix rows `rows`, in their order, and what a run makes of them: rows that share scales are quantized together."""
    if scheme.row_block == 1 or _whole_blocks(rows, scheme.row_block, matrix.rows):
        raw = read_rows(tools, matrix, rows)
        with located(matrix, rows):
            return raw, tools.quantized(raw, matrix, scheme, fixed)
    parts, raws, taken = [], [], []
    for block in np.unique(rows // scheme.row_block).tolist():
        first = block * scheme.row_block
        raw = tools.reader.rows(matrix, first, min(first + scheme.row_block, matrix.rows))
        with located(matrix, first):
            chunk = tools.quantized(raw, matrix, scheme, fixed)
        mine = np.flatnonzero(rows // scheme.row_block == block)
        parts.append(rows_of(chunk, rows[mine] - first, scheme))
        raws.append(raw[rows[mine] - first])
        taken.append(mine)
    order = np.argsort(np.concatenate(taken))
    together = QuantizedChunk(
        np.concatenate([part.packed for part in parts]),
        np.concatenate([part.scale for part in parts]),
        None,
        RowErrors.concat([part.errors for part in parts]),
    )
    return np.concatenate(raws)[order], rows_of(together, order, scheme)


def _whole_blocks(rows: Positions, block: int, all_rows: int) -> bool:
    """Whether `rows` follow each other from the start of a block to the end of one."""
    first, last = int(rows[0]), int(rows[-1]) + 1
    return first % block == 0 and (last % block == 0 or last == all_rows) and bool((np.diff(rows) == 1).all())


def read_rows(tools: Tools, matrix: Matrix, rows: Positions) -> NDArray[Any]:
    """The matrix rows `rows`, in their order: one read where they follow each other."""
    first = int(rows[0])
    if bool((np.diff(rows) == 1).all()):
        return tools.reader.rows(matrix, first, first + len(rows))
    return np.concatenate([tools.reader.rows(matrix, int(row), int(row) + 1).copy() for row in rows])
