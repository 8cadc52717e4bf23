"""How the weights of a tensor are spread, and the values that the codes can take among them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import nan

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF

from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.colors import faded

EMPTY = -0.3
"""Where a bar without weights ends on the axis of powers of ten: just under the one for a single weight."""
ROOM = 4.0
"""Pixels between levels drawn over the whole height; closer ones would hide the bars and stay at the foot."""
FOOT = 0.3
"""The share of the height that a level takes there."""


class CountAxis(pg.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
    """Powers of ten, written as such."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        powers = np.arange(np.ceil(low), np.floor(high) + 1)
        room = max(1, int(size // 22))
        step = max(1, -(-len(powers) // room))
        return [(float(step), [float(power) for power in powers if power >= 0][::step])]

    def tickStrings(self, values: Iterable[float], scale: float, spacing: float) -> list[str]:
        raised = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
        return [
            "1" if value == 0 else "10" if value == 1 else "10" + str(int(value)).translate(raised) for value in values
        ]


class HistogramPlot(Plot):
    """Counts of weights on a logarithmic axis, with the quantization levels as vertical lines."""

    def __init__(self) -> None:
        super().__init__("histogramPlot", "Histogram of the weights", {"left": CountAxis("left")})
        self.axis("left", "weights")
        self.axis("bottom")
        self.setMouseEnabled(x=True, y=False)
        self._edges: NDArray[np.float64] = np.zeros(2)
        self._counts: NDArray[np.int64] = np.zeros(1, np.int64)
        self._levels: NDArray[np.float32] = np.zeros(0, np.float32)
        self._top = 1.0
        self._bars = pg.PlotCurveItem()
        self._lines = pg.PlotCurveItem(connect="pairs")
        self._mark = pg.LinearRegionItem(movable=False)
        self._mark.hide()
        self._read_out = pg.TextItem(anchor=(1, 0))
        self._read_out.setZValue(2)
        for item in (self._bars, self._lines, self._mark, self._read_out):
            self.addItem(item, ignoreBounds=True)
        self.scene().sigMouseMoved.connect(self._hover)
        self.view.sigRangeChanged.connect(self._moved)
        self.view.sigResized.connect(self._moved)
        self.recolour()

    @property
    def levels(self) -> NDArray[np.float32]:
        """The quantization levels drawn."""
        return self._levels

    def draw(self, edges: NDArray[np.float64], counts: NDArray[np.int64], levels: NDArray[np.float32]) -> None:
        """Shows `counts` [n] between `edges` [n + 1], and `levels` [L]; all in the unit of the weights."""
        same = np.array_equal(edges, self._edges) and np.array_equal(counts, self._counts)
        self._edges, self._counts, self._levels = edges, counts, levels
        heights = np.where(counts > 0, np.log10(np.maximum(counts, 1)), EMPTY)
        self._bars.setData(edges, heights, stepMode="center", fillLevel=EMPTY)
        self._top = float(max(heights.max(initial=0.0), 1.0)) * 1.06
        if not same:  # the same weights under another scheme keep their zoom
            low, high = self._extent()
            self.setLimits(xMin=low, xMax=high, minXRange=(high - low) / 1000)
            self._read_out.setText("")
            self.show_all()
        self._draw_levels()

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """Each bin with its ends and its count."""
        if not self._counts.any():
            return None
        low, high = self._edges[:-1].tolist(), self._edges[1:].tolist()
        return ("from", "to", "weights"), zip(low, high, self._counts.tolist(), strict=True)

    def mark(self, low: float, high: float) -> None:
        """Lays a band over the values from `low` to `high`; NaN takes it away."""
        self._mark.setVisible(low <= high)
        if low <= high:
            self._mark.setRegion((low, high))

    def mark_weight(self, weight: float | None) -> None:
        """Marks the bin that holds `weight`; None marks nothing."""
        if weight is None or not self._counts.any():
            self.mark(nan, nan)
        else:
            self.mark(*self._bin(weight)[1:])

    @property
    def marked(self) -> tuple[float, float] | None:
        """The stretch under the band."""
        return tuple(self._mark.getRegion()) if self._mark.isVisible() else None

    def show_all(self) -> None:
        self.setRange(xRange=self._extent(), yRange=(EMPTY, self._top), padding=0)

    def _extent(self) -> tuple[float, float]:
        low, high = float(self._edges[0]), float(self._edges[-1])
        margin = 0.02 * (high - low) or 1.0
        return low - margin, high + margin

    def recolour(self) -> None:
        super().recolour()
        self._read_out.setColor(self.theme.text)
        self._bars.setBrush(self.theme.bars)
        self._bars.setPen(None)
        self._lines.setPen(pg.mkPen(faded(self.theme.accent, 0.9)))
        self._mark.setBrush(faded(self.theme.accent, 0.35))
        for line in self._mark.lines:
            line.setPen(pg.mkPen(self.theme.accent, width=2))

    def _draw_levels(self) -> None:
        """A line for each level: short ones where they are crowded, until a zoom makes room."""
        left, right = self.view.viewRange()[0]
        pixel = (right - left) / max(1.0, self.view.width())
        crowded = len(self._levels) > 1 and np.ptp(self._levels) / (len(self._levels) - 1) < ROOM * pixel
        end = EMPTY + (FOOT if crowded else 1.0) * (self._top - EMPTY)
        ends = np.tile(np.array([EMPTY, end]), len(self._levels))
        self._lines.setData(np.repeat(self._levels, 2).astype(np.float64), ends)

    def _hover(self, position: QPointF) -> None:
        x = self.view.mapSceneToView(position).x()
        inside = self.view.sceneBoundingRect().contains(position) and self._edges[0] <= x <= self._edges[-1]
        self._read_out.setText(self.text_at(x) if inside and self._counts.any() else "")

    def text_at(self, value: float) -> str:
        """What the bin that holds `value` says: its ends and its count."""
        place, low, high = self._bin(value)
        count = int(self._counts[place])
        return f"{low:.4g} to {high:.4g}: {count:,} weight{'' if count == 1 else 's'}"

    def _bin(self, value: float) -> tuple[int, float, float]:
        """The bin that holds `value`, and its ends; the nearest where none does."""
        place = min(max(bisect_right(self._edges, value) - 1, 0), len(self._counts) - 1)
        return place, float(self._edges[place]), float(self._edges[place + 1])

    def _moved(self) -> None:
        (_, right), (_, top) = self.view.viewRange()
        self._read_out.setPos(right, top)
        self._draw_levels()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._read_out.setText("")
