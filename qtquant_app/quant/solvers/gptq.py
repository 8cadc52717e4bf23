"""GPTQ: columns are rounded one after the other, and those to come make up for the errors of those before.

Frantar, Ashkboos, Hoefler, Alistarh: "GPTQ: Accurate post-training quantization for generative pre-trained transformers" (2023), in
the form of LDLQ (Chee et al., "QuIP", 2023), which gives the same codes without an inverse: with H = U D U^T, U unit upper
triangular, tr(E H E^T) is the sum over columns k of D_k |e_k + sum over j before k of e_j U_jk|^2, and column k takes the code
that is nearest to w_k + sum e_j U_jk. Ranges are found beforehand, in the weight as it is, so that any order of columns will do
and none need be stored. What follows is descent on the same loss: each column again to its best code, all others as they are
(Behdin et al., "QuantEase", 2023), and each row's scales by least squares.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.solvers.grid import Grid, Solved, encode, range_grid
from qtquant_app.quant.solvers.loss import better_rows, check_hessian, row_losses
from qtquant_app.quant.solvers.refit import refitted
from qtquant_app.quant.solvers.visit import Columns, visited

SHRINKAGE = 0.3
"""How much of the diagonal is added to it. Second moments of one kind of text are not those of another: with none, codes found on
technical documentation lost on a novel most of what they had gained."""

DAMPING = 0.1
"""What is added to the diagonal besides, as a share of its mean. The paper has 0.01."""

_MOST_DAMPING = 1e4
_LEAST_DAMPING, _GROWTH = 0.01, 4.0


@dataclass(frozen=True, slots=True)
class Found:
    """What `gptq` gives: codes and their grid, and what they cost."""

    solved: Solved
    loss: float
    """tr(E H E^T), H with its larger diagonal: the mean over the tokens of the squared error of all outputs, and some more."""
    start_loss: float
    """That of the start: the nearest codes, ranges by least squared error weighted by diag(H)."""
    damping: float
    """The share of the mean diagonal that was added."""
    reason: str
    """Why the start was kept, as the end of a sentence; empty where it was not."""


def gptq(
    weight: Tensor,
    hessian: Tensor,
    scheme: Scheme,
    dtype: str,
    *,
    shrinkage: float = SHRINKAGE,
    damping: float = DAMPING,
    refits: int = 1,
    sweeps: int = 2,
) -> Found:
    """Codes of float32 weight [rows, columns] for inputs of the second moments `hessian`, the mean of x x^T, [columns, columns].

    `scheme` is one of integer codes; `dtype` stores its scales. H is that of the samples with a larger diagonal: each entry by
    `shrinkage` of itself and `damping` of their mean. Each row is at least as good as the start by e H e^T. Where H is not positive
    definite whatever is added, the start is what is found, with a `reason`. With no `shrinkage`, `refits` and `sweeps` it is plain
    GPTQ with columns in the order of falling diag(H). Raises NonFinite, ScaleOverflow, and ValueError for a bad `hessian`.
    """
    check_hessian(weight, hessian)
    grid = range_grid(weight, scheme, dtype, enlarged(hessian, shrinkage, damping).diagonal())

    def refit(best: Solved, hessian: Tensor) -> Grid:
        return refitted(weight, best, hessian, scheme, dtype)

    return _solved_from(
        weight, hessian, Solved(encode(weight, grid), grid), shrinkage, damping, sweeps, [refit] * refits
    )


def gptq_on(
    weight: Tensor,
    hessian: Tensor,
    start: Solved,
    *,
    shrinkage: float = SHRINKAGE,
    damping: float = DAMPING,
    sweeps: int = 2,
) -> Found:
    """As `gptq`, on the very grid of `start`, whose codes are what every row of the result is at least as good as.

    Scales of the grid may be negative; where one is zero, codes stay as they are. The `importance` for a start of the least squared
    error is the diagonal of `enlarged(hessian)`. Raises NonFinite, and ValueError for a bad `hessian`.
    """
    check_hessian(weight, hessian)
    found = _solved_from(weight, hessian, replace(start, grid=_divisible(start.grid)), shrinkage, damping, sweeps, [])
    empty = start.grid.scale.repeat_interleave(start.grid.group, 1)[:, : weight.shape[1]] == 0
    codes = torch.where(empty, start.codes, found.solved.codes)
    return replace(found, solved=Solved(codes, start.grid))


def _divisible(grid: Grid) -> Grid:
    """The grid with the least normal number for scales of zero: codes mean as little, and can be looked for."""
    tiny = torch.finfo(torch.float32).tiny
    return replace(grid, scale=torch.where(grid.scale == 0, tiny, grid.scale))


def _solved_from(
    weight: Tensor,
    hessian: Tensor,
    start: Solved,
    shrinkage: float,
    damping: float,
    sweeps: int,
    refits: Sequence[Callable[[Solved, Tensor], Grid]],
) -> Found:
    """Codes on the grid of `start`, and on what each of `refits` makes of it in turn."""
    dead = hessian.diagonal() <= 0
    hessian = enlarged(hessian, shrinkage, damping)
    best = start
    loss = start_losses = row_losses(weight, start, hessian)
    order = torch.argsort(hessian.diagonal(), descending=True, stable=True)
    moments = hessian[order][:, order]
    factor, more = triangular_factor(moments)
    if factor is None or bool(dead.all()):
        reason = (
            "no sample reached it" if bool(dead.all()) else "the second moments of its inputs are not positive definite"
        )
        return Found(start, float(loss.sum()), float(loss.sum()), damping + more, reason)
    coupling = mutual(moments)
    for refit in (*refits, None):
        # Scales are fitted to codes that need not be the best yet.
        found = _rounded(weight, best.grid, factor, coupling, order, 0 if refit is not None else sweeps)
        best, loss = better_rows(best, loss, found, row_losses(weight, found, hessian))
        if refit is not None:
            scaled = Solved(best.codes, refit(best, hessian))
            best, loss = better_rows(best, loss, scaled, row_losses(weight, scaled, hessian))
    best = _with_nearest(weight, best, dead)
    worse = "" if bool((loss < start_losses).any()) else "it did not lower the error of the outputs"
    return Found(best, float(loss.sum()), float(start_losses.sum()), damping + more, worse)


def enlarged(hessian: Tensor, shrinkage: float = SHRINKAGE, damping: float = DAMPING) -> Tensor:
    """`hessian` with a diagonal larger by `shrinkage` of itself and `damping` of its mean; by 1 where all of it is zero."""
    diagonal = hessian.diagonal().clamp(min=0)
    mean = diagonal.mean()
    return hessian + torch.diag(shrinkage * diagonal + torch.where(mean > 0, damping * mean, torch.ones_like(mean)))


def triangular_factor(moments: Tensor) -> tuple[Tensor | None, float]:
    """(U of moments + more mean(diag) I = U D U^T, unit upper triangular float32 [columns, columns]; more).

    There is `more` than 0 only where the moments are not positive definite, and then more and more; None where nothing helps.
    """
    mean, more = float(moments.diagonal().mean()), 0.0
    while more <= _MOST_DAMPING:
        flipped = moments.flip(0, 1)
        flipped.diagonal().add_(more * mean)
        lower, info = torch.linalg.cholesky_ex(flipped)
        if int(info) == 0 and bool(lower.isfinite().all()):
            upper = lower.flip(0, 1)
            return upper / upper.diagonal(), more
        more = max(_LEAST_DAMPING, more * _GROWTH)
    return None, more


def mutual(moments: Tensor) -> Tensor:
    """H_jk / H_kk with an empty diagonal: what an error of column j asks of column k where all others stay as they are."""
    diagonal = moments.diagonal()
    coupling = moments / diagonal
    coupling.fill_diagonal_(0)
    return coupling


def _with_nearest(weight: Tensor, solved: Solved, dead: Tensor) -> Solved:
    """The codes, but the nearest ones in columns that are `dead`, bool [columns]: no sample speaks for any other."""
    if not bool(dead.any()):
        return solved
    return Solved(torch.where(dead, encode(weight, solved.grid), solved.codes), solved.grid)


def _rounded(weight: Tensor, grid: Grid, factor: Tensor, coupling: Tensor, order: Tensor, sweeps: int) -> Solved:
    columns = Columns.of(weight, grid, order)
    codes, errors = visited(columns, factor, None)
    for _ in range(sweeps):
        codes, errors = visited(columns, coupling, errors)
    placed = torch.empty_like(codes)
    placed[:, order] = codes
    return Solved(placed, grid)
