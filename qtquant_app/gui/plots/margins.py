"""The errors beside the map: of each channel and of each group of columns, in the order in which the map shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.gui.plots.map_grid import Order

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

Steps = tuple[NDArray[np.float64], NDArray[np.float32]]
"""Edges [n + 1] in display positions, and values [n] in percent between them."""


def by_channel(preview: Preview, order: Order | None) -> Steps:
    """||e|| / ||w|| of each channel."""
    values = 100 * preview.channel_relative_error
    return edges_of(preview.shape[0], 1), values if order is None else values[order]


def by_column(preview: Preview, order: Order | None) -> Steps:
    """||e|| / ||w|| of each group of columns; where columns are sorted, each one's share of the squared error."""
    if order is None:
        return edges_of(preview.shape[1], preview.group_columns), 100 * preview.group_relative_error
    total = float(preview.column_square_error.sum()) or 1.0
    return edges_of(preview.shape[1], 1), (100 / total * preview.column_square_error[order]).astype(np.float32)


def edges_of(length: int, step: int) -> NDArray[np.float64]:
    """Where parts of `step` begin in `length`, and where the last one ends."""
    return np.append(np.arange(0, length, step), length).astype(np.float64)
