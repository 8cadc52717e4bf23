"""Before and after the search of a block layout: weights into lanes, and what was found into codes and bytes."""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.blocks.search import FREE, SYMMETRIC
from qtquant_app.quant.kernels import blocks_legacy
from qtquant_app.quant.kernels.affine import ROUNDER
from qtquant_app.quant.kernels.blocks_fit import half
from qtquant_app.quant.kernels.blocks_legacy import half_bits, plain_step
from qtquant_app.quant.kernels.blocks_pack import (
    Q3_K,
    Q6_K,
    d_at,
    pack_codes,
    pack_half,
    pack_scales,
    unpack_codes,
    unpack_half,
    unpack_scales,
)  # fmt: skip
from qtquant_app.quant.kernels.blocks_trial import trial
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import LANES
from qtquant_app.quant.kernels.source import half_float, is_finite, span


@compiled
def lift(values: Any, first: int, count: int, importance: Any, column: int, shape: Any, work: Any) -> bool:
    """Puts values[first : first + count] into lanes, zeros after the last, and finds their ranges; False where one overflows."""
    size = shape.group
    _spread_out(values, first, count, size, work.values)
    if importance is not None:
        for i in span(0, size * LANES):
            work.shares[i] = importance[np.uint64(column) + i]
    _measure(size, work)
    if importance is not None:
        _weigh(size, work)
    fits = True
    for lane in range(LANES):
        low, high = work.low[lane], work.extent[lane]
        largest = high if high > -low else low
        if shape.mode == SYMMETRIC:
            work.low[lane], work.extent[lane] = np.float32(0), largest
        else:
            low = low if shape.mode == FREE or low < 0 else np.float32(0)
            high = high if shape.mode == FREE or high > 0 else np.float32(0)
            work.low[lane], work.extent[lane] = low, np.float32(high - low)
        fits = (
            fits and _fits(work.extent[lane], max(-shape.lowest, shape.top), shape) and _fits(work.low[lane], 1, shape)
        )
    return fits


@compiled
def _spread_out(values: Any, first: int, count: int, size: int, out: Any) -> None:
    for lane in range(LANES):
        at, there = np.uint64(first + lane * size), lane * size < count
        for i in span(0, size):
            out[i * np.uint64(LANES) + np.uint64(lane)] = values[at + i] if there else np.float32(0)


@compiled
def _measure(size: int, work: Any) -> None:
    """The smallest and the largest of each lane, for now as `low` and `extent`."""
    values, low, high = work.values, work.low, work.extent
    for lane in range(LANES):
        low[lane] = high[lane] = values[lane]
        work.total[lane] = size
    for i in range(1, size):
        for lane in range(LANES):
            value = values[i * LANES + lane]
            low[lane] = value if value < low[lane] else low[lane]
            high[lane] = value if value > high[lane] else high[lane]


@compiled
def _weigh(size: int, work: Any) -> None:
    for lane in range(LANES):
        total = np.float32(0)
        for i in range(size):
            total = np.float32(total + work.shares[i * LANES + lane])
        work.total[lane] = total


@compiled
def _fits(size: Any, steps: int, shape: Any) -> Any:
    """Whether float16 reaches the scale of a range this size, so many steps wide; or a minimum, for one step."""
    scales = max(-shape.floor if shape.mode == SYMMETRIC else shape.cap, 1)
    return is_finite(size) and abs(size) <= np.float32(65504 * scales * steps)


