"""AWQ: input columns that matter are made larger before they are rounded, and clipped ranges by the error of the outputs.

Lin et al., "AWQ: Activation-aware weight quantization for on-device LLM compression and acceleration" (2024).
W' = W diag(f) takes x' = x / f. With the second moments H of x, what rounding W' costs is known without any
input: tr(E H E^T) for E = W'_rounded diag(1 / f) - W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods
from qtquant_app.quant.affine import grouped
from qtquant_app.quant.solvers.gptq import enlarged
from qtquant_app.quant.solvers.grid import Grid, Solved, encode, range_grid, restored
from qtquant_app.quant.solvers.loss import better_rows, check_hessian, losses, row_losses

_SAMPLE = 512
"""Rows of a weight by which candidates are told apart; the best few are judged by all rows."""

_FINALISTS = 3

_TRIED = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Factors of the ranges that a candidate is judged with."""

FLOOR = 0.01
"""How much a column counts that no sample uses, as a share of what columns count on average."""

_WIDEST = 256
"""Columns of a group beyond which a clip search takes each fourth factor alone: its cost goes with the group's length."""


def awq_factors(
    weights: Sequence[Tensor],
    schemes: Sequence[Scheme],
    dtype: str,
    hessian: Tensor,
    mean_abs: Tensor,
    tied: Tensor | None = None,
) -> Tensor:
    """Factors float32 [columns] for the columns of all `weights`, float32 [rows, columns], that take the same inputs.

    They have the second moments `hessian` and the mean sizes `mean_abs` [columns]. Candidates are mean|x|^a, and
    mean|x|^a / mean|w|^(1 - a) with each weight taken relative to the largest of its group; and 1, which is what comes back where
    nothing is better for all weights together. Columns of the same number in `tied`, int64 [columns], get the same factor. Raises
    NonFinite, ScaleOverflow, and ValueError for a bad `hessian`.
    """
    for weight in weights:
        check_hessian(weight, hessian)
    none = torch.ones_like(mean_abs)
    inputs = _alike(mean_abs, tied)
    sizes = _alike(_relative_sizes(weights, schemes), tied)
    sampled = [weight[:: max(1, len(weight) // _SAMPLE)] for weight in weights]
    shares = [len(weight) / len(sample) for weight, sample in zip(weights, sampled, strict=True)]

    def cost(factors: Tensor, whole: bool = False) -> float:
        each = weights if whole else sampled
        found = [_cost(part, scheme, dtype, hessian, factors) for part, scheme in zip(each, schemes, strict=True)]
        return sum(one if whole else one * share for one, share in zip(found, shares, strict=True))

    tried = {
        (power, duo): _candidate(inputs, sizes, power / 20, duo) for duo in (False, True) for power in range(2, 21, 3)
    }
    costs = {key: cost(factors) for key, factors in tried.items()}
    power, duo = min(costs, key=lambda key: costs[key])
    for near in (power - 1, power + 1):
        tried[near, duo] = _candidate(inputs, sizes, near / 20, duo)
        costs[near, duo] = cost(tried[near, duo])
    finalists = [none, *(tried[key] for key in sorted(costs, key=lambda key: costs[key])[:_FINALISTS])]
    return min(finalists, key=lambda factors: cost(factors, whole=True))


def awq_ranges(weight: Tensor, hessian: Tensor, scheme: Scheme, dtype: str) -> Solved:
    """The nearest codes of float32 weight [rows, columns], the range of each group that for which e_g H_gg e_g^T is least.

    Of the method's factors for "mse"; a row keeps the ranges of round-to-nearest where they give less e H e^T in all. Where W is
    scaled, `hessian` must be that of its inputs: H / (f f^T). Raises NonFinite, ScaleOverflow, ValueError.
    """
    check_hessian(weight, hessian)
    plain = range_grid(weight, scheme, dtype, factors=[1.0])
    start = Solved(encode(weight, plain), plain)
    squares = _squares(hessian, plain.group)
    factors = methods.find("mse").factors[:: 1 if plain.group <= _WIDEST else 4]
    best, least = plain, torch.full_like(plain.scale, torch.inf)
    for factor in factors:
        trial = range_grid(weight, scheme, dtype, factors=[factor])
        error = grouped(weight - restored(Solved(encode(weight, trial), trial)), trial.group).transpose(0, 1)
        each = ((error @ squares) * error).sum(-1).T
        if scheme.strategy == "tensor":
            each = each.sum(0, keepdim=True).expand_as(each)
        best, least = _better(best, trial, each < least), torch.minimum(each, least)
    clipped = Solved(encode(weight, best), best)
    return better_rows(start, row_losses(weight, start, hessian), clipped, row_losses(weight, clipped, hessian))[0]


def scaled_hessian(hessian: Tensor, factors: Tensor) -> Tensor:
    """The second moments of x / f, for those of x."""
    return hessian / factors[:, None] / factors[None]


def _cost(weight: Tensor, scheme: Scheme, dtype: str, hessian: Tensor, factors: Tensor) -> float:
    scaled = weight * factors
    importance = enlarged(hessian, 0, FLOOR).diagonal() / factors.square()
    grid = range_grid(scaled, scheme, dtype, importance, factors=_TRIED)
    error = restored(Solved(encode(scaled, grid), grid)) / factors - weight
    return float(losses(error, hessian).sum())


def _candidate(inputs: Tensor, sizes: Tensor, power: float, duo: bool) -> Tensor:
    """Factors whose smallest and largest have the product 1; columns that no sample uses are taken for the least used."""
    used = inputs > 0
    if not bool(used.any()):
        return torch.ones_like(inputs)
    found = inputs.clamp(min=float(inputs[used].min())).pow(power)
    if duo:
        found = found / sizes.clamp(min=1e-4).pow(1 - power)
    found = found / (found.max() * found.min()).sqrt()
    return found.clamp(1e-4, 1e4)


def _relative_sizes(weights: Sequence[Tensor], schemes: Sequence[Scheme]) -> Tensor:
    """The mean over all rows of |w| relative to the largest of its group, float32 [columns]."""
    total = torch.zeros_like(weights[0][0])
    for weight, scheme in zip(weights, schemes, strict=True):
        columns = weight.shape[1]
        parts = grouped(weight.abs(), scheme.group_size or columns)
        total += (parts / parts.amax(-1, keepdim=True).clamp(min=1e-12)).flatten(1)[:, :columns].sum(0)
    return total / sum(len(weight) for weight in weights)


def _alike(values: Tensor, tied: Tensor | None) -> Tensor:
    """The mean over the columns that are tied, at each of them."""
    if tied is None:
        return values
    sums = torch.zeros(int(tied.max()) + 1, device=values.device)
    counts = sums.index_add(0, tied, torch.ones_like(values))
    return (sums.index_add(0, tied, values) / counts.clamp(min=1))[tied]


def _squares(hessian: Tensor, size: int) -> Tensor:
    """The blocks of `size` on the diagonal, [groups, size, size], the last filled up with zeros."""
    columns = len(hessian)
    parts = [hessian[first : first + size, first : first + size] for first in range(0, columns, size)]
    short = size - len(parts[-1])
    parts[-1] = torch.nn.functional.pad(parts[-1], (0, short, 0, short))
    return torch.stack(parts)


def _better(best: Grid, trial: Grid, where: Tensor) -> Grid:
    scale, zero = torch.where(where, trial.scale, best.scale), torch.where(where, trial.zero, best.zero)
    return replace(best, scale=scale, zero=zero)
