"""Half-quadratic quantization in torch: the reference, and what runs on a GPU.

Of a group's weights w, min ||w - w'||_p^p with p = 3/4 over its scale and zero point (Badri and Shaji 2023, "Half-Quadratic
Quantization of Large Machine Learning Models"). A second variable e takes the errors' place: given the codes, e is what shrinkage
leaves of each error, sign(x) max(|x| - |x|^(p-1) / beta, 0), and then the zero point has a closed form over t = w - e. beta grows
from round to round. What differs from the paper: errors are measured in steps of the scale, so that beta means the same for every
tensor; the scale is fitted with the zero point; both are rounded as they are stored before the objective is taken; and each group
stops by itself, before the first round that would not lower its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from qtquant_app.quant.affine import _BITS
from qtquant_app.quant.search import lane_sum


@dataclass(frozen=True, slots=True)
class _Sums:
    """Of each group [rows, groups], float64: the objective, and the sums of d, d^2, t and d t."""

    objective: Tensor
    steps: Tensor
    squares: Tensor
    targets: Tensor
    both: Tensor

    def where(self, better: Tensor, other: _Sums) -> _Sums:
        parts = ("objective", "steps", "squares", "targets", "both")
        return _Sums(*(torch.where(better, getattr(other, part), getattr(self, part)) for part in parts))


def refine_zero(
    parts: Tensor, counts: Tensor, scale: Tensor, zero: Tensor, bits: int, symmetric: bool, shrinks: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """(scale, zero point int32) [rows, groups] that codes w = s (u - z) of float32 parts [rows, groups, size] end at.

    `scale` (in the dtype that stores it) and `zero` are where they start; the first `counts` [groups] of each group are weights.
    `shrinks` are 1 / beta, round by round. Symmetric schemes keep their zero point.
    """
    top, there = (1 << bits) - 1, _there(parts, counts)
    nothing = torch.zeros((), dtype=torch.float32, device=parts.device)
    found = _measure(parts, there, scale, nothing, -zero, top - zero, shrinks[0])
    going = found.objective.isfinite()
    for index in range(len(shrinks)):
        shift = torch.zeros_like(found.steps)
        if not symmetric:
            mean = (found.steps - found.targets / scale.double()) / counts
            shift = (zero.double() + mean).round().clamp(0, top) - zero.double()
        shift = torch.where(going, shift, 0.0)
        across = found.squares - 2.0 * shift * found.steps + counts * shift * shift
        slope = _stored_scale(found.both - shift * found.targets, across, scale)
        middle = zero + shift.to(torch.int32)
        trial = _measure(parts, there, slope, nothing, -middle, top - middle, shrinks[min(index + 1, len(shrinks) - 1)])
        going = going & (trial.objective < found.objective)
        if not bool(going.any()):
            break
        found = found.where(going, trial)
        scale, zero = torch.where(going, slope, scale), torch.where(going, middle, zero)
    return scale, zero


def refine_offset(
    parts: Tensor, counts: Tensor, scale: Tensor, offset: Tensor, bits: int, shrinks: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """(scale, offset), as `refine_zero`, of codes w = s u + m; both in the dtype that stores them."""
    top, there = (1 << bits) - 1, _there(parts, counts)
    low, high = (torch.full_like(counts, end, dtype=torch.int32) for end in (0, top))
    found = _measure(parts, there, scale, offset.float(), low, high, shrinks[0])
    going = found.objective.isfinite()
    for index in range(len(shrinks)):
        across = found.squares - found.steps * found.steps / counts
        slope = _stored_scale(found.both - found.steps * found.targets / counts, across, scale)
        shift = ((found.targets - slope.double() * found.steps) / counts + 0.0).float().to(offset.dtype)
        trial = _measure(parts, there, slope, shift.float(), low, high, shrinks[min(index + 1, len(shrinks) - 1)])
        going = going & (trial.objective < found.objective)
        if not bool(going.any()):
            break
        found = found.where(going, trial)
        scale, offset = torch.where(going, slope, scale), torch.where(going, shift, offset)
    return scale, offset


def _there(parts: Tensor, counts: Tensor) -> Tensor:
    return torch.arange(parts.shape[-1], device=parts.device) < counts[:, None]


def _stored_scale(along: Tensor, across: Tensor, scale: Tensor) -> Tensor:
    """The slope along / across in the scale's dtype; the scale there is, where that is none."""
    slope = (along / across).float()
    found = slope.to(scale.dtype)
    smallest = torch.ones((), dtype=_BITS[scale.dtype], device=scale.device).view(scale.dtype)
    found = torch.where(found == 0, smallest, found)
    return torch.where((across > 0) & (slope > 0) & found.isfinite(), found, scale)


def _measure(
    parts: Tensor, there: Tensor, scale: Tensor, offset: Tensor, low: Tensor, high: Tensor, shrink: float
) -> _Sums:
    """The objective of rounding the weights of each group, and the sums over d, the whole steps, and t, the weights less what the
    shrinkage leaves of their errors."""
    step, middle = scale.float()[..., None], offset[..., None]
    d = (parts - middle) / step
    d = torch.minimum(torch.maximum(d, low.float()[..., None]), high.float()[..., None]).round()
    error = parts - (d * step + middle)
    size, whole = error.double().abs(), d.double()
    root = size.sqrt()
    inside = size / step.double()
    left = (inside - shrink / inside.sqrt().sqrt()).clamp(min=0) * step.double()
    target = parts.double() - torch.where(error < 0, -left, left)
    each = (root * root.sqrt(), whole, whole * whole, target, whole * target)
    return _Sums(*(lane_sum(torch.where(there, part, 0.0)) for part in each))