@compiled
def finish(tile: Any, first: int, count: int, shape: Any, work: Any, packed: Any, begin: int) -> None:
    """Codes under the best scales, and the blocks of a K-quant."""
    lanes, best, above = shape.block // shape.group, work.best, _scale_middle(shape.layout)
    for index in range(count // shape.block):
        head, at = index * lanes, begin + index * shape.nbytes
        d, dmin = best[3 * LANES + head], best[4 * LANES + head]
        for sub in range(lanes):
            scale, minimum = best[LANES + head + sub], best[2 * LANES + head + sub]
            tile.scales[sub] = np.uint8(np.int32(scale) + above)
            tile.minima[sub] = np.uint8(np.int32(minimum))
            step, base = np.float32(d * scale), -np.float32(dmin * minimum)
            _encode(tile.values, first + (head + sub) * shape.group, shape, step, base, tile.codes)
        pack_codes(shape.layout, shape.block, tile.codes, first + index * shape.block, packed, at)
        pack_scales(shape.layout, tile.scales, tile.minima, packed, at)
        pack_half(half_bits(d), packed, at + d_at(shape.layout))
        if shape.middle == 0:
            pack_half(half_bits(dmin), packed, at + d_at(shape.layout) + 2)


@compiled
def finish_legacy(tile: Any, first: int, count: int, shape: Any, work: Any) -> None:
    """Codes, steps and bases where each sub-block is a block: those searched, or the plain ones where they are no worse."""
    for lane in range(LANES):
        work.d[lane], work.dmin[lane] = half(work.wanted[lane]), half(work.wanted_base[lane])
    _price(work, work.d, work.dmin, shape)
    for lane in range(LANES):
        work.loss[lane] = work.sums[4 * LANES + lane]
        work.scale[lane] = work.minimum[lane] = 0
    for lane in range(count // shape.group):
        step, base = plain_step(tile.values, first + lane * shape.group, shape.group, shape.lowest, shape.top)
        work.scale[lane], work.minimum[lane] = half(step), half(base)
    _price(work, work.scale, work.minimum, shape)
    for lane in range(count // shape.group):
        searched = work.loss[lane] < work.sums[4 * LANES + lane]
        step = work.d[lane] if searched else work.scale[lane]
        base = work.dmin[lane] if searched else work.minimum[lane]
        at = first + lane * shape.group
        _encode(tile.values, at, shape, step, base, tile.codes)
        tile.steps[at // shape.group], tile.bases[at // shape.group] = half_bits(step), half_bits(base)


@compiled
def _price(work: Any, step: Any, base: Any, shape: Any) -> None:
    """A trial of one step and base in each lane."""
    for lane in range(LANES):
        work.inverse[lane] = np.float32(np.float32(1) / step[lane]) if step[lane] != 0 else np.float32(0)
    lowest, top = np.float32(shape.lowest), np.float32(shape.top)
    trial(work.values, work.shares, shape.group, work.inverse, step, base, lowest, top, work.sums)


@compiled
def _encode(values: Any, first: int, shape: Any, step: Any, base: Any, codes: Any) -> None:
    """Stored codes of a sub-block, rounded as in a trial."""
    inverse = np.float32(np.float32(1) / step) if step != 0 else np.float32(0)
    lowest, top, shift = np.float32(shape.lowest), np.float32(shape.top), np.int32(shape.middle)
    for i in span(first, first + shape.group):
        code = np.float32(np.float32(values[i] - base) * inverse)
        code = code if code > lowest else lowest
        code = code if code < top else top
        codes[i] = np.uint8(np.int32(np.float32(np.float32(code + ROUNDER) - ROUNDER)) + shift)


@compiled
def restore(shape: Any, packed: Any, begin: int, count: int, tile: Any, out: Any, at: int) -> None:
    """Writes `count` weights of the blocks from `begin` on to out[at:], float32, each rounded as gguf-py rounds."""
    if not shape.cap:
        blocks_legacy.restore(shape.layout, packed, begin, shape.block, shape.nbytes, count, shape.middle, out, at)
        return
    codes, scales, minima = tile.codes, tile.scales, tile.minima
    for index in range(count // shape.block):
        _restore_block(
            shape, packed, begin + index * shape.nbytes, codes, scales, minima, out, at + index * shape.block
        )


@compiled
def _restore_block(
    shape: Any, packed: Any, begin: int, codes: Any, scales: Any, minima: Any, out: Any, at: int
) -> None:
    unpack_codes(shape.layout, shape.block, packed, begin, codes)
    unpack_scales(shape.layout, packed, begin, scales, minima)
    d = half_float(unpack_half(packed, begin + d_at(shape.layout)))
    below = shape.middle == 0
    dmin = half_float(unpack_half(packed, begin + d_at(shape.layout) + 2)) if below else np.float32(0)
    shift, middle = np.int32(shape.middle), _scale_middle(shape.layout)
    for index in range(shape.block // shape.group):
        step = np.float32(d * np.float32(np.int32(scales[index]) - middle))
        base = -np.float32(dmin * np.float32(minima[index])) if below else np.float32(-0.0)
        first = np.uint64(index * shape.group)
        offset = np.uint64(at) + first
        for i in span(0, shape.group):
            out[offset + i] = np.float32(np.float32(np.int32(codes[first + i]) - shift) * step) + base


@compiled
def _scale_middle(layout: int) -> Any:
    """What is taken from a stored whole-number scale."""
    if layout == Q3_K:
        return np.int32(32)
    return np.int32(128) if layout == Q6_K else np.int32(0)
