"""What the error map can show of each weight."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from qtquant_app.core.scheme import Scheme

MAX_CELLS = 1024
"""Cells of a map along each side, at most."""


class View(StrEnum):
    """One number for each weight, in the order of the menu; e = w - dequantized(w)."""

    ABSOLUTE = "absolute"
    SIGNED = "signed"
    SQUARED = "squared"
    RELATIVE = "relative"
    SATURATION = "saturation"
    SCALE = "scale"
    ZERO = "zero-point"
    WEIGHT = "weight"

    @property
    def label(self) -> str:
        """What a menu calls it."""
        return _TITLES[self][0]

    @property
    def formula(self) -> str:
        """How the number comes about, for a caption."""
        return _TITLES[self][1]

    @property
    def signed(self) -> bool:
        """Whether it lies on both sides of zero."""
        return self in (View.SIGNED, View.WEIGHT)

    def why_not(self, scheme: Scheme) -> str:
        """Why there is nothing to draw under `scheme`; empty where there is."""
        if scheme.layout is not None and self in (View.SATURATION, View.SCALE, View.ZERO):
            return f"{scheme.label} has no {self.label.lower()} to draw: its blocks have scales within scales"
        if scheme.type == "float" and self is View.ZERO:
            return f"{scheme.label} has no {self.label.lower()} to draw: floating-point codes are symmetric"
        return ""


_TITLES = {
    View.ABSOLUTE: ("Absolute error", "|e|"),
    View.SIGNED: ("Signed error", "e = w \u2212 w\u2032"),
    View.SQUARED: ("Squared error", "e\u00b2"),
    View.RELATIVE: ("Error relative to the channel", "|e| / rms of the channel's weights"),
    View.SATURATION: ("Saturation", "1 where a weight lies over half a step beyond the last level"),
    View.SCALE: ("Scale", "s of the weight's group"),
    View.ZERO: ("Zero point", "z of the weight's group"),
    View.WEIGHT: ("Weights", "w"),
}


@dataclass(frozen=True, slots=True)
class Window:
    """What part of a matrix to show, half-open in display positions, and in how many cells at most.

    Display positions are rows and columns, or their ranks by squared error, the largest first, where they are sorted.
    """

    view: View
    top: int
    bottom: int
    left: int
    right: int
    cells_down: int = MAX_CELLS
    cells_across: int = MAX_CELLS
    sort_rows: bool = False
    sort_columns: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A rectangle of a matrix, half-open in rows and columns: a cell of the map, a group, a channel, or one weight."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def single(self) -> bool:
        """Whether it is one weight."""
        return self.rows[1] - self.rows[0] == 1 == self.columns[1] - self.columns[0]
