"""Error along one side of a weight matrix: by channel, or by group of columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent

from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.colors import faded

MOST_BARS = 2048
"""More values than a screen has pixels are drawn as the largest of each bundle: a peak is never lost."""


def peaks(
    edges: NDArray[np.float64], values: NDArray[np.float32], most: int = MOST_BARS
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """At most `most` bars in place of `values` [n] between `edges` [n + 1]: each the largest of its neighbours."""
    bundle = -(-len(values) // most)
    if bundle <= 1:
        return edges, values
    starts = np.arange(0, len(values), bundle)
    return np.append(edges[starts], edges[-1]), np.maximum.reduceat(values, starts)


class Profile(Plot):
    """A filled step line. The side it runs along follows the error map; `upright` turns it to run downwards."""

    hovered = Signal(float)
    """The place under the pointer, in rows or columns; NaN when it has left."""
    clicked = Signal(float)
    """The place that was clicked, in rows or columns."""

    def __init__(self, name: str, spoken: str, *, upright: bool) -> None:
        super().__init__(name, spoken)
        self._upright = upright
        self._edges: NDArray[np.float64] = np.zeros(2)
        self._values: NDArray[np.float32] = np.zeros(1, np.float32)
        self._known = False
        self._top = 1.0
        self.unit = "%"
        """Of its values, for files."""
        self._line = pg.PlotCurveItem(fillLevel="enclosed")
        self._mark = pg.LinearRegionItem(orientation="horizontal" if upright else "vertical", movable=False)
        self._mark.hide()
        for item in (self._line, self._mark):
            self.addItem(item, ignoreBounds=True)
        if upright:
            self.view.invertY(True)
        self.setMouseEnabled(x=False, y=False)
        self.scene().sigMouseMoved.connect(self._hover)
        self.recolour()

    @property
    def values(self) -> NDArray[np.float32]:
        """The values drawn, one for each channel or group."""
        return self._values

    def draw(self, edges: NDArray[np.float64], values: NDArray[np.float32]) -> None:
        """Shows `values` [n], in percent, between `edges` [n + 1], in rows or columns."""
        self._edges, self._values, self._known = edges, values, True
        shown_edges, shown = peaks(edges, np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0))
        along = np.repeat(shown_edges, 2)
        up = np.concatenate([[0.0], np.repeat(shown, 2), [0.0]])
        self._line.setData(*((up, along) if self._upright else (along, up)))
        self._top = float(shown.max(initial=0.0)) * 1.08 or 1.0
        self.mark(None)
        self.show_all()

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """Each value with the stretch of rows or columns it is for; NaN, where nothing is known, stays empty."""
        if not self._known:
            return None
        side = "row" if self._upright else "column"
        ends = self._edges.astype(np.int64)
        values = (None if value != value else value for value in self._values)
        header = (f"first {side}", f"last {side}", f"{self.accessibleName()} ({self.unit})")
        return header, zip(ends[:-1].tolist(), (ends[1:] - 1).tolist(), values, strict=True)

    def show_all(self) -> None:
        along, up = (float(self._edges[0]), float(self._edges[-1])), (0.0, self._top)
        x, y = (up, along) if self._upright else (along, up)
        self.setRange(xRange=x, yRange=y, padding=0)

    def follow(self, low: float, high: float) -> None:
        """Shows the stretch from `low` to `high`, as the map does."""
        (self.view.setYRange if self._upright else self.view.setXRange)(low, high, padding=0)

    def mark(self, stretch: tuple[float, float] | None) -> None:
        """Lays a band over a stretch of rows or columns; None takes it away."""
        self._mark.setVisible(stretch is not None)
        if stretch is not None:
            self._mark.setRegion(stretch)

    @property
    def marked(self) -> tuple[float, float] | None:
        """The stretch under the band."""
        return tuple(self._mark.getRegion()) if self._mark.isVisible() else None

    def recolour(self) -> None:
        super().recolour()
        self._line.setPen(pg.mkPen(self.theme.bars, width=1))
        self._line.setBrush(self.theme.bars)
        self._mark.setBrush(faded(self.theme.accent, 0.35))
        for line in self._mark.lines:
            line.setPen(pg.mkPen(self.theme.accent, width=1))

    def step(self, key: Qt.Key) -> None:
        """The map moves, and this follows it."""

    def _hover(self, position: QPointF) -> None:
        if self.view.sceneBoundingRect().contains(position):
            self.hovered.emit(self._along(position))

    def _along(self, position: QPointF) -> float:
        point = self.view.mapSceneToView(position)
        return float(point.y() if self._upright else point.x())

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        position = self.mapToScene(event.position().toPoint())
        if event.button() == Qt.MouseButton.LeftButton and self.view.sceneBoundingRect().contains(position):
            self.clicked.emit(self._along(position))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.hovered.emit(float("nan"))
