"""Affine quantization with float offsets in torch: the reference, and what runs on a GPU. w' = s u + m, u in [0, 2^b - 1].

MLX stores an offset in the scale's dtype with each group, `biases`. It is the lower end of the range, which need not hold zero;
codes are computed against the stored scale and the stored offset. A group of equal weights has the scale 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qtquant_app.quant.affine import _BITS
from qtquant_app.quant.affine import parameters as affine_parameters
from qtquant_app.quant.search import lane_sum


def parameters(lo: Tensor, hi: Tensor, factor: float, bits: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(scale, offset), in `dtype`, for groups from `lo` to `hi` (float32, any shape), stretched by `factor` about their middles."""
    half = (hi.double() - lo.double()) * 0.5 * factor
    low = ((lo.double() + hi.double()) * 0.5 - half).float()
    scale = (half * 2.0 / ((1 << bits) - 1)).float().to(dtype)
    smallest = torch.ones((), dtype=_BITS[dtype], device=scale.device).view(dtype)
    scale = torch.where(scale == 0, smallest, scale)
    alike = lo == hi
    return torch.where(alike, torch.ones_like(scale), scale), (torch.where(alike, lo, low) + 0.0).to(dtype)


def whole_parameters(parts: Tensor, bits: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """(scale, offset) in `dtype` of the ranges of float32 parts [..., n]; the offset is a whole number of steps, so that zero has a
    code: `affine.parameters`, as offsets."""
    scale, zero = affine_parameters(parts.amin(-1), parts.amax(-1), 1.0, bits, False, dtype)
    return scale, (-(zero.double() * scale.double()) + 0.0).float().to(dtype)


def best_parameters(
    parts: Tensor,
    counts: Tensor,
    factors: Sequence[float],
    bits: int,
    dtype: torch.dtype,
    shares: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(scale, offset), each [rows, groups] in `dtype`, for float32 parts [rows, groups, size], of which the first `counts` [groups]
    of each group are weights: the first of `factors` with the least sum of squared errors, each times its share (see
    `search.shares_of`) where they are given, serves each group."""
    there = torch.arange(parts.shape[-1], device=parts.device) < counts[:, None]
    lo = torch.where(there, parts, torch.inf).amin(-1)
    hi = torch.where(there, parts, -torch.inf).amax(-1)
    scale, offset = parameters(lo, hi, factors[0], bits, dtype)
    if len(factors) == 1:
        return scale, offset
    best = _group_error(parts, there, scale, offset, bits, shares)
    for factor in factors[1:]:
        trial = parameters(lo, hi, factor, bits, dtype)
        error = _group_error(parts, there, *trial, bits, shares)
        better = error < best
        best = torch.where(better, error, best)
        scale, offset = torch.where(better, trial[0], scale), torch.where(better, trial[1], offset)
    return scale, offset


def encode(values: Tensor, scale: Tensor, offset: Tensor, bits: int) -> Tensor:
    """Codes uint8 of float32 values [..., n] under a stored scale and offset [...]: the nearest, ties to even."""
    steps = (values - offset.float()[..., None]) / scale.float()[..., None]
    return steps.clamp(0, (1 << bits) - 1).round().to(torch.uint8)


def restore(codes: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """What codes uint8 [..., n] stand for, float32, under a stored scale and offset [...]: the product is rounded first."""
    return codes.float() * scale.float()[..., None] + offset.float()[..., None]


def _group_error(
    parts: Tensor, there: Tensor, scale: Tensor, offset: Tensor, bits: int, shares: Tensor | None
) -> Tensor:
    error = (parts - restore(encode(parts, scale, offset, bits), scale, offset)).double()
    reached = scale.isfinite() & offset.isfinite()
    square = error * error if shares is None else error * error * shares
    return torch.where(reached, lane_sum(torch.where(there, square, 0.0)), torch.inf)
