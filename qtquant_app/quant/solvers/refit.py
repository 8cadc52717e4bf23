"""Scales by least squares: of all numbers, those with which given codes cost a layer's outputs least."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.affine import DTYPES, grouped, ungrouped
from qtquant_app.quant.solvers.grid import Grid, Solved

_ROWS = 1 << 22
"""Numbers of a square matrix for each row that are kept at once."""

_HOLD = 1e-4
"""How much a scale is held where it is, beside what the loss says of it: groups without a say keep theirs."""


def refitted(weight: Tensor, solved: Solved, hessian: Tensor, scheme: Scheme, dtype: str) -> Grid:
    """The grid whose scales give the codes of float32 weight [rows, columns] the least e H e^T in each row, zero points kept.

    With w' = sum over groups g of s_g c_g, c_g = u - z in the columns of g and 0 elsewhere, the scales solve A s = b for
    A_gh = c_g H c_h^T and b_g = c_g H w^T. They are rounded to `dtype` then; one that is not positive stays what it was, and all
    do where one scale serves the tensor. Float offsets stay too.
    """
    grid = solved.grid
    if scheme.strategy == "tensor":
        return grid
    step = max(1, _ROWS // max(weight.shape[1], grid.scale.shape[1] ** 2))
    scales = [
        _solved(weight[row : row + step], solved.codes[row : row + step], grid.rows(row, row + step), hessian)
        for row in range(0, len(weight), step)
    ]
    found = torch.cat(scales).to(DTYPES[dtype]).float()
    return replace(grid, scale=torch.where(found.isfinite() & (found > 0), found, grid.scale))


def _solved(weight: Tensor, codes: Tensor, grid: Grid, hessian: Tensor) -> Tensor:
    columns, groups, size = weight.shape[1], grid.scale.shape[1], grid.group
    offset = grid.zero[..., None]
    steps = grouped(codes, size).float()
    if grid.offset == "float":
        weight = weight - ungrouped(offset.expand_as(steps), columns)
    else:
        steps = steps - offset
    parts = ungrouped(steps, columns)
    right = grouped((weight @ hessian) * parts, size).sum(-1)
    left = torch.empty(len(weight), groups, groups, device=weight.device)
    for index in range(groups):
        own = slice(index * size, min((index + 1) * size, columns))
        left[:, index] = grouped((parts[:, own] @ hessian[own]) * parts, size).sum(-1)
    held = _HOLD * left.diagonal(dim1=1, dim2=2) + torch.finfo(torch.float32).tiny
    found: Tensor = torch.linalg.solve_ex(left + torch.diag_embed(held), right + held * grid.scale)[0]
    return found
