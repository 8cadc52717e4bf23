"""What the error map shows: one number of each weight, drawn together in cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.quant.chunk import QuantizedChunk, Raw, checked, checked_chunk
from qtquant_app.quant.kernels.fused import restore_tile
from qtquant_app.quant.kernels.inspect import group_of, is_affine, scratch_for, zeros_of
from qtquant_app.quant.kernels.jit import compiled, compiled_for_pictures
from qtquant_app.quant.kernels.packing import unpack_row
from qtquant_app.quant.kernels.restored_view import view_values
from qtquant_app.quant.kernels.source import KINDS, decode, flat, loaded, span

VIEWS = {view: number for number, view in enumerate(View)}
"""The number by which kernels know a view."""

ABSOLUTE, SIGNED, SQUARED, RELATIVE, SATURATION, SCALE, ZERO, WEIGHT = range(len(VIEWS))

Cells = tuple[NDArray[np.float32], NDArray[np.float64]]


def view_cells(
    raw: Raw,
    dtype: str,
    chunk: QuantizedChunk,
    scheme: Scheme,
    view: View,
    columns: NDArray[np.int32],
    rows_per_cell: int,
    columns_per_cell: int,
) -> Cells:
    """`view` of the chunk's weights in the matrix columns `columns` int32 [n], in that order, drawn together in cells.

    Returns the value of the largest magnitude in each cell, with its sign, float32 [cells down, cells across], and the
    sums, float64 of the same shape; the last cells may be smaller.
    """
    rows, width = checked(raw, dtype).shape
    checked_chunk(chunk, dtype, scheme, width, rows)
    shape = -(-rows // rows_per_cell), -(-len(columns) // columns_per_cell)
    extreme, total = np.empty(shape, np.float32), np.empty(shape)
    if not is_affine(scheme):
        values = view_values(raw, dtype, chunk, scheme, view)
        reduce_rows(
            values.reshape(-1), width, columns, rows_per_cell, columns_per_cell, extreme.reshape(-1), total.reshape(-1),
            np.empty(width, np.float32), _stripe(len(columns)),
        )  # fmt: skip
        return extreme, total
    rms = np.sqrt(chunk.errors.square_weight / width).astype(np.float32)
    natural = len(columns) == 0 or int(columns[-1]) - int(columns[0]) == len(columns) - 1
    natural = natural and bool((np.diff(columns) == 1).all())
    view_rows(
        flat(raw), width, KINDS[dtype], scheme.bits, group_of(scheme, width), flat(chunk.packed), chunk.packed.shape[1],
        flat(chunk.scale), flat(zeros_of(chunk, scheme)), VIEWS[view], rms, columns, natural, rows_per_cell,
        columns_per_cell, extreme.reshape(-1), total.reshape(-1), scratch_for(width), _stripe(len(columns)),
    )  # fmt: skip
    return extreme, total


@compiled
def reduce_rows(
    values: Any,
    width: int,
    columns: Any,
    rows_per_cell: int,
    columns_per_cell: int,
    extreme: Any,
    total: Any,
    shown: Any,
    stripe: Any,
) -> None:
    """Fills extreme and total [cells down * across] from one number of each weight, values float32 [rows * width]."""
    low, high, sums = stripe
    across, rows = (len(columns) + columns_per_cell - 1) // columns_per_cell, len(values) // width
    for row in range(rows):
        mine = values[row * width : (row + 1) * width]
        take_row(mine, columns, False, row % rows_per_cell == 0, shown, low, high, sums)
        if (row + 1) % rows_per_cell == 0 or row + 1 == rows:
            place = row // rows_per_cell * across
            for cell in range(across):
                first, last = cell * columns_per_cell, min((cell + 1) * columns_per_cell, len(columns))
                extreme[place + cell], total[place + cell] = drawn_together(low, high, sums, first, last)


def _stripe(columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Working memory for the rows of a cell: the smallest, the largest and the sum of each column."""
    return np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns)


