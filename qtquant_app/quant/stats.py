"""What the inspector draws, in torch: the reference for `quant.kernels.inspect`."""

from __future__ import annotations

import torch
from torch import Tensor

from qtquant_app.quant.affine import grouped


def histogram(weight: Tensor, lo: float, hi: float, bins: int) -> Tensor:
    """How many weights lie in each of `bins` equal parts of [lo, hi], int64 [bins]; `hi` is in the last."""
    values = weight.double().reshape(-1)
    inside = values[(values >= lo) & (values <= hi)]
    index = ((inside - lo) * (bins / (hi - lo))).long().clamp(max=bins - 1)
    return torch.bincount(index, minlength=bins)


def cell_errors(
    weight: Tensor, restored: Tensor, rows_per_cell: int, columns_per_cell: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The largest |e| of each cell [cells down, cells across], and sums of e^2 and w^2 per column of cells, float64."""
    error = grouped(weight - restored, columns_per_cell)
    highest = grouped(error.abs().amax(-1).T, rows_per_cell).amax(-1).T
    square_weight = grouped(weight, columns_per_cell).double().square().sum((0, 2))
    return highest, error.double().square().sum((0, 2)), square_weight
