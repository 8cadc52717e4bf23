"""One pass over a chunk of rows under a scheme with float offsets. Shaped as `fused`, whose scratch it shares."""

from __future__ import annotations

from typing import Any

from qtquant_app.quant.kernels.fused import DONE, NON_FINITE, OVERFLOW, fold, lift, pad
from qtquant_app.quant.kernels.half_quadratic import refine_offset
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import add_errors
from qtquant_app.quant.kernels.offsets import encode, restore, search, whole_parameters
from qtquant_app.quant.kernels.packing import pack_row, unpack_row
from qtquant_app.quant.kernels.ranges import weigh
from qtquant_app.quant.kernels.source import decode, extremes, is_finite, loaded


@compiled
def quantize_rows(
    source: Any,
    columns: int,
    kind: int,
    bits: int,
    group: int,
    tile: int,
    ranges: Any,
    packed: Any,
    row_bytes: int,
    scales: Any,
    offsets: Any,
    sums: Any,
    peaks: Any,
    scratch: Any,
) -> Any:
    """Quantizes bits uint16 or uint32 [rows * columns]; returns (DONE or what went wrong, row).

    Fills packed uint8 [rows * row_bytes], scales and offsets (as `source`) [rows * groups], sums float64 [3 * rows] and peaks
    float32 [rows].
    """
    values, restored, codes, searched, _, _, lanes = scratch
    factors, weighed = ranges.factors, False
    top, across = (1 << bits) - 1, (columns + group - 1) // group
    for row in range(len(peaks)):
        for start in range(0, columns, tile):
            count = min(tile, columns - start)
            decode(source, row * columns + start, count, kind, values)
            pad(values, count)
            pad(restored, count)
            place = row * across + start // group
            for first in range(0, count, group):
                last = min(first + group, count)
                lo, hi = extremes(values, first, last)
                if not (is_finite(lo) and is_finite(hi)):
                    return NON_FINITE, row
                searching, refining = len(factors) > 1, len(ranges.shrinks) > 0
                if searching or refining:
                    lift(values, first, last, searched)
                    weighed = weigh(ranges, start + first, start + last)
                stored, scale, shift, offset = (
                    whole_parameters(lo, hi, top, kind)
                    if refining
                    else search(searched, ranges.shares, weighed, last - first, lo, hi, factors, top, kind)
                )
                if not (is_finite(scale) and is_finite(offset)):
                    return OVERFLOW, row
                if refining:
                    stored, scale, shift, offset, _ = refine_offset(
                        searched, last - first, stored, scale, shift, offset, top, kind, ranges.shrinks, ranges.work
                    )
                scales[place], offsets[place] = stored, shift
                encode(values, first, last, scale, offset, top, codes, restored)
                place += 1
            add_errors(lanes, values, restored, (count + 15) // 16)
            end = row_bytes if start + count == columns else (start + count) * bits // 8
            pack_row(codes, 0, count, bits, packed, row * row_bytes + start * bits // 8, row * row_bytes + end)
        fold(lanes, sums, peaks, row)
    return DONE, 0


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
    offsets: Any,
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
            _restore_tile(codes, columns, kind, group, row, start, count, scales, offsets, restored, 0)
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
    offsets: Any,
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
            _restore_tile(codes, columns, kind, group, row, start, count, scales, offsets, out, at)


@compiled
def _restore_tile(
    codes: Any,
    columns: int,
    kind: int,
    group: int,
    row: int,
    start: int,
    count: int,
    scales: Any,
    offsets: Any,
    out: Any,
    out_at: int,
) -> None:
    place = row * ((columns + group - 1) // group) + start // group
    for first in range(0, count, group):
        last = min(first + group, count)
        restore(codes, first, last, loaded(scales[place], kind), loaded(offsets[place], kind), out, out_at)
        place += 1
