"""What the map of a model can show of each tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isnan

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.quantities import NOTHING, decibels, figure, percent, share_text

Numbers = NDArray[np.float64]


class Spread(StrEnum):
    """How figures are spread over the colours."""

    LINEAR = "linear"
    LOGARITHMIC = "logarithmic"
    ROOT = "by square root"


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a tensor: of its weights alone, or of its error under a scheme."""

    key: str
    title: str
    text: Callable[[float], str]
    weak: str
    """What the end of the scale is called that has the weakest colour."""
    strong: str
    """What the end is called that the eye should go to."""
    scheme: bool = True
    """Whether it depends on a scheme."""
    low_is_bad: bool = False
    spread: Spread = Spread.LOGARITHMIC

    def say(self, value: float) -> str:
        """`value` with its unit; a dash where there is none."""
        return NOTHING if isnan(value) else self.text(value)

    def badness(self, values: Numbers) -> Numbers:
        """`values` so that more is worse."""
        return -values if self.low_is_bad else values

    def ends(self, values: Numbers) -> tuple[float, float] | None:
        """The finite values that have the weakest and the strongest colour; None where there are no finite ones."""
        finite = values[np.isfinite(values)]
        if self.spread is Spread.LOGARITHMIC:
            finite = finite[finite > 0]
        if not finite.size:
            return None
        low, high = float(finite.min()), float(finite.max())
        return (high, low) if self.low_is_bad else (low, high)

    def shades(self, values: Numbers, ends: tuple[float, float] | None) -> Numbers:
        """How strong the colour of each value is, 0 to 1; NaN where there is no value."""
        if ends is None:
            return np.where(np.isnan(values), np.nan, 0.0)
        weak, strong = (float(end) for end in self._spread(np.array(ends)))
        room = strong - weak
        share = (self._spread(values) - weak) / room if room else np.where(np.isnan(values), np.nan, 0.0)
        return np.clip(share, 0.0, 1.0)

    def _spread(self, values: Numbers) -> Numbers:
        if self.spread is Spread.LINEAR:
            return values
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Numbers = (
                np.log10(values) if self.spread is Spread.LOGARITHMIC else np.sign(values) * np.sqrt(abs(values))
            )
        return found


def _bits(value: float) -> str:
    return f"{value:.3f}"


def _share(value: float) -> str:
    return share_text(value, 1.0, 4) if value not in (0.0, inf) else "none"


def _count(value: float) -> str:
    return f"{value:,.0f}"


SQNR = Measure("sqnr", "SQNR", decibels, "good", "bad", low_is_bad=True, spread=Spread.LINEAR)
MEASURES = (
    SQNR,
    Measure("relative", "Relative error", percent, "small", "large"),
    Measure("largest", "Largest error", figure, "small", "large"),
    Measure("bits", "Bits per weight", _bits, "few", "many", spread=Spread.LINEAR),
    Measure("range", "Range of weights", figure, "narrow", "wide", scheme=False),
    Measure("std", "Standard deviation", figure, "narrow", "wide", scheme=False),
    Measure("kurtosis", "Kurtosis", figure, "light tails", "heavy tails", scheme=False, spread=Spread.ROOT),
    Measure("outliers", "Share of outliers", _share, "few", "many", scheme=False, spread=Spread.ROOT),
    Measure("count", "Number of outliers", _count, "few", "many", scheme=False, spread=Spread.ROOT),
)
"""In the order of the menu."""
BY_KEY = {measure.key: measure for measure in MEASURES}
