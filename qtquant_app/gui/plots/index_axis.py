"""An axis of rows or columns: whole numbers, at the middle of each where there is room."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil, floor

import pyqtgraph as pg

ROOM = 44.0
"""Pixels between two figures along a side, about; downwards they need half of it."""
WIDE = 12.0
"""Pixels of a row or column from which on its figure stands at its middle."""


class IndexAxis(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """Counts rows or columns from 0."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        low, high = min(low, high), max(low, high)
        if not size > 0 or high <= low:
            return []
        room = ROOM if self.orientation in ("top", "bottom") else ROOM / 2
        step = whole_step((high - low) / max(1.0, size / room))
        shift = 0.5 if size / (high - low) >= WIDE else 0.0
        first, last = ceil((low - shift) / step), floor((high - shift - 1e-9) / step)
        return [(float(step), [n * step + shift for n in range(max(0, first), last + 1)])]

    def tickStrings(self, values: Iterable[float], scale: float, spacing: float) -> list[str]:
        return [str(floor(value)) for value in values]


def whole_step(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50 … that is not less than `least`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power >= least:
                return factor * power
        power *= 10
