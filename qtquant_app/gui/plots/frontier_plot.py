"""The best error for each size, the uniform schemes beside it, and where the mix and the target lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log10

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent

from qtquant_app.core.budget import Point
from qtquant_app.core.quantities import bytes_text, figure
from qtquant_app.gui.budget_units import axis_title, error_text
from qtquant_app.gui.models.budget_reach import Reach
from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.error_axis import ErrorAxis
from qtquant_app.gui.plots.point_names import part, shortened
from qtquant_app.gui.plots.remedy_plot import UNITS

NEAR = 12
"""Pixels from a point that still count as on it."""
_EMPTY = "nothing is measured yet"


class FrontierPlot(Plot):
    """Dragging or clicking anywhere moves the target; so do the left and right arrow keys. Up and down read a scheme out."""

    aimed = Signal(float)
    """Output bytes that the person dragged the target to."""
    stepped = Signal(int)
    """A step to a smaller (-1) or larger (1) target."""
    pointed = Signal(str)
    """What is under the pointer, in words; empty where nothing is."""

    def __init__(self) -> None:
        super().__init__("frontierPlot", "Predicted error against size", {"left": ErrorAxis("left")})
        self.axis("left", axis_title(False))
        self._reach: Reach | None = None
        self._unit, self._word = UNITS[-1]
        self._target: float | None = None
        self._mix: Point | None = None
        self._cursor: int | None = None
        self._names: list[pg.TextItem] = []
        self._line = pg.PlotCurveItem()
        self._dots = pg.ScatterPlotItem(pxMode=True)
        self._aim = pg.InfiniteLine(angle=90, movable=False)
        self._spot, self._best, self._ring = (pg.ScatterPlotItem(pxMode=True) for _ in range(3))
        self.setMouseEnabled(x=False, y=False)
        self.setCacheMode(self.CacheModeFlag.CacheNone)
        self.viewport().setAutoFillBackground(False)
        for item, depth in (
            (self._aim, 0),
            (self._line, 1),
            (self._dots, 2),
            (self._spot, 4),
            (self._best, 3),
            (self._ring, 5),
        ):
            item.setZValue(depth)
            self.addItem(item, ignoreBounds=True)
        self.scene().sigMouseMoved.connect(self._hover)
        self.view.sigTransformChanged.connect(self._part)
        self.recolour()

    @property
    def target(self) -> float | None:
        """Output bytes that the line stands at."""
        return self._target

    @property
    def mix(self) -> Point | None:
        """The mix that was found for the target."""
        return self._mix

    @property
    def _calibrated(self) -> bool:
        return self._reach is not None and self._reach.calibrated

    @property
    def names(self) -> list[pg.TextItem]:
        """The names of the uniform schemes; those that nothing but another's place was left for are not visible."""
        return self._names

    def draw(self, reach: Reach | None) -> None:
        """Shows what was measured; the mix and the target before it are of another measure. None shows nothing."""
        self._reach, self._mix, self._target, self._cursor = reach, None, None, None
        largest = reach.bytes[1] if reach else 1
        self._unit, self._word = next((unit for unit in UNITS if largest >= unit[0]), UNITS[-1])
        self.axis("bottom", f"output, {self._word}")
        self.axis("left", axis_title(self._calibrated))
        self.getAxis("left").resizeEvent()  # which puts a title of another length in the middle
        self._name_points()
        self._paint()
        self.show_all()
        self._part()
        self._describe()

    def set_target(self, size: float | None) -> None:
        """Moves the line to `size` output bytes, and the point on the frontier with it."""
        if size != self._target:
            self._target = size
            self._paint_target()

    def set_mix(self, mix: Point | None) -> None:
        """Marks the mix that was found: exactly what its plan comes to."""
        self._mix = mix
        self._paint_mix()
        self._describe()

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """A row for each point: what it is, its output bytes and its predicted error."""
        if self._reach is None:
            return None
        rows: list[Sequence[object]] = [("best mix", p.bytes, p.error) for p in self._reach.frontier]
        rows += [(f"{p.label} for all", p.bytes, p.error) for p in self._reach.uniform]
        if self._mix is not None:
            rows.append(("the mix", self._mix.bytes, self._mix.error))
        return ("what", "output (bytes)", axis_title(self._calibrated)), rows

    def show_all(self) -> None:
        if self._reach is None:
            self.setRange(xRange=(0, 1), yRange=(-1, 1), padding=0)
            return
        (left, right), errors = self._reach.bytes, [p.error for p in (*self._reach.frontier, *self._reach.uniform)]
        sizes = [left, right, *(p.bytes for p in self._reach.uniform)]
        heights = [log10(error) for error in errors if error > 0] or [0.0]
        wide = (max(sizes) - min(sizes)) / self._unit or max(sizes) / self._unit
        tall = max(heights) - min(heights) or 0.5
        self.setRange(
            xRange=(min(sizes) / self._unit - 0.04 * wide, max(sizes) / self._unit + 0.06 * wide),
            yRange=(min(heights) - 0.06 * tall, max(heights) + 0.16 * tall),
            padding=0,
        )

    def recolour(self) -> None:
        super().recolour()
        self.setBackground(None)  # it lies on a tab, whose ground is not that of the window
        if self.__dict__.get("_ring") is None:
            return
        self._line.setPen(pg.mkPen(self.theme.text, width=1.6))
        self._aim.setPen(pg.mkPen(self.theme.accent, width=1, style=Qt.PenStyle.DashLine))
        for name in self._names:
            name.setColor(self.theme.text)
        self._paint()

    def step(self, key: Qt.Key) -> None:
        """Left and right move the target, up and down read the uniform schemes out."""
        if key in (Qt.Key.Key_Left, Qt.Key.Key_Right):
            self.stepped.emit(1 if key == Qt.Key.Key_Right else -1)
        elif self._reach is not None and self._reach.uniform:
            last = len(self._reach.uniform) - 1
            at = -1 if self._cursor is None else self._cursor
            self._point(min(max(at + (1 if key == Qt.Key.Key_Up else -1), 0), last))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.setFocus(Qt.FocusReason.MouseFocusReason)
            self._drag(event)
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._drag(event)
        else:
            super().mouseMoveEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            event.accept()
        else:
            super().mouseReleaseEvent(event)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        if not self.hasFocus():
            self._point(None)

    def on_screen(self, point: Point) -> QPointF:
        """Where a point lies in the scene."""
        place: QPointF = self.view.mapViewToScene(QPointF(*self._place(point.bytes, point.error)))
        return place

    def _drag(self, event: QMouseEvent) -> None:
        event.accept()
        if self._reach is not None:
            at = self.view.mapSceneToView(self.mapToScene(event.position().toPoint()))
            low, high = self._reach.bytes
            self.aimed.emit(min(max(at.x() * self._unit, float(low)), float(high)))

    def _hover(self, position: QPointF) -> None:
        if self._reach is None or not self.view.sceneBoundingRect().contains(position):
            return
        away = [(self.on_screen(p) - position).manhattanLength() for p in self._reach.uniform if p.error > 0]
        nearest = min(range(len(away)), key=away.__getitem__, default=None)
        near = nearest is not None and away[nearest] <= NEAR
        self._point(nearest if near else None)
        if not near:
            size = self.view.mapSceneToView(position).x() * self._unit
            low, high = self._reach.bytes
            if low <= size <= high:
                error = error_text(self._reach.error_at(size), self._calibrated)
                self.pointed.emit(f"{bytes_text(round(size))}: the best mix, {error}")

    def _point(self, at: int | None) -> None:
        """Reads a uniform scheme out; None reads nothing out."""
        self._cursor = at
        self._paint_cursor()
        if at is None or self._reach is None:
            self.pointed.emit("")
        else:
            point = self._reach.uniform[at]
            error = error_text(point.error, self._calibrated)
            self.pointed.emit(f"{point.label} for all: {bytes_text(point.bytes)}, {error}")

    def _place(self, size: float, error: float) -> tuple[float, float]:
        least = self._reach.errors[0] if self._reach else 0.0
        return size / self._unit, log10(max(error, least) or 1.0)

    def _name_points(self) -> None:
        for item in self._names:
            self.removeItem(item)
        self._names = []
        points = self._reach.uniform if self._reach else ()
        for point, name in zip(points, shortened([p.label for p in points]), strict=True):
            item = pg.TextItem(name, color=self.theme.text)
            item.setZValue(3)
            item.setPos(*self._place(point.bytes, point.error))
            self.addItem(item, ignoreBounds=True)
            self._names.append(item)

    def _part(self) -> None:
        if self._reach is not None and self._names:
            part(
                self._names,
                [self.on_screen(point) for point in self._reach.uniform],
                self._path(),
                self.view.sceneBoundingRect(),
            )

    def _path(self) -> list[QPointF]:
        return [self.on_screen(point) for point in self._reach.frontier] if self._reach else []

    def _paint(self) -> None:
        points = self._reach.frontier if self._reach else ()
        line = [self._place(p.bytes, p.error) for p in points if p.error > 0]
        self._line.setData([x for x, _ in line], [y for _, y in line])
        dots = [self._place(p.bytes, p.error) for p in (self._reach.uniform if self._reach else ())]
        self._dots.setData(
            [x for x, _ in dots],
            [y for _, y in dots],
            size=8,
            symbol="s",
            brush=pg.mkBrush(self.theme.background),
            pen=pg.mkPen(self.theme.text, width=1.4),
        )
        self._paint_target()
        self._paint_mix()
        self._paint_cursor()

    def _paint_target(self) -> None:
        shown = self._reach is not None and self._target is not None
        self._aim.setVisible(shown)
        if self._reach is None or self._target is None:
            self._spot.setData([], [])
            return
        x, y = self._place(self._target, self._reach.error_at(self._target))
        self._aim.setValue(x)
        pen = pg.mkPen(self.theme.accent, width=2)
        self._spot.setData([x], [y], size=13, symbol="o", brush=None, pen=pen)

    def _paint_mix(self) -> None:
        mix = [self._mix] if self._mix is not None else []
        places = [self._place(point.bytes, point.error) for point in mix]
        self._best.setData(
            [x for x, _ in places],
            [y for _, y in places],
            size=11,
            symbol="d",
            brush=pg.mkBrush(self.theme.accent),
            pen=pg.mkPen(self.theme.background, width=1),
        )

    def _paint_cursor(self) -> None:
        shown = self._reach is not None and self._cursor is not None
        points = [self._reach.uniform[self._cursor]] if shown and self._reach and self._cursor is not None else []
        places = [self._place(point.bytes, point.error) for point in points]
        pen = pg.mkPen(self.theme.accent, width=2)
        self._ring.setData([x for x, _ in places], [y for _, y in places], size=15, symbol="s", brush=None, pen=pen)

    def _describe(self) -> None:
        mix = self._mix
        words = f"the mix: {bytes_text(mix.bytes)}, {error_text(mix.error, self._calibrated)}" if mix else _EMPTY
        uniform = self._reach.uniform if self._reach else ()
        parts = [f"{p.label} for all: {bytes_text(p.bytes)}, {figure(p.error)}" for p in uniform]
        self.setAccessibleDescription("; ".join([words, *parts]))
