"""What lies over the cells of a map: the cursor, and the lines between groups."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QRectF
from PySide6.QtWidgets import QGraphicsRectItem

from qtquant_app.gui.plots.colors import Theme, faded
from qtquant_app.gui.plots.map_grid import Cell, Grid
from qtquant_app.gui.plots.tones import Tones

ROOM = 6.0
"""Pixels of a weight from which on the borders of groups are drawn."""
MOST_RINGS = 6


class Cursor:
    """An outline around a cell, and two lines through its middle to find it by."""

    def __init__(self, view: pg.ViewBox) -> None:
        self._halo, self._outline = QGraphicsRectItem(), QGraphicsRectItem()
        self._cross = (pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=0))
        for depth, item in enumerate((*self._cross, self._halo, self._outline)):
            item.setZValue(10 + depth)
            view.addItem(item, ignoreBounds=True)
        self.show(None)

    def show(self, cell: Cell | None) -> None:
        """Moves to `cell`; None hides it."""
        for item in (self._halo, self._outline, *self._cross):
            item.setVisible(cell is not None)
        if cell is None:
            return
        (left, right), (top, bottom) = cell.columns, cell.rows
        for item in (self._halo, self._outline):
            item.setRect(QRectF(left, top, right - left, bottom - top))
        self._cross[0].setValue((left + right) / 2)
        self._cross[1].setValue((top + bottom) / 2)

    def recolour(self, theme: Theme) -> None:
        """A line in the accent colour with one of the background's outside of it: seen on any colour of the map."""
        self._halo.setPen(pg.mkPen(theme.background, width=4))
        self._outline.setPen(pg.mkPen(theme.accent, width=2))
        for line in self._cross:
            line.setPen(pg.mkPen(faded(theme.accent, 0.55)))


class Rings:
    """A ring around each of the few cells that alone reach into the upper half of the colours: they may be one pixel small."""

    def __init__(self, view: pg.ViewBox) -> None:
        self._rings = pg.ScatterPlotItem(size=13, pxMode=True, symbol="o")
        self._rings.setZValue(6)
        view.addItem(self._rings, ignoreBounds=True)
        self.places: list[tuple[float, float]] = []
        """The middles of those cells, as columns and rows."""

    def show(self, grid: Grid | None, tones: Tones) -> None:
        """Finds them in `grid`; None shows none."""
        self.places = []
        if grid is not None and not tones.above and not tones.logarithmic and grid.values.size > MOST_RINGS**2:
            high = np.abs(grid.values) > tones.high / 2
            if np.count_nonzero(high) <= MOST_RINGS:
                cells = [grid.cell(row, column) for row, column in np.argwhere(high).tolist()]
                self.places = [(sum(cell.columns) / 2, sum(cell.rows) / 2) for cell in cells]
        self._rings.setData([x for x, _ in self.places], [y for _, y in self.places])

    def recolour(self, theme: Theme) -> None:
        self._rings.setPen(pg.mkPen(theme.accent, width=1.5))
        self._rings.setBrush(None)


class GroupLines:
    """The borders of column groups, where a weight is large enough for them to be seen between."""

    def __init__(self, view: pg.ViewBox) -> None:
        self._view = view
        self._lines = pg.PlotCurveItem(connect="pairs")
        self._lines.setZValue(5)
        view.addItem(self._lines, ignoreBounds=True)
        self.columns: list[int] = []
        """Those drawn."""

    def fit(self, group: int | None, shape: tuple[int, int]) -> None:
        """Draws the borders of groups of `group` columns of a matrix that are in sight; None draws nothing."""
        (left, right), _ = self._view.viewRange()
        self.columns = []
        if group and self._view.width() >= ROOM * (right - left):
            first = max(1, int(np.ceil(left / group)))
            self.columns = list(range(first * group, min(int(right) + 1, shape[1]), group))
        ends = np.tile(np.array([0.0, float(shape[0])]), len(self.columns))
        self._lines.setData(np.repeat(np.array(self.columns, np.float64), 2), ends)

    def recolour(self, theme: Theme) -> None:
        self._lines.setPen(pg.mkPen(theme.text, width=1))
