"""Affine quantization with float offsets, of one group: its scale and offset, its codes, and the way back. w' = s u + m.

The arithmetic is float32 and float64 in a fixed order, the same as in `qtquant_app.quant.offset_torch`, bit for bit. Nothing is
fused: a product is rounded before anything is added to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.kernels.affine import ROUNDER
from qtquant_app.quant.kernels.affine import parameters as affine_parameters
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import trial_offset_error, trial_weighted_offset_error
from qtquant_app.quant.kernels.source import is_finite, loaded, span, stored


@compiled
def signed(value: Any, kind: int) -> Any:
    """The bits (uint32) of a float32 of any sign, rounded to nearest even in the dtype `kind`."""
    size = stored(np.float32(abs(value)), kind)
    if value >= 0:
        return size
    return np.uint32(size | (np.uint32(0x80000000) if kind == 0 else np.uint32(0x8000)))


@compiled
def parameters(lo: Any, hi: Any, factor: Any, top: int, kind: int) -> Any:
    """(stored scale uint32, scale float32, stored offset uint32, offset float32) for a group from lo to hi (float32).

    Its range is stretched by `factor` about its middle; `top` is 2^b - 1. The offset is the lower end. A group of equal weights
    has the scale 1; a scale that would round to zero is the dtype's smallest. Either is infinite where the dtype does not reach.
    """
    half = (np.float64(hi) - np.float64(lo)) * 0.5 * factor
    low = np.float32((np.float64(lo) + np.float64(hi)) * 0.5 - half)
    if lo == hi:
        offset = signed(lo, kind)
        return stored(np.float32(1.0), kind), np.float32(1.0), offset, loaded(offset, kind)
    bits = max(stored(np.float32(half * 2.0 / top), kind), np.uint32(1))
    offset = signed(low, kind)
    return bits, loaded(bits, kind), offset, loaded(offset, kind)


@compiled
def whole_parameters(lo: Any, hi: Any, top: int, kind: int) -> Any:
    """As `parameters`, with an offset that is a whole number of steps, so that zero has a code: `affine.parameters`, as offsets."""
    bits, scale, zero = affine_parameters(lo, hi, 1.0, top, False, kind)
    offset = signed(np.float32(-(np.float64(zero) * np.float64(scale))), kind)
    return bits, scale, offset, loaded(offset, kind)


@compiled
def search(
    values: Any, shares: Any, weighed: Any, count: int, lo: Any, hi: Any, factors: Any, top: int, kind: int
) -> Any:
    """As `parameters`, with the first of `factors` that gives the least squared error over the first `count` of values float32,
    zeros after them to whole lanes; each square times its share, float32 likewise, where they are `weighed`.

    A trial is left out where the dtype does not reach, and where the error of the smallest or the largest weight is by itself no
    less than the best sum.
    """
    best_bits, best_scale, best_offset, best_shift = parameters(lo, hi, factors[0], top, kind)
    if len(factors) == 1:
        return best_bits, best_scale, best_offset, best_shift
    highest, best = np.float32(top), np.inf
    if is_finite(best_scale) and is_finite(best_shift):
        best = _error(values, shares, weighed, count, best_scale, best_shift, highest)
    for index in range(1, len(factors)):
        bits, scale, offset, shift = parameters(lo, hi, factors[index], top, kind)
        if not (is_finite(scale) and is_finite(shift)):
            continue
        if not weighed and max(_square(lo, scale, shift, highest), _square(hi, scale, shift, highest)) >= best:
            continue
        error = _error(values, shares, weighed, count, scale, shift, highest)
        if error < best:
            best, best_bits, best_scale, best_offset, best_shift = error, bits, scale, offset, shift
    return best_bits, best_scale, best_offset, best_shift


@compiled
def _error(values: Any, shares: Any, weighed: Any, count: int, scale: Any, offset: Any, highest: Any) -> Any:
    if weighed:
        return trial_weighted_offset_error(values, shares, (count + 15) // 16, scale, offset, highest)
    return trial_offset_error(values, (count + 15) // 16, count, scale, offset, highest)


@compiled
def _square(weight: Any, scale: Any, offset: Any, highest: Any) -> Any:
    error = np.float64(
        np.float32(weight - np.float32(np.float32(_steps(weight, scale, offset, highest) * scale) + offset))
    )
    return error * error


@compiled
def _steps(weight: Any, scale: Any, offset: Any, highest: Any) -> Any:
    steps = np.float32(np.float32(weight - offset) / scale)
    steps = steps if steps > np.float32(0) else np.float32(0)
    steps = steps if steps < highest else highest
    return np.float32(np.float32(steps + ROUNDER) - ROUNDER)


@compiled
def encode(values: Any, first: int, last: int, scale: Any, offset: Any, top: int, codes: Any, restored: Any) -> None:
    """The codes uint8 of values[first:last], float32, at the same places, and what each stands for in `restored`."""
    highest = np.float32(top)
    for i in span(first, last):
        steps = _steps(values[i], scale, offset, highest)
        codes[i] = np.uint8(np.int32(steps))
        restored[i] = np.float32(np.float32(steps * scale) + offset)


@compiled
def restore(codes: Any, first: int, last: int, scale: Any, offset: Any, out: Any, out_at: int) -> None:
    """Writes to out[out_at:] the float32 that each of codes[first:last], uint8, stands for: u s, rounded, and m added."""
    base = np.uint64(out_at)
    for i in span(first, last):
        out[base + i] = np.float32(np.float32(np.float32(codes[i]) * scale) + offset)
