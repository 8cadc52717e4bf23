"""How far restored weights are from the weights, in torch; e = w - w', sums in float64.

The same measures, from sums that a run has added up, are properties of `core.report.ErrorSums`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from qtquant_app.quant.affine import grouped


class Measures(NamedTuple):
    """Every measure over the same parts of a matrix, float64 tensors of one shape."""

    mse: Tensor
    """Mean of e^2."""
    sqnr_db: Tensor
    """10 log10(sum w^2 / sum e^2), in dB; infinite where there is no error."""
    relative_error: Tensor
    """||e|| / ||w||; 0 where there is no error."""
    max_error: Tensor
    """Largest |e|."""
    cosine: Tensor
    """Cosine between w and w'; 1 for two zero vectors, 0 for one."""


def mse(weight: Tensor, restored: Tensor) -> float:
    """Mean of e^2 over all weights."""
    return measures(weight, restored).mse.item()


def sqnr_db(weight: Tensor, restored: Tensor) -> float:
    """Signal to quantization-noise ratio over all weights, in dB."""
    return measures(weight, restored).sqnr_db.item()


def relative_error(weight: Tensor, restored: Tensor) -> float:
    """||e|| / ||w|| over all weights."""
    return measures(weight, restored).relative_error.item()


def max_error(weight: Tensor, restored: Tensor) -> float:
    """Largest |e| of all weights."""
    return measures(weight, restored).max_error.item()


def cosine(weight: Tensor, restored: Tensor) -> float:
    """Cosine between the weights and what was restored."""
    return measures(weight, restored).cosine.item()


def measures(weight: Tensor, restored: Tensor) -> Measures:
    """Each measure over all weights, as tensors without dimensions."""
    return _along_last(weight.reshape(-1), restored.reshape(-1), weight.numel())


def per_channel(weight: Tensor, restored: Tensor) -> Measures:
    """Each measure over each row of [rows, columns]: [rows]."""
    return _along_last(weight, restored, weight.shape[1])


def per_group(weight: Tensor, restored: Tensor, size: int) -> Measures:
    """Each measure over each group of `size` columns of a row: [rows, groups]; the last group may be shorter."""
    columns = weight.shape[1]
    counts = torch.full((-(-columns // size),), float(size), dtype=torch.float64, device=weight.device)
    counts[-1] = columns - (len(counts) - 1) * size
    return _along_last(grouped(weight, size), grouped(restored, size), counts)


def _along_last(weight: Tensor, restored: Tensor, count: int | Tensor) -> Measures:
    weight, restored = weight.double(), restored.double()
    error = weight - restored
    noise, signal, back = (error**2).sum(-1), (weight**2).sum(-1), (restored**2).sum(-1)
    none = noise == 0
    norms = (signal * back).sqrt()
    both = torch.where(norms > 0, (weight * restored).sum(-1) / norms, (signal == back).double())
    return Measures(
        mse=noise / count,
        sqnr_db=torch.where(none, torch.inf, 10 * torch.log10(signal / noise)),
        relative_error=torch.where(none, 0.0, (noise / signal).sqrt()),
        max_error=error.abs().amax(-1),
        cosine=both.clamp(-1, 1),
    )
