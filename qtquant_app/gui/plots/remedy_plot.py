"""What each remedy costs and gains: bytes across, decibels up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QMouseEvent

from qtquant_app.core.quantities import bytes_text, decibels
from qtquant_app.gui.models.remedy_table import Numbered
from qtquant_app.gui.plots.base import Plot

POINT, MARKED = 7, 12
NEAR = 14
"""Pixels from a point that still count as on it."""
_ANCHORS = ((-0.1, 0.9), (1.1, 0.9), (-0.1, 0.1), (1.1, 0.1), (0.5, 1.2), (0.5, -0.2))
"""Where a number may stand beside its point, in widths and heights of its own."""
UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


class RemedyPlot(Plot):
    """A numbered point for each remedy; a line joins those that nothing else beats. A click or the arrow keys choose one."""

    chosen = Signal(int)
    """The number of a remedy."""

    def __init__(self) -> None:
        super().__init__("remedyPlot", "Remedies, bytes against decibels")
        self._rows: tuple[Numbered, ...] = ()
        self._unit = 1.0
        self._marked: int | None = None
        self._front = pg.PlotCurveItem()
        self._points = pg.ScatterPlotItem(pxMode=True)
        self._numbers: list[pg.TextItem] = []
        self.axis("left", "SQNR, dB")
        self.setMouseEnabled(x=False, y=False)
        for item in (self._front, self._points):
            self.addItem(item, ignoreBounds=True)
        self.view.sigTransformChanged.connect(self._part_labels)
        self.recolour()

    @property
    def marked(self) -> int | None:
        """The number of the remedy that stands out."""
        return self._marked

    @property
    def points(self) -> dict[int, tuple[float, float]]:
        """Bytes and dB of each point, by the remedy's number. What loses nothing has no place on the scale."""
        finite = [row for row in self._rows if np.isfinite(row.remedy.errors.sqnr_db)]
        return {row.number: (float(row.remedy.bytes), row.remedy.errors.sqnr_db) for row in finite}

    def draw(self, rows: Sequence[Numbered]) -> None:
        """Shows `rows`; the first is where things stand."""
        self._rows = tuple(rows)
        sizes = [size for size, _ in self.points.values()]
        self._unit, word = next((u for u in UNITS if max(sizes, default=0.0) >= u[0]), UNITS[-1])
        self.axis("bottom", f"size, {word}")
        self._label()
        self._paint()
        self.show_all()
        self._part_labels()
        self.setAccessibleDescription(
            "; ".join(f"{r.title}: {bytes_text(r.remedy.bytes)}, {decibels(r.remedy.errors.sqnr_db)}" for r in rows)
        )

    def mark(self, number: int | None) -> None:
        """Makes the point of a remedy stand out; None lets all be alike."""
        self._marked = number
        self._paint()

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
        titles = ("number", "remedy", "scheme", "bytes", "SQNR (dB)")
        points = self.points
        rows = [(row.number, row.remedy.title, row.remedy.label, *points.get(row.number, ())) for row in self._rows]
        return titles, rows

    def show_all(self) -> None:
        places = [(size / self._unit, db) for size, db in self.points.values()] or [(0.0, 0.0), (1.0, 1.0)]
        (left, low), (right, high) = np.min(places, axis=0), np.max(places, axis=0)
        wide, tall = (right - left) or abs(left) or 1.0, (high - low) or 1.0
        self.setRange(
            xRange=(left - 0.1 * wide, right + 0.16 * wide), yRange=(low - 0.34 * tall, high + 0.34 * tall), padding=0
        )

    def recolour(self) -> None:
        super().recolour()
        self._front.setPen(pg.mkPen(self.theme.faint, width=1, style=Qt.PenStyle.DashLine))
        for number in self._numbers:
            number.setColor(self.theme.text)
        self._paint()

    def step(self, key: Qt.Key) -> None:
        by_size = [number for number, _ in sorted(self.points.items(), key=lambda item: item[1])]
        if not by_size:
            return
        at = by_size.index(self._marked) if self._marked in by_size else -1
        by = 1 if key in (Qt.Key.Key_Right, Qt.Key.Key_Up) else -1
        self.chosen.emit(by_size[min(max(at + by, 0), len(by_size) - 1)])

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        number = self._near(self.mapToScene(event.position().toPoint()))
        if event.button() == Qt.MouseButton.LeftButton and number is not None:
            self.chosen.emit(number)

    def on_screen(self, number: int) -> QPointF:
        """Where the point of a remedy lies in the scene."""
        size, db = self.points[number]
        place: QPointF = self.view.mapViewToScene(QPointF(size / self._unit, db))
        return place

    def _near(self, place: QPointF) -> int | None:
        far = {number: (self.on_screen(number) - place).manhattanLength() for number in self.points}
        nearest = min(far, key=lambda number: far[number], default=None)
        return nearest if nearest is not None and far[nearest] <= NEAR else None

    def _label(self) -> None:
        for item in self._numbers:
            self.removeItem(item)
        self._numbers = []
        for number, (size, db) in self.points.items():
            item = pg.TextItem(str(number), color=self.theme.text)
            item.setPos(size / self._unit, db)
            self.addItem(item, ignoreBounds=True)
            self._numbers.append(item)

    def _part_labels(self) -> None:
        """Puts each number on that side of its point where it covers no other number and no point, if there is one."""
        places = [self.on_screen(number) for number in self.points]
        taken = [QRectF(place.x() - POINT / 2, place.y() - POINT / 2, POINT, POINT) for place in places]
        for item, place in zip(self._numbers, places, strict=True):
            size = item.boundingRect().size() * 0.8
            spots = [
                QRectF(place.x() - x * size.width(), place.y() - y * size.height(), size.width(), size.height())
                for x, y in _ANCHORS
            ]
            free = next((i for i, spot in enumerate(spots) if not any(spot.intersects(other) for other in taken)), 0)
            item.setAnchor(_ANCHORS[free])
            taken.append(spots[free])

    def _paint(self) -> None:
        points, theme = self.points, self.theme
        spots = [
            {
                "pos": (size / self._unit, db),
                "size": MARKED if number == self._marked else POINT,
                "symbol": "d" if number == 0 else "o",
                "brush": pg.mkBrush(theme.accent if number == self._marked else theme.bars),
                "pen": pg.mkPen(theme.text, width=1),
            }
            for number, (size, db) in points.items()
        ]
        self._points.setData(spots)
        best = front(points.values())
        self._front.setData([size / self._unit for size, _ in best], [db for _, db in best])


def front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Those of (bytes, dB) that no other beats in both, from the smallest."""
    found: list[tuple[float, float]] = []
    for size, db in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or db > found[-1][1]:
            found.append((size, db))
    return found
