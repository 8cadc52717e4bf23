"""The error that codes cause in a layer's outputs, tr(E H E^T), row by row: rows share nothing but their inputs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from qtquant_app.quant.solvers.grid import Solved, refuse_non_finite, restored


def check_hessian(weight: Tensor, hessian: Tensor) -> None:
    """Raises NonFinite for a weight, and ValueError where hessian is not finite or not that of weight [rows, columns]."""
    refuse_non_finite(weight)
    columns = weight.shape[1]
    if hessian.shape != (columns, columns):
        raise ValueError(f"{columns} columns are given second moments of shape {tuple(hessian.shape)}")
    if not bool(hessian.isfinite().all()):
        raise ValueError("the second moments of the inputs hold numbers that are not finite")


def row_losses(weight: Tensor, solved: Solved, hessian: Tensor) -> Tensor:
    """e H e^T of each row, float64 [rows], for e = weight - restored(solved): the mean squared error of an output."""
    return losses(weight - restored(solved), hessian)


def losses(error: Tensor, hessian: Tensor) -> Tensor:
    """e H e^T of each row of error float32 [rows, columns], float64 [rows]."""
    return ((error @ hessian) * error).sum(1, dtype=torch.float64)


def better_rows(best: Solved, loss: Tensor, other: Solved, other_loss: Tensor) -> tuple[Solved, Tensor]:
    """Of two matrices of codes the rows that lose less, with their grids, and what they lose; of equals the first.

    Where one scale serves the whole tensor, all rows are of the one that loses less in all.
    """
    shared = best.grid.scale.stride(0) == 0 and len(loss) > 1
    better = (other_loss.sum() < loss.sum()).expand(len(loss)) if shared else other_loss < loss
    if shared:
        return (other, other_loss) if bool(better[0]) else (best, loss)
    picked = better[:, None]
    scale = torch.where(picked, other.grid.scale, best.grid.scale)
    zero = torch.where(picked, other.grid.zero, best.grid.zero)
    codes = torch.where(picked, other.codes, best.codes)
    blocks = best.grid.blocks
    if blocks is not None and other.grid.blocks is not None:
        blocks = torch.where(picked, other.grid.blocks, blocks)
    grid = replace(best.grid, scale=scale, zero=zero, blocks=blocks)
    return Solved(codes, grid), torch.where(better, other_loss, loss)
