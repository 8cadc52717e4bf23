"""The half-quadratic solver for one group, the same as in `qtquant_app.quant.half_quadratic`, bit for bit.

Sums run in sixteen lanes, element j in lane j % 16, so that they have one value on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.kernels.affine import ROUNDER
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import folded
from qtquant_app.quant.kernels.offsets import signed
from qtquant_app.quant.kernels.source import is_finite, loaded, stored

WORK = 80
"""Float64 numbers of working memory: sixteen lanes each of the objective and of the sums of d, d^2, t and d t."""


@compiled
def refine_zero(
    values: Any,
    count: int,
    bits: Any,
    scale: Any,
    zero: int,
    top: int,
    symmetric: Any,
    kind: int,
    shrinks: Any,
    work: Any,
) -> Any:
    """(stored scale uint32, scale float32, zero point, rounds) that codes w = s (u - z) of values[:count], float32, end at from the
    ones given: each round lowers the objective, and the first that does not is taken back."""
    best = _measure(values, count, scale, np.float32(0), -zero, top - zero, shrinks[0], work)
    if not np.isfinite(best):
        return bits, scale, zero, 0
    for index in range(len(shrinks)):
        steps, squares, targets, both = folded(work, 1), folded(work, 2), folded(work, 3), folded(work, 4)
        shift = 0.0
        if not symmetric:
            shift = min(max(np.rint(zero + (steps - targets / np.float64(scale)) / count), 0.0), np.float64(top)) - zero
        middle = zero + int(shift)
        across = squares - 2.0 * shift * steps + count * shift * shift
        new_bits, new_scale = _stored_scale(both - shift * targets, across, bits, scale, kind)
        ahead = shrinks[min(index + 1, len(shrinks) - 1)]
        error = _measure(values, count, new_scale, np.float32(0), -middle, top - middle, ahead, work)
        if not error < best:
            return bits, scale, zero, index
        best, bits, scale, zero = error, new_bits, new_scale, middle
    return bits, scale, zero, len(shrinks)


@compiled
def refine_offset(
    values: Any,
    count: int,
    bits: Any,
    scale: Any,
    shift: Any,
    offset: Any,
    top: int,
    kind: int,
    shrinks: Any,
    work: Any,
) -> Any:
    """(stored scale, scale, stored offset, offset, rounds), as `refine_zero`, of codes w = s u + m."""
    best = _measure(values, count, scale, offset, 0, top, shrinks[0], work)
    if not np.isfinite(best):
        return bits, scale, shift, offset, 0
    for index in range(len(shrinks)):
        steps, squares, targets, both = folded(work, 1), folded(work, 2), folded(work, 3), folded(work, 4)
        across = squares - steps * steps / count
        new_bits, new_scale = _stored_scale(both - steps * targets / count, across, bits, scale, kind)
        new_shift = signed(np.float32((targets - np.float64(new_scale) * steps) / count), kind)
        new_offset = loaded(new_shift, kind)
        ahead = shrinks[min(index + 1, len(shrinks) - 1)]
        error = _measure(values, count, new_scale, new_offset, 0, top, ahead, work)
        if not error < best:
            return bits, scale, shift, offset, index
        best, bits, scale, shift, offset = error, new_bits, new_scale, new_shift, new_offset
    return bits, scale, shift, offset, len(shrinks)


@compiled
def _stored_scale(along: Any, across: Any, bits: Any, scale: Any, kind: int) -> Any:
    """(stored, float32) of the slope along / across; the scale there is, where that is none."""
    if not across > 0.0:
        return bits, scale
    slope = np.float32(along / across)
    if not slope > np.float32(0):
        return bits, scale
    found = max(stored(slope, kind), np.uint32(1))
    value = loaded(found, kind)
    return (found, value) if is_finite(value) else (bits, scale)


@compiled
def _measure(
    values: Any, count: int, scale: Any, offset: Any, lowest: int, highest: int, shrink: Any, work: Any
) -> Any:
    """The objective of rounding values[:count]; leaves the sums over d, the whole steps, and t, the weights less what the shrinkage
    leaves of their errors, in `work`."""
    low, high, step = np.float32(lowest), np.float32(highest), np.float64(scale)
    for index in range(80):
        work[index] = 0.0
    for index in range(count):
        lane, value = index % 16, values[index]
        d = np.float32(np.float32(value - offset) / scale)
        d = d if d > low else low
        d = d if d < high else high
        d = np.float32(np.float32(d + ROUNDER) - ROUNDER)
        error = np.float32(value - np.float32(np.float32(d * scale) + offset))
        size, whole = np.float64(abs(error)), np.float64(d)
        root = np.sqrt(size)
        work[lane] += root * np.sqrt(root)
        inside = size / step
        left = max(inside - shrink / np.sqrt(np.sqrt(inside)), 0.0) * step
        target = np.float64(value) + left if error < 0 else np.float64(value) - left
        work[16 + lane] += whole
        work[32 + lane] += whole * whole
        work[48 + lane] += target
        work[64 + lane] += whole * target
    return folded(work, 0)
