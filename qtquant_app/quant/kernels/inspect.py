"""What the inspector draws: where the weights of a chunk lie, and where their error lies."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import QuantizedChunk, Raw, checked, checked_chunk
from qtquant_app.quant.kernels.fused import restore_tile
from qtquant_app.quant.kernels.intrinsics import bits_float, float_bits
from qtquant_app.quant.kernels.jit import compiled, compiled_for_pictures
from qtquant_app.quant.kernels.packing import unpack_row
from qtquant_app.quant.kernels.source import KINDS, decode, flat, span

TABLES = 4
"""Tables that a histogram counts in by turns: a processor stalls where it counts up the same cell twice in a row."""

ERROR_BINS = 1024
"""Bins of |e|: the upper eleven bits of a float32 without its sign, so four to an octave."""


class CellErrors(NamedTuple):
    """The errors of a chunk, e = w - dequantized(w), by rows and cells of columns. Sums are for pictures: their last
    digits are not fixed."""

    peak: NDArray[np.float32]
    """Largest |e|, [rows, cells]."""
    square_error: NDArray[np.float64]
    """Sum of e^2, [rows, cells]."""
    square_weight: NDArray[np.float64]
    """Sum of w^2, [rows, cells]."""
    columns: NDArray[np.float64]
    """Sum of e^2 of each column, [columns]."""
    counts: NDArray[np.int64]
    """How many |e| have the bits of each bin, [ERROR_BINS]."""


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


def cell_errors(raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme, columns_per_cell: int) -> CellErrors:
    """The errors of `chunk` in each row by cells of `columns_per_cell` columns; the last cell may be smaller."""
    rows, columns = checked(raw, dtype).shape
    checked_chunk(chunk, dtype, scheme, columns, rows)
    across = -(-columns // columns_per_cell)
    peak, sums = np.empty((rows, across), np.float32), np.empty((2, rows, across))
    by_column, tables = np.zeros(columns), np.zeros(TABLES * ERROR_BINS, np.int64)
    if is_affine(scheme):
        error_rows(
            flat(raw), columns, KINDS[dtype], scheme.bits, group_of(scheme, columns), flat(chunk.packed),
            chunk.packed.shape[1], flat(chunk.scale), flat(zeros_of(chunk, scheme)), columns_per_cell, peak.reshape(-1),
            sums[0].reshape(-1), sums[1].reshape(-1), by_column, tables, scratch_for(columns),
        )  # fmt: skip
    else:
        known_error_rows(
            flat(raw), columns, KINDS[dtype], restored_of(chunk, dtype, scheme, columns).reshape(-1), columns_per_cell,
            peak.reshape(-1), sums[0].reshape(-1), sums[1].reshape(-1), by_column, tables, scratch_for(columns),
        )  # fmt: skip
    return CellErrors(peak, sums[0], sums[1], by_column, tables.reshape(TABLES, ERROR_BINS).sum(axis=0))


def is_affine(scheme: Scheme) -> bool:
    """Whether weights are w = s (u - z), codes packed one after the other: what is drawn is then made of them in one pass."""
    return scheme.type == "int" and scheme.layout is None and scheme.offset == "integer"


def restored_of(chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
    """The weights that the bytes of a chunk stand for, float32 [rows, columns]."""
    from qtquant_app.quant.kernels.cpu import CpuBackend

    return CpuBackend().dequantize(chunk, dtype, scheme, columns)


def error_edges(first: int = 0, last: int = ERROR_BINS - 4) -> NDArray[np.float64]:
    """Where the bins of |e| begin, from bin `first` to bin `last` and its end; [last - first + 1]."""
    return (np.arange(first, last + 1, dtype=np.uint32) << np.uint32(21)).view(np.float32).astype(np.float64)


def group_of(scheme: Scheme, columns: int) -> int:
    """Columns that share a scale."""
    return columns if scheme.group_size is None else min(scheme.group_size, columns)


def zeros_of(chunk: QuantizedChunk, scheme: Scheme) -> NDArray[np.uint8]:
    """The zero points of a chunk, also where they are all the same and not stored."""
    return np.full(chunk.scale.shape, scheme.levels // 2, np.uint8) if chunk.zero is None else chunk.zero


def scratch_for(columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]:
    """Working memory of one row: its weights, what their codes stand for, its codes."""
    return np.empty(columns, np.float32), np.empty(columns, np.float32), np.empty(columns, np.uint8)


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
def error_rows(
    source: Any,
    columns: int,
    kind: int,
    bits: int,
    group: int,
    packed: Any,
    row_bytes: int,
    scales: Any,
    zeros: Any,
    columns_per_cell: int,
    peak: Any,
    square_error: Any,
    square_weight: Any,
    by_column: Any,
    tables: Any,
    scratch: Any,
) -> None:
    """Decodes packed rows, and fills peak and sums [rows * cells]; adds to by_column [columns] and tables [4 * bins]."""
    values, restored, codes = scratch
    across = (columns + columns_per_cell - 1) // columns_per_cell
    for row in range(len(source) // columns):
        decode(source, row * columns, columns, kind, values)
        unpack_row(packed, row * row_bytes, bits, codes, 0, columns)
        restore_tile(codes, columns, kind, group, row, 0, columns, scales, zeros, restored, 0)
        for cell in range(across):
            first, last = cell * columns_per_cell, min((cell + 1) * columns_per_cell, columns)
            place = row * across + cell
            peak[place], square_error[place], square_weight[place] = cell_sums(values, restored, first, last)
        take_columns(values, restored, columns, by_column)
        count_errors(values, restored, columns, tables)


@compiled
def known_error_rows(
    source: Any,
    columns: int,
    kind: int,
    known: Any,
    columns_per_cell: int,
    peak: Any,
    square_error: Any,
    square_weight: Any,
    by_column: Any,
    tables: Any,
    scratch: Any,
) -> None:
    """As `error_rows`, from what the codes stand for: known float32 [rows * columns]."""
    values, restored, _ = scratch
    across = (columns + columns_per_cell - 1) // columns_per_cell
    for row in range(len(source) // columns):
        decode(source, row * columns, columns, kind, values)
        offset = np.uint64(row * columns)
        for i in span(0, columns):
            restored[i] = known[offset + i]
        for cell in range(across):
            first, last = cell * columns_per_cell, min((cell + 1) * columns_per_cell, columns)
            place = row * across + cell
            peak[place], square_error[place], square_weight[place] = cell_sums(values, restored, first, last)
        take_columns(values, restored, columns, by_column)
        count_errors(values, restored, columns, tables)


@compiled_for_pictures
def cell_sums(values: Any, restored: Any, first: int, last: int) -> Any:
    """(largest |e|, sum of e^2, sum of w^2) of the weights [first:last] of a row.

    The largest is found among bits: comparing floats, which may be NaN, is not done several at a time.
    """
    square_error, square_weight = 0.0, 0.0
    for i in span(first, last):
        error = np.float64(np.float32(values[i] - restored[i]))
        square_error += error * error
        square_weight += np.float64(values[i]) * np.float64(values[i])
    peak = np.int32(0)
    for i in span(first, last):
        size = np.int32(float_bits(np.float32(values[i] - restored[i])) & np.uint32(0x7FFFFFFF))
        peak = max(peak, size)
    return bits_float(np.uint32(peak)), square_error, square_weight


@compiled_for_pictures
def take_columns(values: Any, restored: Any, columns: int, by_column: Any) -> None:
    """Adds e^2 of a row to by_column float64 [columns]."""
    for i in span(0, columns):
        error = np.float64(np.float32(values[i] - restored[i]))
        by_column[i] += error * error


@compiled
def count_errors(values: Any, restored: Any, columns: int, tables: Any) -> None:
    """Counts |e| of a row in tables int64 [4 * ERROR_BINS] by its upper bits; `restored` is used up."""
    for i in span(0, columns):
        restored[i] = np.float32(values[i] - restored[i])
    for i in span(0, columns):
        index = (float_bits(restored[i]) & np.uint32(0x7FFFFFFF)) >> np.uint32(21)
        tables[(np.uint32(i) & np.uint32(3)) * np.uint32(1024) + index] += 1
