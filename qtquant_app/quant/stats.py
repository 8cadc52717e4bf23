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


def cell_errors(weight: Tensor, restored: Tensor, columns_per_cell: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The largest |e| and the sums of e^2 and w^2 of each row's cells, [rows, cells]; and of e^2 of each column; float64."""
    error = weight - restored
    cells = grouped(error, columns_per_cell)
    square_weight = grouped(weight, columns_per_cell).double().square().sum(-1)
    return cells.abs().amax(-1), cells.double().square().sum(-1), square_weight, error.double().square().sum(0)
