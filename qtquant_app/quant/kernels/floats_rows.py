"""One pass over a chunk of rows under a floating-point scheme: bits in, range, scale, codes, packed bytes and error sums out.

Shaped as `fused`, whose scratch it shares. Scales serve `down` rows at a time.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.kernels.floats import (
    FP8,
    encode4,
    encode8,
    endless,
    largest,
    restore,
    scale_of,
    scales_of,
    search,
    sizes_of,
    step_of,
)
from qtquant_app.quant.kernels.fused import DONE, NON_FINITE, fold, lift, pad
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import add_errors
from qtquant_app.quant.kernels.packing import pack_row, unpack_row
from qtquant_app.quant.kernels.source import decode


@compiled
def quantize_rows(
    source: Any,
    columns: int,
    kind: int,
    rule: int,
    group: int,
    tile: int,
    down: int,
    factors: Any,
    whole: Any,
    packed: Any,
    row_bytes: int,
    scales: Any,
    sums: Any,
    peaks: Any,
    scratch: Any,
) -> Any:
    """Quantizes bits uint16 or uint32 [rows * columns]; returns (DONE or NON_FINITE, row).

    Fills packed uint8 [rows * row_bytes], scales [rows * groups], sums float64 [3 * rows] and peaks float32 [rows]. With no
    `factors`, scales [row blocks * groups] or [1] are given. `whole` is the divisor of all scales, float32.
    """
    values, restored, codes, _, steps, _, lanes = scratch
    bits, across = 8 if rule == FP8 else 4, (columns + group - 1) // group
    trial, wide, sizes = np.empty(16), np.empty(tile + 32, np.float32), np.empty((tile + 15) // 16, np.int32)
    for row in range(len(peaks)):
        for start in range(0, columns, tile):
            count = min(tile, columns - start)
            decode(source, row * columns + start, count, kind, values)
            pad(values, count)
            pad(restored, count)
            place = 0 if len(scales) == 1 else row // down * across + start // group
            if not choose(count, group, rule, factors, whole, kind, scales, place, scratch, trial, sizes):
                return NON_FINITE, row
            if rule == FP8:
                for index in range((count + group - 1) // group):
                    encode8(values, index * group, min((index + 1) * group, count), steps[index], codes, restored)
            else:
                encode4(values, count, group, steps, codes, restored, wide)
            add_errors(lanes, values, restored, (count + 15) // 16)
            end = row_bytes if start + count == columns else (start + count) * bits // 8
            pack_row(codes, 0, count, bits, packed, row * row_bytes + start * bits // 8, row * row_bytes + end)
        fold(lanes, sums, peaks, row)
    return DONE, 0


@compiled
def choose(
    count: int,
    group: int,
    rule: int,
    factors: Any,
    whole: Any,
    kind: int,
    scales: Any,
    place: int,
    scratch: Any,
    trial: Any,
    sizes: Any,
) -> bool:
    """Finds the step of each group of a tile, for `scratch` and, stored, for scales from `place` on; whether all is finite."""
    values, _, _, searched, steps, _, _ = scratch
    if endless(largest(values, 0, count)):
        return False
    groups = (count + group - 1) // group
    if len(factors) == 0:
        for index in range(groups):
            steps[index] = step_of(scales[place + index], rule, kind, whole)
    elif rule != FP8 and len(factors) == 1:
        sizes_of(values, (count + 15) // 16, group, sizes)
        scales_of(sizes, groups, rule, kind, whole, scales[place : place + groups], steps)
    else:
        for index in range(groups):
            first, last = index * group, min((index + 1) * group, count)
            blocks = lift(values, first, last, searched)
            size = largest(values, first, last)
            scales[place + index], steps[index] = search(searched, blocks, size, factors, rule, kind, whole, trial)
    return True


@compiled
def block_scales(
    source: Any,
    columns: int,
    kind: int,
    rule: int,
    group: int,
    down: int,
    whole: Any,
    scales: Any,
    sizes: Any,
    values: Any,
) -> Any:
    """Fills scales [row blocks * groups] of bits [rows * columns]; returns (DONE or NON_FINITE, row).

    `sizes` uint32 [groups] and `values` float32 [columns] are scratch.
    """
    rows, across = len(source) // columns, len(sizes)
    for block in range((rows + down - 1) // down):
        for index in range(across):
            sizes[index] = 0
        for row in range(block * down, min((block + 1) * down, rows)):
            decode(source, row * columns, columns, kind, values)
            for index in range(across):
                size = largest(values, index * group, min((index + 1) * group, columns))
                if endless(size):
                    return NON_FINITE, row
                sizes[index] = max(sizes[index], size)
        for index in range(across):
            scales[block * across + index], _ = scale_of(sizes[index], 1.0, rule, kind, whole)
    return DONE, 0


@compiled
def compare_rows(
    source: Any,
    columns: int,
    kind: int,
    rule: int,
    group: int,
    tile: int,
    down: int,
    whole: Any,
    packed: Any,
    row_bytes: int,
    scales: Any,
    sums: Any,
    peaks: Any,
    scratch: Any,
) -> Any:
    """Decodes packed rows and sums their errors against `source`; arguments and result as `quantize_rows`."""
    values, restored, codes, _, _, _, lanes = scratch
    bits = 8 if rule == FP8 else 4
    for row in range(len(peaks)):
        for start in range(0, columns, tile):
            count = min(tile, columns - start)
            decode(source, row * columns + start, count, kind, values)
            pad(values, count)
            pad(restored, count)
            if endless(largest(values, 0, count)):
                return NON_FINITE, row
            unpack_row(packed, row * row_bytes + start * bits // 8, bits, codes, 0, count)
            restore_tile(codes, columns, kind, rule, group, down, whole, row, start, count, scales, restored, 0)
            add_errors(lanes, values, restored, (count + 15) // 16)
        fold(lanes, sums, peaks, row)
    return DONE, 0


@compiled
def dequantize_rows(
    columns: int,
    kind: int,
    rule: int,
    group: int,
    tile: int,
    down: int,
    whole: Any,
    packed: Any,
    row_bytes: int,
    scales: Any,
    out: Any,
    scratch: Any,
) -> None:
    """Fills out float32 [rows * columns] from packed rows; the other arguments as `quantize_rows`."""
    codes, bits = scratch[2], 8 if rule == FP8 else 4
    for row in range(len(out) // columns):
        for start in range(0, columns, tile):
            count = min(tile, columns - start)
            unpack_row(packed, row * row_bytes + start * bits // 8, bits, codes, 0, count)
            at = row * columns + start
            restore_tile(codes, columns, kind, rule, group, down, whole, row, start, count, scales, out, at)


@compiled
def restore_tile(
    codes: Any,
    columns: int,
    kind: int,
    rule: int,
    group: int,
    down: int,
    whole: Any,
    row: int,
    start: int,
    count: int,
    scales: Any,
    out: Any,
    out_at: int,
) -> None:
    """Writes what codes[:count] stand for to out[out_at:], float32: the columns from `start` on of a row."""
    place = 0 if len(scales) == 1 else row // down * ((columns + group - 1) // group) + start // group
    for first in range(0, count, group):
        step = step_of(scales[place], rule, kind, whole)
        restore(codes, first, min(first + group, count), step, rule, out, out_at)
        place += 0 if len(scales) == 1 else 1
