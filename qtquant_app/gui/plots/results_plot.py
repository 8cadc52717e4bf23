"""The size of results against how far they are from their original, and those that none other beats."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import log10

import pyqtgraph as pg
from PySide6.QtCore import QEvent, QPointF, Qt, Signal
from PySide6.QtGui import QMouseEvent, QPalette, QResizeEvent

from qtquant_app.core.quantities import bytes_text, figure
from qtquant_app.core.results import ResultRow
from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.error_axis import ErrorAxis
from qtquant_app.gui.plots.point_names import part
from qtquant_app.gui.plots.remedy_plot import UNITS
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.text import Text, cell_text

NEAR = 12
"""Pixels from a point that still count as on it."""
_LONGEST = 28
_EMPTY = "What has been evaluated shows here: bytes against KL divergence."
_KL = "KL divergence, nats"


class ResultsPlot(Plot):
    """Results with a KL divergence. A click or the arrow keys choose one."""

    chosen = Signal(str)
    """The path of a result."""
    pointed = Signal(str)
    """What is under the pointer, in words; empty where nothing is."""

    def __init__(self) -> None:
        super().__init__("resultsPlot", "KL divergence of results against their size", {"left": ErrorAxis("left")})
        self.axis("left", _KL)
        self._rows: tuple[ResultRow, ...] = ()
        self._unit, self._word = UNITS[-1]
        self._least = 1.0
        self._marked = ""
        self._names: list[pg.TextItem] = []
        self._lines = pg.PlotCurveItem(connect="finite")
        self._dots, self._ring = pg.ScatterPlotItem(pxMode=True), pg.ScatterPlotItem(pxMode=True)
        self.setMouseEnabled(x=False, y=False)
        for item, depth in ((self._lines, 1), (self._dots, 2), (self._ring, 4)):
            item.setZValue(depth)
            self.addItem(item, ignoreBounds=True)
        self._empty = Text(_EMPTY, muted=True, wrap=True)
        self._empty.setParent(self.viewport())
        self._empty.setForegroundRole(QPalette.ColorRole.WindowText)
        self._empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.scene().sigMouseMoved.connect(self._hover)
        self.view.sigTransformChanged.connect(self._part)
        self.recolour()
        self.draw(())

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """What is drawn, the smallest first."""
        return self._rows

    def draw(self, rows: Iterable[ResultRow]) -> None:
        """Shows those of `rows` that have a divergence."""
        self._rows = tuple(row for row in rows if row.kl is not None)
        known = [row.kl for row in self._rows if row.kl is not None and row.kl > 0]
        self._least = min(known, default=1.0)
        largest = max((row.bytes for row in self._rows), default=1)
        self._unit, self._word = next((unit for unit in UNITS if largest >= unit[0]), UNITS[-1])
        self.axis("bottom", f"size, {self._word}")
        self._empty.setVisible(not self._rows)
        self._name()
        self._paint()
        self.show_all()
        self._part()
        self.setAccessibleDescription("; ".join(map(told, self._rows)) or _EMPTY)

    def mark(self, path: str) -> None:
        """Makes the point of a result stand out; an empty path lets all be alike."""
        self._marked = path
        self._paint_ring()

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """A row for each point."""
        if not self._rows:
            return None
        rows = [
            (row.name, row.format, row.scheme, row.bytes, row.kl, "yes" if row.best else "no") for row in self._rows
        ]
        return ("name", "format", "scheme", "size (bytes)", f"{_KL}", "on the front"), rows

    def show_all(self) -> None:
        if not self._rows:
            self.setRange(xRange=(0, 1), yRange=(-1, 1), padding=0)
            return
        places = [self._place(row) for row in self._rows]
        (left, right), (low, high) = ((min(side), max(side)) for side in zip(*places, strict=True))
        wide, tall = right - left or right or 1.0, high - low or 0.5
        self.setRange(
            xRange=(left - 0.08 * wide, right + 0.14 * wide), yRange=(low - 0.16 * tall, high + 0.2 * tall), padding=0
        )

    def recolour(self) -> None:
        super().recolour()
        if self.__dict__.get("_ring") is None:
            return
        self._lines.setPen(pg.mkPen(self.theme.faint, width=1.4, style=Qt.PenStyle.DashLine))
        for name in self._names:
            name.setColor(self.theme.text)
        self._paint()

    def step(self, key: Qt.Key) -> None:
        """From point to point by size."""
        if self._rows:
            at = next((at for at, row in enumerate(self._rows) if row.path == self._marked), -1)
            by = 1 if key in (Qt.Key.Key_Right, Qt.Key.Key_Up) else -1
            self._choose(self._rows[min(max(at + by, 0), len(self._rows) - 1)])

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        row = self._near(self.mapToScene(event.position().toPoint()))
        if event.button() == Qt.MouseButton.LeftButton and row is not None:
            self._choose(row)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.pointed.emit("")

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.__dict__.get("_empty") is not None:
            self._empty.setGeometry(self.viewport().rect().adjusted(16 * GRID, 0, -4 * GRID, -8 * GRID))

    def on_screen(self, row: ResultRow) -> QPointF:
        """Where a result lies in the scene."""
        place: QPointF = self.view.mapViewToScene(QPointF(*self._place(row)))
        return place

    def _choose(self, row: ResultRow) -> None:
        self.mark(row.path)
        self.chosen.emit(row.path)
        self.pointed.emit(told(row))

    def _hover(self, position: QPointF) -> None:
        row = self._near(position)
        self.pointed.emit("" if row is None else told(row))

    def _near(self, position: QPointF) -> ResultRow | None:
        away = [(self.on_screen(row) - position).manhattanLength() for row in self._rows]
        nearest = min(range(len(away)), key=away.__getitem__, default=None)
        return self._rows[nearest] if nearest is not None and away[nearest] <= NEAR else None

    def _place(self, row: ResultRow) -> tuple[float, float]:
        """A divergence of nothing has no logarithm, nor has one that rounding made negative: they lie below all others."""
        known = row.kl if row.kl is not None and row.kl > 0 else self._least / 10
        return row.bytes / self._unit, log10(known)

    def _name(self) -> None:
        for item in self._names:
            self.removeItem(item)
        self._names = []
        for row in self._rows:
            name = cell_text(row.name)
            item = pg.TextItem(name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}\N{HORIZONTAL ELLIPSIS}")
            item.setColor(self.theme.text)
            item.setZValue(3)
            item.setPos(*self._place(row))
            self.addItem(item, ignoreBounds=True)
            self._names.append(item)

    def _part(self) -> None:
        if self._names:
            part(self._names, [self.on_screen(row) for row in self._rows], [], self.view.sceneBoundingRect())

    def _paint(self) -> None:
        self._dots.setData([self._spot(row) for row in self._rows])
        xs: list[float] = []
        ys: list[float] = []
        for front in fronts(self._rows):
            xs += [*(self._place(row)[0] for row in front), float("nan")]
            ys += [*(self._place(row)[1] for row in front), float("nan")]
        self._lines.setData(xs, ys)
        self._paint_ring()

    def _spot(self, row: ResultRow) -> dict[str, object]:
        """Full diamonds lie on the front, hollow squares do not."""
        return {
            "pos": self._place(row),
            "size": 12 if row.best else 9,
            "symbol": "d" if row.best else "s",
            "brush": pg.mkBrush(self.theme.accent if row.best else self.theme.background),
            "pen": pg.mkPen(self.theme.text, width=1.2),
        }

    def _paint_ring(self) -> None:
        marked = [self._place(row) for row in self._rows if row.path == self._marked]
        pen = pg.mkPen(self.theme.accent, width=2)
        self._ring.setData([x for x, _ in marked], [y for _, y in marked], size=18, symbol="o", brush=None, pen=pen)


def fronts(rows: Iterable[ResultRow]) -> list[list[ResultRow]]:
    """The best of those that can be held against each other: of one original, judged on the same samples."""
    found: dict[object, list[ResultRow]] = {}
    for row in rows:
        if row.best and row.evaluation is not None:
            found.setdefault((row.base, row.evaluation.text, row.evaluation.tokens), []).append(row)
    return list(found.values())


def told(row: ResultRow) -> str:
    """A result in words."""
    place = ", on the front" if row.best else ""
    divergence = f"KL {figure(row.kl)}" if row.kl is not None else "not evaluated"
    return f"{row.name}: {bytes_text(row.bytes)}, {row.bits_per_weight:.2f} bits a weight, {divergence}{place}"