@compiled
def view_rows(
    source: Any,
    width: int,
    kind: int,
    bits: int,
    group: int,
    packed: Any,
    row_bytes: int,
    scales: Any,
    zeros: Any,
    view: int,
    rms: Any,
    columns: Any,
    natural: bool,
    rows_per_cell: int,
    columns_per_cell: int,
    extreme: Any,
    total: Any,
    scratch: Any,
    stripe: Any,
) -> None:
    """Fills extreme and total [cells down * across] from packed rows; `natural` where `columns` [n] follow each other.

    The rows of a cell are drawn together first, column by column: that goes several columns at a time.
    """
    values, restored, codes = scratch
    low, high, sums = stripe
    across = (len(columns) + columns_per_cell - 1) // columns_per_cell
    for row in range(len(rms)):
        decode(source, row * width, width, kind, values)
        unpack_row(packed, row * row_bytes, bits, codes, 0, width)
        restore_tile(codes, width, kind, group, row, 0, width, scales, zeros, restored, 0)
        if view in (SCALE, ZERO):
            fill_parameters(view, row, width, group, kind, scales, zeros, values)
        elif view == SATURATION:
            mark_saturated(row, width, group, kind, (1 << bits) - 1, scales, codes, restored, values)
        elif view != WEIGHT:
            fill_errors(view, width, rms[row], restored, values)
        take_row(values, columns, natural, row % rows_per_cell == 0, restored, low, high, sums)
        if (row + 1) % rows_per_cell == 0 or row + 1 == len(rms):
            place = row // rows_per_cell * across
            for cell in range(across):
                first, last = cell * columns_per_cell, min((cell + 1) * columns_per_cell, len(columns))
                extreme[place + cell], total[place + cell] = drawn_together(low, high, sums, first, last)


@compiled
def take_row(values: Any, columns: Any, natural: bool, fresh: bool, shown: Any, low: Any, high: Any, sums: Any) -> None:
    """Takes the shown columns of a row's values into the stripe of its cells; `fresh` where it is the first row there.

    One array is written in each loop, and no condition stands in any, so that several columns are worked on at once.
    """
    count = len(columns)
    if natural and count > 0:
        offset = np.uint64(columns[0])
        for i in span(0, count):
            shown[i] = values[offset + i]
    else:
        for i in span(0, count):
            shown[i] = values[columns[i]]
    if fresh:
        for i in span(0, count):
            low[i] = shown[i]
        for i in span(0, count):
            high[i] = shown[i]
        for i in span(0, count):
            sums[i] = np.float64(shown[i])
        return
    for i in span(0, count):
        low[i] = min(low[i], shown[i])
    for i in span(0, count):
        high[i] = max(high[i], shown[i])
    for i in span(0, count):
        sums[i] += np.float64(shown[i])


@compiled
def fill_errors(view: int, width: int, rms: Any, restored: Any, values: Any) -> None:
    """Puts the view's kind of error of a row in the place of its weights, values float32 [width]."""
    for i in span(0, width):
        values[i] = np.float32(values[i] - restored[i])
    if view == SQUARED:
        for i in span(0, width):
            values[i] = values[i] * values[i]
    elif view != SIGNED:
        for i in span(0, width):
            values[i] = np.float32(abs(values[i]))
    if view == RELATIVE and rms > 0:
        for i in span(0, width):
            values[i] = np.float32(values[i] / rms)


@compiled
def mark_saturated(
    row: int, width: int, group: int, kind: int, top: int, scales: Any, codes: Any, restored: Any, values: Any
) -> None:
    """Puts 1 in the place of each weight of a row that lies over half a step beyond the first or last level, else 0."""
    place = 0 if len(scales) == 1 else row * ((width + group - 1) // group)
    for start in range(0, width, group):
        half = np.float32(np.float32(0.5) * loaded(scales[place], kind))
        for i in span(start, min(start + group, width)):
            beyond = np.float32(abs(np.float32(values[i] - restored[i]))) > half
            values[i] = np.float32(1) if beyond and (codes[i] == 0 or codes[i] == top) else np.float32(0)
        place += 0 if len(scales) == 1 else 1


@compiled
def fill_parameters(
    view: int, row: int, width: int, group: int, kind: int, scales: Any, zeros: Any, values: Any
) -> None:
    """Puts the scale or zero point of its group in the place of each weight of a row."""
    place = 0 if len(scales) == 1 else row * ((width + group - 1) // group)
    for start in range(0, width, group):
        value = loaded(scales[place], kind) if view == SCALE else np.float32(zeros[place])
        for i in span(start, min(start + group, width)):
            values[i] = value
        place += 0 if len(scales) == 1 else 1


@compiled_for_pictures
def drawn_together(low: Any, high: Any, sums: Any, first: int, last: int) -> Any:
    """(the value of the largest magnitude, the positive one of two; the sum) of the columns [first:last] of a stripe."""
    smallest, largest, total = low[first], high[first], 0.0
    for i in span(first, last):
        smallest, largest = min(smallest, low[i]), max(largest, high[i])
        total += sums[i]
    return (largest if largest >= -smallest else smallest), total
