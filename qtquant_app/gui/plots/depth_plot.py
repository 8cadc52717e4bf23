"""A figure of the weights against depth, a line for each kind of module."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QKeyEvent, QMouseEvent, QPen, QPolygonF, QResizeEvent
from PySide6.QtWidgets import QApplication, QGraphicsPolygonItem

from qtquant_app.gui.models.depth_lines import Line
from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.colors import faded
from qtquant_app.gui.plots.index_axis import IndexAxis
from qtquant_app.gui.plots.line_styles import line_style

REACH = 16.0
"""Pixels within which a point is taken for the one meant."""
SYMBOLS_A_LINE = 8
"""More would hide the lines that they tell apart."""
SYMBOLS_FORWARD = 100
LOW = 150
"""Pixels below which the axis goes without its title: the plot needs them."""
Spot = tuple[int, int]
"""(line, point on it)."""


class DepthPlot(Plot):
    """Pointing at a line or the arrow keys read a point out; a click or Enter chooses its tensor."""

    pointed = Signal(object)
    """Spot | None."""
    chosen = Signal(object)
    """The number of a tensor."""

    def __init__(self) -> None:
        super().__init__(
            "depthPlot", "Weights against depth, a line for each kind of module", {"bottom": IndexAxis("bottom")}
        )
        self.axis("left")
        self.axis("bottom", "block")
        self._lines: tuple[Line, ...] = ()
        self._hidden: frozenset[str] = frozenset()
        self._cursor: Spot | None = None
        self._selected = -1
        self._pressed = QPoint()
        self._curves: list[pg.PlotCurveItem] = []
        self._back, self._front = pg.ScatterPlotItem(), pg.ScatterPlotItem()
        """The symbols of the lines that stand back, and of the one that stands forward."""
        self._states: dict[int, tuple[bool, bool]] = {}
        """How each curve is drawn: forward, and whether none is."""
        self._band = QGraphicsPolygonItem()
        self._band.setPen(Qt.PenStyle.NoPen)
        self._mark, self._ring = pg.ScatterPlotItem(size=14, symbol="o"), pg.ScatterPlotItem(size=11, symbol="s")
        for item, depth in ((self._band, 0), (self._back, 2), (self._front, 4), (self._mark, 5), (self._ring, 5)):
            item.setZValue(depth)
            self.addItem(item, ignoreBounds=True)
        self.scene().sigMouseMoved.connect(self._hover)
        self.recolour()

    @property
    def lines(self) -> tuple[Line, ...]:
        return self._lines

    @property
    def cursor_point(self) -> Spot | None:
        """The point being read out."""
        return self._cursor

    def draw(self, lines: tuple[Line, ...], title: str, selected: int = -1) -> None:
        """Shows `lines`, whose values are `title`, and marks the point of the tensor `selected`."""
        self._lines, self._cursor, self._selected = lines, None, selected
        self.plot.getAxis("left").setLabel(title)
        self._draw_lines()
        self.show_all()
        self.pointed.emit(self._selected_point)

    def hide_kinds(self, kinds: Iterable[str]) -> None:
        """Leaves the lines of `kinds` out."""
        self._hidden = frozenset(kinds)
        self._cursor = None
        self._draw_lines()
        self.show_all()

    def select(self, tensor: int) -> None:
        """Marks the point of a tensor; -1 marks none."""
        if tensor == self._selected:
            return
        self._selected = tensor
        self._restyle()
        self.pointed.emit(self._cursor or self._selected_point)

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """Titles, and a row for each point of the lines that show."""
        rows = (
            (line.kind, int(block), float(low), float(high))
            for _, line in self._shown()
            for block, low, high in zip(line.depth, line.low, line.high, strict=True)
        )
        return (("kind", "block", "smallest", "largest"), rows) if self._lines else None

    def show_all(self) -> None:
        shown = [line for _, line in self._shown()]
        if not shown:
            return
        low, high = min(float(line.low.min()) for line in shown), max(float(line.high.max()) for line in shown)
        margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
        end = max(int(line.depth.max()) for line in shown) + 1
        self.setLimits(xMin=0, xMax=end, yMin=low - margin, yMax=high + margin)
        self.setRange(xRange=(0, end), yRange=(low - margin, high + margin), padding=0)

    def point(self, spot: Spot | None) -> None:
        """Moves the cursor; None takes it away."""
        if spot != self._cursor:
            self._cursor = spot
            self._restyle()
            self.pointed.emit(spot or self._selected_point)

    def recolour(self) -> None:
        super().recolour()
        if self.__dict__.get("_ring") is None:
            return
        self._mark.setPen(pg.mkPen(self.theme.text, width=2))
        self._ring.setPen(pg.mkPen(self.theme.accent, width=2.5))
        for mark in (self._mark, self._ring):
            mark.setBrush(None)
        self._draw_lines()

    @property
    def _selected_point(self) -> Spot | None:
        for at, line in self._shown():
            found = np.flatnonzero(line.tensor == self._selected)
            if found.size:
                return at, int(found[0])
        return None

    def _shown(self) -> list[tuple[int, Line]]:
        return [(at, line) for at, line in enumerate(self._lines) if line.kind not in self._hidden]

    def _draw_lines(self) -> None:
        shown = [line for _, line in self._shown()]
        self._keep_curves(len(shown))
        self._states = {}
        for curve, line in zip(self._curves, shown, strict=True):
            x, gap = line.depth + 0.5, np.array([np.nan])
            there, back = (x, line.high), (np.concatenate([gap, x]), np.concatenate([gap, line.low]))
            ends = there if line.flat else tuple(np.concatenate(pair) for pair in zip(there, back, strict=True))
            curve.setData(*ends, connect="finite")
        self._restyle()

    def _keep_curves(self, count: int) -> None:
        """So many curves, those that there are among them: making one costs more than drawing another line with it."""
        for curve in self._curves[count:]:
            self.removeItem(curve)
        del self._curves[count:]
        while len(self._curves) < count:
            self._curves.append(pg.PlotCurveItem(connect="finite"))
            self.addItem(self._curves[-1], ignoreBounds=True)

    def _restyle(self) -> None:
        """The line that is read out stands forward, with its band; the others stand back."""
        spot = self._cursor or self._selected_point
        self._band.setVisible(False)
        before, self._states = self._states, {}
        for place, (at, line) in enumerate(self._shown()):
            forward = spot is not None and spot[0] == at
            if forward and not line.flat:
                self._fill(line, faded(line_style(line.row, self.theme.dark).color, 0.18))
            self._states[place] = (forward, spot is None)
            if before.get(place) != self._states[place]:
                style, curve = line_style(line.row, self.theme.dark), self._curves[place]
                curve.setPen(style.pen(2.4 if forward else 1.3, 1.0 if forward or spot is None else 0.6))
                curve.setZValue(3 if forward else 1)
        if before != self._states:
            for symbols, forward in ((self._back, False), (self._front, True)):
                self._draw_symbols(symbols, forward)
        self._place(self._mark, self._cursor)
        self._place(self._ring, self._selected_point)

    def _draw_symbols(self, symbols: pg.ScatterPlotItem, forward: bool) -> None:
        """The symbols of all lines that stand forward, or back, in one item: each item costs a millisecond to paint."""
        wanted = SYMBOLS_FORWARD if forward else SYMBOLS_A_LINE
        places: list[NDArray[np.float64]] = [np.empty((0, 2))]
        looks: list[tuple[str, QPen, QBrush]] = []
        for place, (_, line) in enumerate(self._shown()):
            if self._states[place][0] != forward:
                continue
            some = slice(place % (step := max(1, -(-len(line.depth) // wanted))), None, step)
            ends = (line.high[some],) if line.flat else (line.high[some], line.low[some])
            places += [np.column_stack([line.depth[some] + 0.5, end]) for end in ends]
            looks += [_look(line.row, self.theme.dark)] * sum(map(len, ends))
        kinds, pens, brushes = zip(*looks, strict=True) if looks else ((), (), ())
        symbols.setData(
            pos=np.concatenate(places),
            symbol=list(kinds),
            pen=list(pens),
            brush=list(brushes),
            size=7 if forward else 6,
        )

    def _fill(self, line: Line, shade: QColor) -> None:
        """Lays the band between a line's smallest and largest values."""
        there = [QPointF(block + 0.5, value) for block, value in zip(line.depth, line.high, strict=True)]
        back = [QPointF(block + 0.5, value) for block, value in zip(line.depth, line.low, strict=True)][::-1]
        self._band.setPolygon(QPolygonF([*there, *back]))
        self._band.setBrush(shade)
        self._band.setVisible(True)

    def _place(self, mark: pg.ScatterPlotItem, spot: Spot | None) -> None:
        if spot is None:
            mark.setData([], [])
        else:
            line = self._lines[spot[0]]
            mark.setData([line.depth[spot[1]] + 0.5], [line.high[spot[1]]])

    def step(self, key: Qt.Key) -> None:
        """Left and right go along the line, up and down to the next line at that block."""
        start = self._cursor or self._selected_point
        if start is None:
            start = next(((at, 0) for at, _ in self._shown()), None)
            self.point(start)
            return
        at, place = start
        if key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            place += 1 if key == Qt.Key.Key_Right else -1
            self.point((at, min(max(place, 0), len(self._lines[at].depth) - 1)))
        else:
            self.point(self._beside(start, key == Qt.Key.Key_Up))

    def _beside(self, start: Spot, up: bool) -> Spot:
        """The next higher or lower point at the same block."""
        line = self._lines[start[0]]
        block, value = line.depth[start[1]], line.high[start[1]]
        found = []
        for at, other in self._shown():
            there = np.flatnonzero(other.depth == block)
            if there.size and at != start[0]:
                found.append((float(other.high[there[0]]), at, int(there[0])))
        mine = (float(value), *start)
        beyond = sorted((point for point in found if (point > mine) == up), reverse=not up)
        return beyond[0][1:] if beyond else start

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Return | Qt.Key.Key_Enter if self._cursor is not None:
                self._choose()
            case Qt.Key.Key_Escape if self._cursor is not None:
                self.point(None)
            case _:
                super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._pressed = event.position().toPoint()
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        at = event.position().toPoint()
        moved = (at - self._pressed).manhattanLength() >= QApplication.startDragDistance()
        if event.button() == Qt.MouseButton.LeftButton and not moved:
            self._hover(self.mapToScene(at))  # a touch comes without any hovering before it
            self._choose()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.__dict__.get("plot") is not None:
            self.plot.getAxis("bottom").showLabel(event.size().height() >= LOW)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        if not self.hasFocus():
            self.point(None)

    def _choose(self) -> None:
        if self._cursor is not None:
            line = self._lines[self._cursor[0]]
            self.chosen.emit(int(line.tensor[self._cursor[1]]))

    def _hover(self, position: QPointF) -> None:
        if self.view.sceneBoundingRect().contains(position):
            self.point(self._nearest(position))

    def _nearest(self, position: QPointF) -> Spot | None:
        place = self.view.mapSceneToView(position)
        across, down = self.view.viewPixelSize()
        best: tuple[float, Spot | None] = (REACH**2, None)
        for at, line in self._shown():
            x = (line.depth + 0.5 - place.x()) / (across or 1.0)
            for end in (line.high, line.low):
                away: NDArray[np.float64] = x**2 + ((end - place.y()) / (down or 1.0)) ** 2
                nearest = int(np.argmin(away))
                if away[nearest] < best[0]:
                    best = float(away[nearest]), (at, nearest)
        return best[1]


@lru_cache(maxsize=512)
def _look(row: int, dark: bool) -> tuple[str, QPen, QBrush]:
    """The symbol of a line and how it is drawn."""
    style = line_style(row, dark)
    return style.symbol, pg.mkPen(style.color) if style.symbol in "x+" else pg.mkPen(None), pg.mkBrush(style.color)
