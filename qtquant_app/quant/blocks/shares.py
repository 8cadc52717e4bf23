"""Importances as the search takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = np.float32(1e-6)
"""The share of a column that is of no importance: enough to choose a scale where a whole group has none."""


def shares_of(importance: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    """`importance` [columns] over its largest, float32, none less than `LEAST`; ones where all are zero.

    Raises ValueError where it has another shape, or holds what is negative or not finite.
    """
    if importance.shape != (columns,) or not np.isfinite(importance).all() or (importance < 0).any():
        raise ValueError(f"an importance is {columns} finite numbers, none below zero")
    largest = np.float32(importance.max())
    if largest == 0:
        return np.ones(columns, np.float32)
    shares: NDArray[np.float32] = np.maximum(importance.astype(np.float32) / largest, LEAST)
    return shares
