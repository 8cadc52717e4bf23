"""What is tried for each block layout, by the kernels and by the torch reference alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SYMMETRIC, BELOW, FREE = 0, 1, 2
"""What a group's base may be: zero; zero or less; any number."""


Tried = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Targets and shifts of the ranges that are tried, [n] each; see `Search`."""


@dataclass(frozen=True)
class Search:
    """The bounds of a layout's codes and scales, and the ranges that are tried."""

    mode: int
    lowest: int
    top: int
    """Codes run from `lowest` to `top`."""
    floor: int
    cap: int
    """A sub-block's whole-number scale runs from `floor` to `cap`, its minimum from 0 to `cap`; unused by the legacy types."""
    targets: NDArray[np.float32]
    """Steps that a range is made wide, [n]; with a sign where symmetric, as it is the largest weight that they reach."""
    shifts: NDArray[np.float32]
    """Steps by which the range is moved, [n]."""
    factors: NDArray[np.float32]
    """Factors on the block's first scale."""
    reach: int
    """How far the whole-number scales are tried around the nearest."""
    rounds: int
    """How often the block's scales are corrected."""


def two_sided(lowest: int, top: int, widest: float, narrowest: float, count: int) -> Tried:
    """Ranges around zero: the largest weight takes the lowest code or the highest, a few steps less or more."""
    inside = np.linspace(narrowest, widest, count)
    targets = np.concatenate([lowest - inside, top + inside]).astype(np.float32)
    return targets, np.zeros_like(targets)


def one_sided(top: int, widest: float, narrowest: float, count: int, shift: float) -> Tried:
    """Ranges from the smallest weight up, each also moved by part of a step to both sides."""
    widths = top + np.linspace(narrowest, widest, count)
    shifts = np.array([0, -shift, shift])
    return np.repeat(widths, 3).astype(np.float32), np.tile(shifts, count).astype(np.float32)


def _search(
    mode: int, codes: tuple[int, int], scales: tuple[int, int], tried: Tried,
    factors: tuple[float, ...] = (1.0,), rounds: int = 2,
) -> Search:  # fmt: skip
    return Search(mode, *codes, *scales, *tried, np.array(factors, np.float32), 1, rounds)


SEARCHES = {
    "Q4_0": _search(SYMMETRIC, (-8, 7), (0, 0), two_sided(-8, 7, 0.9, -1.1, 12)),
    "Q4_1": _search(FREE, (0, 15), (0, 0), one_sided(15, 0.8, -1.2, 9, 0.35)),
    "Q5_0": _search(SYMMETRIC, (-16, 15), (0, 0), two_sided(-16, 15, 0.7, -2.0, 12)),
    "Q5_1": _search(FREE, (0, 31), (0, 0), one_sided(31, 0.8, -2.0, 13, 0.35)),
    "Q8_0": _search(SYMMETRIC, (-127, 127), (0, 0), two_sided(-127, 127, 0.4, -6.0, 12)),
    "Q2_K": _search(BELOW, (0, 3), (0, 15), one_sided(3, 0.6, -0.9, 7, 0.35), rounds=3),
    "Q3_K": _search(SYMMETRIC, (-4, 3), (-32, 31), two_sided(-4, 3, 0.6, -1.2, 7)),
    "Q4_K": _search(BELOW, (0, 15), (0, 63), one_sided(15, 0.8, -1.2, 9, 0.35), (1.0, 1.04)),
    "Q5_K": _search(BELOW, (0, 31), (0, 63), one_sided(31, 0.8, -2.0, 13, 0.35), (1.0, 1.04)),
    "Q6_K": _search(SYMMETRIC, (-32, 31), (-128, 127), two_sided(-32, 31, 0.7, -2.5, 13)),
}
"""How each layout is searched. The legacy types are, only where there are importances or the method asks for it."""


NUMBERS = {name: number for number, name in enumerate(SEARCHES)}
"""The number by which kernels know a layout."""


def middle(name: str) -> int:
    """What is taken from a stored code before it is multiplied: 0 for codes that are not signed."""
    return -SEARCHES[name].lowest if name != "Q8_0" else 128
