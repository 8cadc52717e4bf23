"""Axes of the model's map: names of kinds down, numbers of blocks across."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil, floor

import pyqtgraph as pg

LONGEST = 30
"""Characters of a name on the axis; longer ones lose their middle."""
LINE = 14.0
"""Pixels that a name takes."""
FIGURE = 30.0
"""Pixels that a number takes across."""


class KindAxis(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """Names rows 0, 1, …, each at its middle; where they are crowded only every second, third … of them."""

    def __init__(self) -> None:
        super().__init__("left")
        self._kinds: tuple[str, ...] = ()
        self.setStyle(tickLength=0, autoExpandTextSpace=True, hideOverlappingLabels=False)

    def set_kinds(self, kinds: Sequence[str]) -> None:
        self._kinds = tuple(kinds)
        self.picture = None
        self.update()

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        low, high = min(low, high), max(low, high)
        if not size > 0 or high <= low:
            return []
        step = max(1, ceil(LINE * (high - low) / size))
        rows = range(max(0, floor(low)), min(len(self._kinds), ceil(high)))
        return [(float(step), [row + 0.5 for row in rows if row % step == 0 and low <= row + 0.5 <= high])]

    def tickStrings(self, values: Iterable[float], scale: float, spacing: float) -> list[str]:
        return [shortened(self._kinds[int(value)]) for value in values]


class DepthAxis(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """Numbers blocks 0, 1, …, and names the column at `outside` where there is one."""

    def __init__(self) -> None:
        super().__init__("bottom")
        self._depth = 0
        self._outside: float | None = None
        self.setStyle(hideOverlappingLabels=False)

    def set_depth(self, depth: int, outside: float | None) -> None:
        """`outside` is the middle of the column for what is in no block."""
        self._depth, self._outside = depth, outside
        self.picture = None
        self.update()

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        if not size > 0 or high <= low:
            return []
        step = next(
            step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if step * size / (high - low) >= FIGURE
        )
        blocks = [n + 0.5 for n in range(max(0, floor(low)), min(self._depth, ceil(high))) if n % step == 0]
        room = 2 * FIGURE * (high - low) / size
        if self._outside is not None and low <= self._outside <= high:
            blocks = [at for at in blocks if self._outside - at > room * 0.7]
            blocks.append(self._outside)
        return [(float(step), [at for at in blocks if low <= at <= high])]

    def tickStrings(self, values: Iterable[float], scale: float, spacing: float) -> list[str]:
        return ["outside" if value == self._outside else str(floor(value)) for value in values]


def shortened(name: str) -> str:
    """`name` within LONGEST characters."""
    if len(name) <= LONGEST:
        return name
    tail = LONGEST * 2 // 3
    return f"{name[: LONGEST - tail - 1]}\u2026{name[-tail:]}"
