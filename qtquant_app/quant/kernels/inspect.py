"""What the inspector draws: where the weights of a chunk lie, and where their error lies."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import QuantizedChunk, Raw, checked, checked_chunk
from qtquant_app.quant.kernels.fused import restore_tile
from qtquant_app.quant.kernels.jit import compiled, compiled_for_pictures
from qtquant_app.quant.kernels.packing import unpack_row
from qtquant_app.quant.kernels.source import KINDS, decode, flat, span

TABLES = 4
"""Tables that a histogram counts in by turns: a processor stalls where it counts up the same cell twice in a row."""


def histogram(raw: Raw, dtype: str, lo: float, hi: float, bins: int) -> NDArray[np.int64]:
    """How many weights of a chunk lie in each of `bins` equal parts of [lo, hi], int64 [bins]; `hi` is in the last.

    Weights outside, and NaN, count nowhere. Raises ValueError where lo is not below hi.
    """
    if not lo < hi or bins < 1:
        raise ValueError(f"a histogram needs a range, not {lo} to {hi}, and a bin, not {bins}")
    columns = checked(raw, dtype).shape[1]
    tables = np.zeros(TABLES * bins, np.int64)
    count_rows(flat(raw), columns, KINDS[dtype], lo, hi, bins, tables, np.empty(columns, np.float32))
    counts: NDArray[np.int64] = tables.reshape(TABLES, bins).sum(axis=0)
    return counts


def cell_errors(
    raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme, rows_per_cell: int, columns_per_cell: int
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """The errors of `chunk`, e = w - dequantized(w), by cells of rows and columns; the last cells may be smaller.

    Returns the largest |e| of each cell, float32 [cells down, cells across], and for each column of cells the sums of
    e^2 and of w^2 over all rows, float64 [cells across]. The sums are for pictures: their last digits are not fixed.
    """
    rows, columns = checked(raw, dtype).shape
    checked_chunk(chunk, dtype, scheme, columns, rows)
    across = -(-columns // columns_per_cell)
    highest = np.zeros((-(-rows // rows_per_cell), across), np.float32)
    square_error, square_weight = np.zeros(across), np.zeros(across)
    zero = np.full(chunk.scale.shape, scheme.levels // 2, np.uint8) if chunk.zero is None else chunk.zero
    group = columns if scheme.group_size is None else min(scheme.group_size, columns)
    floats = np.empty(columns, np.float32)
    cell_rows(
        flat(raw), columns, KINDS[dtype], scheme.bits, group, flat(chunk.packed), chunk.packed.shape[1],
        flat(chunk.scale), flat(zero), rows_per_cell, columns_per_cell, highest.reshape(-1), square_error,
        square_weight, (floats, np.empty_like(floats), np.empty(columns, np.uint8)),
    )  # fmt: skip
    return highest, square_error, square_weight


@compiled
def count_rows(source: Any, columns: int, kind: int, lo: float, hi: float, bins: int, tables: Any, values: Any) -> None:
    """Counts the weights of bits [rows * columns] in `tables` int64 [4 * bins]; `values` float32 [columns] is scratch."""
    width = bins / (hi - lo)
    for row in range(len(source) // columns):
        decode(source, row * columns, columns, kind, values)
        for i in range(columns):
            value = np.float64(values[i])
            if lo <= value <= hi:
                index = min(int((value - lo) * width), bins - 1)
                tables[(i % 4) * bins + index] += 1


@compiled
def cell_rows(
    source: Any,
    columns: int,
    kind: int,
    bits: int,
    group: int,
    packed: Any,
    row_bytes: int,
    scales: Any,
    zeros: Any,
    rows_per_cell: int,
    columns_per_cell: int,
    highest: Any,
    square_error: Any,
    square_weight: Any,
    scratch: Any,
) -> None:
    """Decodes packed rows, and adds each cell's errors to highest [down * across] and the sums [across]."""
    values, restored, codes = scratch
    across = len(square_error)
    for row in range(len(source) // columns):
        decode(source, row * columns, columns, kind, values)
        unpack_row(packed, row * row_bytes, bits, codes, 0, columns)
        restore_tile(codes, columns, kind, group, row, 0, columns, scales, zeros, restored, 0)
        for cell in range(across):
            first, last = cell * columns_per_cell, min((cell + 1) * columns_per_cell, columns)
            peak, error, weight = cell_sums(values, restored, first, last)
            place = row // rows_per_cell * across + cell
            highest[place] = max(highest[place], peak)
            square_error[cell] += error
            square_weight[cell] += weight


@compiled_for_pictures
def cell_sums(values: Any, restored: Any, first: int, last: int) -> Any:
    """(largest |e|, sum of e^2, sum of w^2) of the weights [first:last] of a row."""
    peak, square_error, square_weight = np.float32(0), 0.0, 0.0
    for i in span(first, last):
        weight = values[i]
        error = np.float32(weight - restored[i])
        peak = max(peak, np.float32(abs(error)))
        square_error += np.float64(error) * np.float64(error)
        square_weight += np.float64(weight) * np.float64(weight)
    return peak, square_error, square_weight
