"""Rounding the columns of a matrix in a given order, a block of columns at a time: the loop that GPTQ and its sweeps share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from qtquant_app.quant.kernels.columns import visit_rows
from qtquant_app.quant.solvers.grid import Grid
from qtquant_app.quant.solvers.rows import over_rows

BLOCK = 128
"""Columns between two products of matrices."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A matrix whose columns stand in the order in which they are rounded, and the grid that they are rounded to."""

    weight: Tensor
    """float32 [rows, columns]."""
    group: Tensor
    """In which group of the grid each column lies, int64 [columns]."""
    grid: Grid

    @classmethod
    def of(cls, weight: Tensor, grid: Grid, order: Tensor) -> Columns:
        return cls(weight[:, order], order // grid.group, grid)


def visited(columns: Columns, coupling: Tensor, errors: Tensor | None) -> tuple[Tensor, Tensor]:
    """(codes uint8, errors w - w' float32), [rows, columns] both: column k takes the code nearest to w_k + sum over j of e_j times
    coupling[j, k], float32 [columns, columns] with a diagonal that does not count.

    Given the `errors` of codes that there are already, every other column counts, those after k by them; without, those before k.
    """
    count = columns.weight.shape[1]
    codes = torch.empty_like(columns.weight, dtype=torch.uint8)
    found = torch.zeros_like(columns.weight) if errors is None else errors.clone()
    for first in range(0, count, BLOCK):
        block = slice(first, min(first + BLOCK, count))
        known = slice(0, first if errors is None else count)
        wanted = found[:, known] @ coupling[known, block]
        codes[:, block], found[:, block] = _rounded(columns, block, wanted, found[:, block], coupling[block, block])
    return codes, found


def _rounded(columns: Columns, block: slice, wanted: Tensor, errors: Tensor, coupling: Tensor) -> tuple[Tensor, Tensor]:
    if wanted.device.type == "cpu":
        return _rounded_by_kernel(columns, block, wanted, errors, coupling)
    return _rounded_in_torch(columns, block, wanted, errors, coupling)


def _rounded_by_kernel(
    columns: Columns, block: slice, wanted: Tensor, errors: Tensor, coupling: Tensor
) -> tuple[Tensor, Tensor]:
    grid = columns.grid
    width = block.stop - block.start
    arrays = [
        part.contiguous().numpy()
        for part in (
            columns.weight[:, block],
            wanted,
            errors.clone(),
            grid.scale,
            grid.zero,
            coupling,
            columns.group[block],
        )
    ]
    weight, wanted_, found, scale, zero, coupled, groups = arrays
    codes = np.empty(weight.shape, np.uint8)

    def work(first: int, last: int) -> None:
        rows = slice(first, last)
        visit_rows(
            weight[rows].reshape(-1), wanted_[rows].reshape(-1), found[rows].reshape(-1), codes[rows].reshape(-1),
            coupled.reshape(-1), groups, scale[rows].reshape(-1), zero[rows].reshape(-1), grid.levels - 1,
            grid.offset == "float", width,
        )  # fmt: skip

    over_rows(work, len(weight))
    return torch.from_numpy(codes), torch.from_numpy(found)


def _rounded_in_torch(
    columns: Columns, block: slice, wanted: Tensor, errors: Tensor, coupling: Tensor
) -> tuple[Tensor, Tensor]:
    grid, codes, errors = columns.grid, torch.empty_like(wanted, dtype=torch.uint8), errors.clone()
    weight, groups = columns.weight[:, block], columns.group[block]
    scales, zeros = grid.scale[:, groups], grid.zero[:, groups]
    floating, top = grid.offset == "float", grid.levels - 1
    for k in range(weight.shape[1]):
        scale, zero = scales[:, k], zeros[:, k]
        shift, lowest = (zero, torch.zeros_like(zero)) if floating else (torch.zeros_like(zero), -zero)
        steps = ((weight[:, k] + wanted[:, k] - shift) / scale).clamp(lowest, lowest + top).round()
        codes[:, k] = (steps - lowest).to(torch.uint8)
        error = weight[:, k] - (steps * scale + shift)
        wanted[:, k + 1 :] += (error - errors[:, k])[:, None] * coupling[k, k + 1 :]
        errors[:, k] = error
    return codes, errors
