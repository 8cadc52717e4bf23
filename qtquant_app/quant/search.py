"""The clip search in torch: of several factors on a group's range, the one with the least squared error."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qtquant_app.quant.affine import encode, grouped, parameters, restore

LANES = 16


def best_parameters(
    parts: Tensor,
    factors: Sequence[float],
    bits: int,
    symmetric: bool,
    dtype: torch.dtype,
    shares: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """(scale in `dtype`, zero point int32), each [rows, groups], for float32 parts [rows, groups, size].

    The first of `factors` with the least sum of squared errors, each times its share (see `shares_of`) where they are given,
    serves each group; a single factor is not tried at all.
    """
    lo, hi = parts.amin(-1), parts.amax(-1)
    scale, zero = parameters(lo, hi, factors[0], bits, symmetric, dtype)
    if len(factors) == 1:
        return scale, zero
    best = group_error(parts, scale, zero, bits, shares)
    for factor in factors[1:]:
        trial = parameters(lo, hi, factor, bits, symmetric, dtype)
        error = group_error(parts, *trial, bits, shares)
        better = error < best
        best = torch.where(better, error, best)
        scale, zero = torch.where(better, trial[0], scale), torch.where(better, trial[1], zero)
    return scale, zero


def shares_of(importance: Tensor, size: int) -> Tensor:
    """How much the squared errors of columns weigh, float32 [columns], for groups of `size`: float64 [groups, size].

    The last group is filled up with zeros. Where no column of a group counts, all count alike.
    """
    parts = grouped(importance[None], size)[0].double()
    return torch.where((parts > 0).any(1, keepdim=True), parts, 1.0)


def group_error(parts: Tensor, scale: Tensor, zero: Tensor, bits: int, shares: Tensor | None = None) -> Tensor:
    """The sum of squared errors of each group of float32 parts [..., size], each times its share if given, float64 [...]."""
    error = (parts - restore(encode(parts, scale, zero, bits), scale, zero)).double()
    return lane_sum(error * error if shares is None else error * error * shares)


def lane_sum(values: Tensor) -> Tensor:
    """The sum over the last axis, float64, in the order of the CPU kernels: sixteen lanes, then halves added to halves.

    Two factors may give errors that differ in the last digit only: with another order another one would win.
    """
    padded = torch.nn.functional.pad(values, (0, -values.shape[-1] % LANES))
    blocks = torch.split(padded, LANES, dim=-1)
    total = blocks[0]
    for block in blocks[1:]:
        total = total + block
    while total.shape[-1] > 1:
        lower, upper = torch.chunk(total, 2, dim=-1)
        total = lower + upper
    return total[..., 0]
