"""Small random layers, and inputs as a trained model has them: correlated, and a few columns far larger than the rest."""

from __future__ import annotations

import torch
from torch import Tensor


def inputs(tokens: int, columns: int, seed: int = 0, outliers: int = 2) -> Tensor:
    """float32 [tokens, columns]."""
    chance = torch.Generator().manual_seed(seed)
    mixed = (
        torch.randn(tokens, columns, generator=chance) @ torch.randn(columns, columns, generator=chance) / columns**0.5
    )
    found = mixed + 0.5 * torch.randn(tokens, columns, generator=chance)
    found[:, torch.randperm(columns, generator=chance)[:outliers]] *= 12
    return found


def second_moments(values: Tensor) -> Tensor:
    """The mean of x x^T, float32 [columns, columns]."""
    return (values.double().T @ values.double() / len(values)).float()


def weights(rows: int, columns: int, seed: int = 0) -> Tensor:
    """float32 [rows, columns]."""
    return torch.randn(rows, columns, generator=torch.Generator().manual_seed(1000 + seed)) * 0.05


def output_error(weight: Tensor, other: Tensor, values: Tensor) -> float:
    """The mean over tokens of the squared error of the outputs, in float64: computed from inputs, not from second moments."""
    return float(((values.double() @ (weight - other).double().T).square().sum(1)).mean())
