"""From the numbers of a map to its colours, and back to what the colour bar says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.quantities import figure
from qtquant_app.gui.plots.map_grid import Cells
from qtquant_app.ramps import SHADES

CLIP = 99.9
"""Percentile of the magnitudes at which the clipped scale ends."""
FAINT = 1.0
"""Percentile of the magnitudes other than zero at which the logarithmic scale begins."""
MOST_DECADES = 9


class Scaling(StrEnum):
    """How values are spread over the colours."""

    LINEAR = "linear"
    LOGARITHMIC = "logarithmic"
    CLIPPED = "clipped"

    @property
    def label(self) -> str:
        return "Clipped, 99.9 %" if self is Scaling.CLIPPED else self.value.capitalize()


@dataclass(frozen=True, slots=True)
class Tones:
    """Which colour a value has. Signed values run from -high over zero to high, magnitudes from low to high."""

    high: float = 1.0
    low: float = 0.0
    """Where the colours begin; on a logarithmic scale the smallest magnitude that differs from zero."""
    signed: bool = False
    logarithmic: bool = False
    above: bool = False
    """Whether there are values beyond `high`, which have its colour."""

    @classmethod
    def of(cls, values: Cells, signed: bool, scaling: Scaling) -> Tones:
        """Those that fit `values`."""
        top = max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
        if not top > 0 or top == np.inf:
            return cls(signed=signed)
        if scaling is Scaling.LINEAR:
            return cls(top, 0.0, signed)
        magnitudes = np.abs(values).reshape(-1)
        if scaling is Scaling.CLIPPED:
            high = _percentile(magnitudes, CLIP) or top
            return cls(high, 0.0, signed, above=high < top)
        low = max(_percentile(magnitudes[magnitudes > 0], FAINT), top * 10.0**-MOST_DECADES)
        return cls(top, min(low, top / 10), signed, logarithmic=True)

    @property
    def levels(self) -> tuple[float, float]:
        """The values of the first and the last colour."""
        return (-self.high if self.signed else self.low), self.high

    def positions(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Where between the first colour, 0, and the last, 1, each value lies."""
        share: NDArray[Any] = values
        if self.logarithmic:
            with np.errstate(divide="ignore"):
                share = np.log(np.abs(values) / np.float32(self.low)) / np.float32(np.log(self.high / self.low))
            share = np.copysign(share.clip(0, 1), values) if self.signed else share
        elif self.signed:
            share = values / np.float32(self.high)
        else:
            share = (values - np.float32(self.low)) / np.float32(self.high - self.low)
        found: NDArray[np.float32] = (0.5 + 0.5 * share if self.signed else share).clip(0, 1)
        return found.astype(np.float32, copy=False)

    def position(self, value: float) -> float:
        """Where one value lies, 0 to 1."""
        return float(self.positions(np.array([value], np.float32))[0])

    def shades(self, values: NDArray[np.float32]) -> NDArray[np.uint16]:
        """The number of each value's colour; SHADES for what is no number."""
        place = self.positions(values)
        place *= SHADES - 1
        place += 0.5
        lost = np.isnan(place)
        if lost.any():
            place[lost] = SHADES
        return place.astype(np.uint16)

    def ticks(self) -> tuple[str, str, str]:
        """What the bar says at its start, in its middle and at its end."""
        end = figure(self.high)
        if self.signed:
            middle = f"\u00b1{figure(self.low)}" if self.logarithmic else "0"
            return (f"\u2212{end}", middle, end)
        between = sqrt(self.low) * sqrt(self.high) if self.logarithmic else (self.low + self.high) / 2
        return figure(self.low), f"{between:.3g}", end


def _percentile(values: NDArray[np.float32], percent: float) -> float:
    """By nearest rank; 0 where there are no values."""
    if not values.size:
        return 0.0
    at = min(values.size - 1, int(values.size * percent / 100))
    return float(np.partition(values, at)[at])
