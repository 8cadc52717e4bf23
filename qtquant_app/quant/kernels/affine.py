"""Integer affine quantization of one group: its scale and zero point, its codes, and the way back.

The arithmetic is float32 and float64 in a fixed order, the same as in `qtquant_app.quant.affine`, bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import trial_error, trial_weighted_error
from qtquant_app.quant.kernels.source import is_finite, loaded, span, stored

ROUNDER = np.float32(12582912.0)
"""1.5 * 2^23: adding it to a float32 below 2^22 in size and taking it away again rounds to the nearest even integer."""


@compiled
def parameters(lo: Any, hi: Any, factor: Any, top: int, symmetric: Any, kind: int) -> Any:
    """(stored bits uint32, scale float32, zero) for a group from lo to hi (float32), its range times `factor`.

    `top` is 2^b - 1. A group of zeros has the scale 1; a scale that would round to zero is the dtype's smallest.
    The scale is infinite where the dtype does not reach.
    """
    low = min(np.float64(lo), 0.0) * factor
    high = max(np.float64(hi), 0.0) * factor
    span = max(-low, high) / (top / 2.0) if symmetric else (high - low) / top
    zero = (top + 1) // 2 if symmetric else 0
    if lo == 0 and hi == 0:
        return stored(np.float32(1.0), kind), np.float32(1.0), zero
    bits = max(stored(np.float32(span), kind), np.uint32(1))
    scale = loaded(bits, kind)
    if not symmetric:
        zero = int(min(max(np.rint(-low / np.float64(scale)), 0.0), np.float64(top)))
    return bits, scale, zero


@compiled
def search(
    values: Any,
    shares: Any,
    weighed: Any,
    blocks: int,
    lo: Any,
    hi: Any,
    factors: Any,
    top: int,
    symmetric: Any,
    kind: int,
) -> Any:
    """As `parameters`, with the first of `factors` that gives the least squared error over values float32 [16 * blocks], each
    square times its share, float32 likewise, where they are `weighed`.

    A trial is left out where the error of the weight that is largest in size is by itself no less than the best sum.
    """
    bits, scale, zero = parameters(lo, hi, factors[0], top, symmetric, kind)
    if len(factors) == 1 or not is_finite(scale):
        return bits, scale, zero
    best = _error(values, shares, weighed, blocks, scale, np.float32(-zero), np.float32(top - zero))
    for index in range(1, len(factors)):
        trial_bits, trial, middle = parameters(lo, hi, factors[index], top, symmetric, kind)
        lowest, highest = np.float32(-middle), np.float32(top - middle)
        if not weighed and _square(hi if hi > -lo else lo, trial, lowest, highest) >= best:
            continue
        error = _error(values, shares, weighed, blocks, trial, lowest, highest)
        if error < best:
            best, bits, scale, zero = error, trial_bits, trial, middle
    return bits, scale, zero


@compiled
def _error(values: Any, shares: Any, weighed: Any, blocks: int, scale: Any, lowest: Any, highest: Any) -> Any:
    if weighed:
        return trial_weighted_error(values, shares, blocks, scale, lowest, highest)
    return trial_error(values, blocks, scale, lowest, highest)


@compiled
def _square(weight: Any, scale: Any, lowest: Any, highest: Any) -> Any:
    steps = min(max(np.float32(weight / scale), lowest), highest)
    steps = np.float32(np.float32(steps + ROUNDER) - ROUNDER)
    error = np.float64(np.float32(weight - np.float32(steps * scale)))
    return error * error


@compiled
def encode(values: Any, first: int, last: int, scale: Any, zero: int, top: int, codes: Any, restored: Any) -> None:
    """The codes uint8 of values[first:last], float32, at the same places, and what each stands for in `restored`."""
    lowest = np.float32(-zero)
    highest = np.float32(top - zero)
    shift = np.float32(zero)
    for i in span(first, last):
        steps = np.float32(values[i] / scale)
        steps = steps if steps > lowest else lowest
        steps = steps if steps < highest else highest
        steps = np.float32(np.float32(steps + ROUNDER) - ROUNDER)
        codes[i] = np.uint8(np.int32(np.float32(steps + shift)))
        restored[i] = steps * scale


@compiled
def restore(codes: Any, first: int, last: int, scale: Any, zero: int, out: Any, out_at: int) -> None:
    """Writes to out[out_at:] the float32 that each of codes[first:last], uint8, stands for: (u - z) * s, rounded once."""
    shift, offset = np.float32(zero), np.uint64(out_at)
    for i in span(first, last):
        out[offset + i] = np.float32(np.float32(codes[i]) - shift) * scale
