"""What the error map shows: one number of each weight, drawn together in cells."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.quant.chunk import QuantizedChunk, Raw, checked, checked_chunk
from qtquant_app.quant.kernels.fused import restore_tile
from qtquant_app.quant.kernels.inspect import group_of, scratch_for, zeros_of
from qtquant_app.quant.kernels.jit import compiled, compiled_for_pictures
from qtquant_app.quant.kernels.packing import unpack_row
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
    columns_per_cell: int,
) -> Cells:
    """`view` of the chunk's weights in the matrix columns `columns` int32 [n], in that order, by cells of each row.

    Returns the value of the largest magnitude in each cell, with its sign, float32 [rows, cells], and the sums, float64
    [rows, cells]; the last cell may be smaller.
    """
    rows, width = checked(raw, dtype).shape
    checked_chunk(chunk, dtype, scheme, width, rows)
    across = -(-len(columns) // columns_per_cell)
    extreme, total = np.empty((rows, across), np.float32), np.empty((rows, across))
    rms = np.sqrt(chunk.errors.square_weight / width).astype(np.float32)
    natural = len(columns) == 0 or int(columns[-1]) - int(columns[0]) == len(columns) - 1
    natural = natural and bool((np.diff(columns) == 1).all())
    view_rows(
        flat(raw), width, KINDS[dtype], scheme.bits, group_of(scheme, width), flat(chunk.packed), chunk.packed.shape[1],
        flat(chunk.scale), flat(zeros_of(chunk, scheme)), VIEWS[view], rms, columns, natural, columns_per_cell,
        extreme.reshape(-1), total.reshape(-1), scratch_for(width), np.empty(len(columns), np.float32),
    )  # fmt: skip
    return extreme, total


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
    columns_per_cell: int,
    extreme: Any,
    total: Any,
    scratch: Any,
    shown: Any,
) -> None:
    """Fills extreme and total [rows * cells] from packed rows; `natural` where `columns` [n] follow each other."""
    values, restored, codes = scratch
    count = len(columns)
    across = (count + columns_per_cell - 1) // columns_per_cell
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
        if natural:
            offset = np.uint64(columns[0]) if count else np.uint64(0)
            for i in span(0, count):
                shown[i] = values[offset + i]
        else:
            for i in span(0, count):
                shown[i] = values[columns[i]]
        for cell in range(across):
            first, last = cell * columns_per_cell, min((cell + 1) * columns_per_cell, count)
            extreme[row * across + cell], total[row * across + cell] = drawn_together(shown, first, last)


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
def drawn_together(values: Any, first: int, last: int) -> Any:
    """(the value of the largest magnitude, the positive one of two; the sum) of values[first:last]."""
    low, high, total = values[first], values[first], 0.0
    for i in span(first, last):
        low, high = min(low, values[i]), max(high, values[i])
        total += np.float64(values[i])
    return (high if high >= -low else low), total
