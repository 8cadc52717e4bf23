"""An axis of decimal logarithms that writes the numbers themselves, at 1, 2 and 5 of each power of ten where there is room."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from math import ceil, floor, log10

import pyqtgraph as pg

ROOM = 20.0
"""Pixels between two figures."""
_STEPS: tuple[tuple[float, ...], ...] = ((1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 5), (1, 3), (1,))


class ErrorAxis(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """Figures such as 0.02, 0.05, 0.1; powers of ten alone over many of them."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        low, high = min(low, high), max(low, high)
        if not size > 0 or not high > low or high - low > 600:
            return []
        for steps in _STEPS:
            found = _within(low, high, steps)
            if _fits(found, size / (high - low)):
                return [(1.0, found if len(found) > 1 else _even(low, high, size))]
        every = max(1, ceil(ROOM * (high - low) / size))
        return [(float(every), [float(p) for p in range(ceil(low), floor(high) + 1) if p % every == 0])]

    def tickStrings(self, values: Iterable[float], scale: float, spacing: float) -> list[str]:
        return [f"{10**value:.4g}" for value in values]


def _even(low: float, high: float, size: float) -> list[float]:
    """Evenly spaced figures, for a range in which even the finest of the others has at most one."""
    top, bottom = 10**high, 10**low
    least = top * (1 - 10 ** (-ROOM * (high - low) / size))
    power = 10.0 ** floor(log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least)
    return [log10(n * step) for n in range(ceil(bottom / step), floor(top / step) + 1) if n > 0]


def _within(low: float, high: float, steps: tuple[float, ...]) -> list[float]:
    places = (power + log10(step) for power in range(floor(low), ceil(high) + 1) for step in steps)
    return [place for place in places if low <= place <= high]


def _fits(places: list[float], pixels: float) -> bool:
    return all((b - a) * pixels >= ROOM for a, b in pairwise(places))
