"""One pass over a chunk of rows: bits in, range, scale, codes, packed bytes and error sums out.

A row is worked off in tiles that fit the first-level cache; a tile holds whole groups and starts at a multiple of 64.
Matrices come as vectors, row after row, and working memory (`Scratch`) from outside: both keep the code small.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtquant_app.quant.kernels.affine import encode, parameters, restore, search
from qtquant_app.quant.kernels.half_quadratic import refine_zero
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import LANES, add_errors, folded
from qtquant_app.quant.kernels.packing import pack_row, unpack_row
from qtquant_app.quant.kernels.ranges import weigh
from qtquant_app.quant.kernels.source import decode, extremes, is_finite, loaded, span

DONE, NON_FINITE, OVERFLOW = 0, 1, 2
"""How a pass ended."""


class Scratch(NamedTuple):
    """Working memory of one call for tiles of `tile` columns in groups of `group`."""

    values: NDArray[np.float32]
    """The weights of a tile, zeros after them to whole lanes."""
    restored: NDArray[np.float32]
    """What their codes stand for, likewise."""
    codes: NDArray[np.uint8]
    searched: NDArray[np.float32]
    """The weights of one group, zeros after them to whole lanes."""
    steps: NDArray[np.float32]
    """The scale of each group of the tile."""
    middles: NDArray[np.int32]
    """The zero point of each group of the tile."""
    lanes: NDArray[np.float64]
    """Error sums of the row so far."""

    @classmethod
    def of(cls, tile: int, group: int) -> Scratch:
        size, groups = tile + LANES, -(-tile // group)
        return cls(
            np.zeros(size, np.float32),
            np.zeros(size, np.float32),
            np.empty(size, np.uint8),
            np.empty(group + LANES, np.float32),
            np.empty(groups, np.float32),
            np.empty(groups, np.int32),
            np.zeros(4 * LANES),
        )


@compiled
def quantize_rows(
    source: Any,
    columns: int,
    kind: int,
    bits: int,
    symmetric: bool,
    group: int,
    tile: int,
    ranges: Any,
    packed: Any,
    row_bytes: int,
    scales: Any,
    zeros: Any,
    sums: Any,
    peaks: Any,
    scratch: Any,
) -> Any:
    """Quantizes bits uint16 or uint32 [rows * columns]; returns (DONE or what went wrong, row).

    Fills packed uint8 [rows * row_bytes], scales (as `source`) and zeros uint8 [rows * groups], sums float64
    [3 * rows] and peaks float32 [rows]. With no factors in `ranges`, scales and zeros [1] are given and serve every weight.
    """
    values, restored, codes, _, steps, middles, lanes = scratch
    top = (1 << bits) - 1
    for row in range(len(peaks)):
        for start in range(0, columns, tile):
            count = min(tile, columns - start)
            decode(source, row * columns + start, count, kind, values)
            pad(values, count)
            pad(restored, count)
            place = row * ((columns + group - 1) // group) + start // group
            status = choose(start, count, group, ranges, top, symmetric, kind, scales, zeros, place, scratch)
            if status != DONE:
                return status, row
            for index in range((count + group - 1) // group):
                first, last = index * group, min((index + 1) * group, count)
                encode(values, first, last, steps[index], middles[index], top, codes, restored)
            add_errors(lanes, values, restored, (count + 15) // 16)
            end = row_bytes if start + count == columns else (start + count) * bits // 8
            pack_row(codes, 0, count, bits, packed, row * row_bytes + start * bits // 8, row * row_bytes + end)
        fold(lanes, sums, peaks, row)
    return DONE, 0


@compiled
def choose(
    start: int,
    count: int,
    group: int,
    ranges: Any,
    top: int,
    symmetric: bool,
    kind: int,
    scales: Any,
    zeros: Any,
    place: int,
    scratch: Any,
) -> int:
    """Finds the scale and zero point of each group of a tile that begins at column `start`, for `scratch` and for scales and
    zeros from `place` on."""
    values, _, _, searched, steps, middles, _ = scratch
    factors = ranges.factors
    for index in range((count + group - 1) // group):
        first, last = index * group, min((index + 1) * group, count)
        lo, hi = extremes(values, first, last)
        if not (is_finite(lo) and is_finite(hi)):
            return NON_FINITE
        if len(factors) == 0:
            steps[index], middles[index] = loaded(scales[0], kind), zeros[0]
            continue
        stored, scale, zero = parameters(lo, hi, factors[0], top, symmetric, kind)
        if len(factors) > 1:
            blocks = lift(values, first, last, searched)
            weighed = weigh(ranges, start + first, start + last)
            stored, scale, zero = search(
                searched, ranges.shares, weighed, blocks, lo, hi, factors, top, symmetric, kind
            )
        if not is_finite(scale):
            return OVERFLOW
        if len(ranges.shrinks) > 0:
            lift(values, first, last, searched)
            stored, scale, zero, _ = refine_zero(
                searched, last - first, stored, scale, zero, top, symmetric, kind, ranges.shrinks, ranges.work
            )
        steps[index], middles[index] = scale, zero
        scales[place + index], zeros[place + index] = stored, zero
    return DONE


@compiled
def compare_rows(
    source: Any,
    columns: int,
    kind: int,
    bits: int,
    group: int,
    tile: int,
    packed: Any,
    row_bytes: int,
    scales: Any,
    zeros: Any,
    sums: Any,
    peaks: Any,
    scratch: Any,
) -> Any:
    """Decodes packed rows and sums their errors against `source`; arguments and result as `quantize_rows`."""
    values, restored, codes, _, _, _, lanes = scratch
    for row in range(len(peaks)):
        for start in range(0, columns, tile):
            count = min(tile, columns - start)
            decode(source, row * columns + start, count, kind, values)
            pad(values, count)
            pad(restored, count)
            lo, hi = extremes(values, 0, count)
            if not (is_finite(lo) and is_finite(hi)):
                return NON_FINITE, row
            unpack_row(packed, row * row_bytes + start * bits // 8, bits, codes, 0, count)
            restore_tile(codes, columns, kind, group, row, start, count, scales, zeros, restored, 0)
            add_errors(lanes, values, restored, (count + 15) // 16)
        fold(lanes, sums, peaks, row)
    return DONE, 0


@compiled
def dequantize_rows(
    columns: int,
    kind: int,
    bits: int,
    group: int,
    tile: int,
    packed: Any,
    row_bytes: int,
    scales: Any,
    zeros: Any,
    out: Any,
    scratch: Any,
) -> None:
    """Fills out float32 [rows * columns] from packed rows; the other arguments as `quantize_rows`."""
    codes = scratch[2]
    for row in range(len(out) // columns):
        for start in range(0, columns, tile):
            count = min(tile, columns - start)
            unpack_row(packed, row * row_bytes + start * bits // 8, bits, codes, 0, count)
            at = row * columns + start
            restore_tile(codes, columns, kind, group, row, start, count, scales, zeros, out, at)


@compiled
def restore_tile(
    codes: Any,
    columns: int,
    kind: int,
    group: int,
    row: int,
    start: int,
    count: int,
    scales: Any,
    zeros: Any,
    out: Any,
    out_at: int,
) -> None:
    """Writes what codes[:count] stand for to out[out_at:], float32: the columns from `start` on of a row."""
    place = 0 if len(scales) == 1 else row * ((columns + group - 1) // group) + start // group
    for first in range(0, count, group):
        last = min(first + group, count)
        restore(codes, first, last, loaded(scales[place], kind), zeros[place], out, out_at)
        place += 0 if len(scales) == 1 else 1


@compiled
def extremes_rows(source: Any, columns: int, kind: int, values: Any) -> Any:
    """(DONE or NON_FINITE, row, smallest, largest) of bits [rows * columns]; `values` float32 [columns] is scratch."""
    smallest, largest = np.float32(np.inf), np.float32(-np.inf)
    for row in range(len(source) // columns):
        decode(source, row * columns, columns, kind, values)
        lo, hi = extremes(values, 0, columns)
        if not (is_finite(lo) and is_finite(hi)):
            return NON_FINITE, row, lo, hi
        smallest, largest = min(smallest, lo), max(largest, hi)
    return DONE, 0, smallest, largest


@compiled
def pad(values: Any, count: int) -> None:
    """Zeros after values[:count], up to whole lanes of sixteen."""
    for i in span(count, (count + 15) // 16 * 16):
        values[i] = 0


@compiled
def lift(values: Any, first: int, last: int, out: Any) -> int:
    """Copies values[first:last] to the start of `out`, zeros after it to whole lanes; returns the blocks of sixteen."""
    offset = np.uint64(first)
    for i in span(0, last - first):
        out[i] = values[offset + i]
    pad(out, last - first)
    return (last - first + 15) // 16


@compiled
def fold(lanes: Any, sums: Any, peaks: Any, row: int) -> None:
    """Ends a row: its lanes folded into sums [3 * rows] and peaks [rows] at `row`, and cleared."""
    for index in range(3):
        sums[index * len(peaks) + row] = folded(lanes, index)
    highest = 0.0
    for index in range(48, 64):
        highest = max(highest, lanes[index])
    peaks[row] = highest
    for index in range(64):
        lanes[index] = 0
