"""Where in a weight matrix the error sits: channels down, columns across, one value of each cell as its colour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QApplication

from qtquant_app.core.view import Place
from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.index_axis import IndexAxis
from qtquant_app.gui.plots.map_cells import cell_rows, neighbour
from qtquant_app.gui.plots.map_grid import Cell, Grid, Orders, Span
from qtquant_app.gui.plots.map_layers import Levels, MapLayers
from qtquant_app.gui.plots.map_marks import Cursor, GroupLines, Rings
from qtquant_app.gui.plots.tones import Scaling, Tones

NEAR = 64
"""Rows and columns around a place that is shown, at least."""
LEAST = 4
"""Rows and columns in sight at the deepest zoom."""


class ErrorMap(Plot):
    """The map as an image. Pointing at a cell moves the cursor; a click or the arrow keys pin it, Escape lets it go.

    It stands alone: `draw` any grid, `set_levels` where several maps share their colours, and link ranges with
    `setXLink` and `setYLink`. A finer grid of a part may be laid over the first one with `draw_part`.
    """

    cursor_changed = Signal(object)
    """Cell | None"""
    pinned_changed = Signal(object)
    """Place | None: by a click or a key, not by `show_place`."""
    tones_changed = Signal(object)
    """Tones"""
    range_changed = Signal(float, float, float, float)
    """The visible columns and rows: left, right, top, bottom."""

    def __init__(self, name: str = "errorMap", spoken: str = "Error map, channels by columns") -> None:
        super().__init__(name, spoken, {side: IndexAxis(side) for side in ("left", "bottom")})
        self._layers = MapLayers(self.view)
        self._orders = Orders()
        self._group: int | None = None
        self._cursor: Cell | None = None
        self._pinned: Place | None = None
        self._pressed = QPointF()
        self._lines, self._rings = GroupLines(self.view), Rings(self.view)
        self._marks = Cursor(self.view)
        self.view.invertY(True)
        self.view.sigRangeChanged.connect(self._moved)
        self.scene().sigMouseMoved.connect(self._hover)
        self.recolour()

    @property
    def grid(self) -> Grid | None:
        """The whole map."""
        return self._layers.whole

    @property
    def part(self) -> Grid | None:
        """The finer grid over a part of it."""
        return self._layers.part

    @property
    def tones(self) -> Tones:
        """Which colour a value has."""
        return self._layers.tones

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the matrix."""
        return (self.grid.rows, self.grid.columns) if self.grid else (1, 1)

    @property
    def cursor_cell(self) -> Cell | None:
        """What is being read out."""
        return self._cursor

    @property
    def place(self) -> Place | None:
        """What is being read out, in rows and columns of the matrix."""
        return self._orders.place(self._cursor, self.shape) if self._cursor else None

    @property
    def pinned(self) -> Place | None:
        """What the cursor returns to."""
        return self._pinned

    @property
    def orders(self) -> Orders:
        return self._orders

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The visible columns and rows: left, right, top, bottom."""
        (left, right), (top, bottom) = self.view.viewRange()
        return left, right, top, bottom

    @property
    def pixels(self) -> tuple[float, float]:
        """Of the screen, down and across."""
        ratio = self.devicePixelRatioF()
        return max(1.0, self.view.height() * ratio), max(1.0, self.view.width() * ratio)

    def draw(
        self,
        grid: Grid,
        signed: bool = False,
        levels: Levels | None = None,
        orders: Orders | None = None,
        group: int | None = None,
    ) -> None:
        """Shows `grid` in place of all there was; the zoom stays while the matrix keeps its shape and order.

        `signed` values lie on both sides of zero; `levels` are the values of the first and last colour, found where None;
        `orders` say which row and column stands where; `group` is the number of columns between two lines.
        """
        before, kept = self.grid, self._orders.alike(orders or Orders())
        self._orders, self._group = orders or Orders(), group
        self._layers.set_whole(grid, signed, levels)
        if before is None or (before.rows, before.columns) != (grid.rows, grid.columns):
            self._take_shape(grid)
        elif not kept:
            self.show_all()
        self._retone()
        self._point_at_pinned()
        self._lines.fit(self._group, self.shape)

    def draw_part(self, grid: Grid | None) -> None:
        """Lays the finer `grid` of a part over the map; None takes it away."""
        if grid is not None or self.part is not None:
            self._layers.set_part(grid)
            self._retone()
            self._point_at_pinned()

    def set_scaling(self, scaling: Scaling) -> None:
        """Spreads the colours otherwise over the values."""
        self._layers.scaling = scaling
        self._retone()

    def set_levels(self, low: float, high: float) -> None:
        """Fixes the values of the first and the last colour, as for maps that are compared; signed ones are made even."""
        self._layers.levels = (low, high)
        self._retone()

    def show_all(self) -> None:
        if self.grid is not None:
            self.setRange(QRectF(0, 0, self.grid.columns, self.grid.rows), padding=0)

    def show_place(self, place: Place | None) -> None:
        """Pins `place` and brings it to the middle, near enough to be seen; None lets the cursor go.

        What is pinned already moves nothing while any of it is in sight.
        """
        known, self._pinned = place == self._pinned, place
        if place is not None and self.grid is not None:
            rows, columns = self._orders.spans(place, self.shape)
            if known and self._in_sight(rows, columns):
                return
            self.setRange(yRange=_around(rows, self.shape[0]), xRange=_around(columns, self.shape[1]), padding=0)
        self._point_at_pinned()

    def point(self, cell: Cell | None) -> None:
        """Moves the cursor to `cell`; None takes it away."""
        self._marks.show(cell)
        if cell != self._cursor:
            self._cursor = cell
            self.cursor_changed.emit(cell)

    def point_at(self, place: Place | None) -> None:
        """Moves the cursor over `place`, as long as nothing else is pointed at; None returns it to what is pinned."""
        if place is None:
            self._point_at_pinned()
        elif self.grid is not None:
            self.point(self._cell_of(place))

    def pin(self, place: Place | None) -> None:
        """Keeps the cursor at `place`; None lets it go."""
        changed, self._pinned = place != self._pinned, place
        self._point_at_pinned()
        if changed:
            self.pinned_changed.emit(place)

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """Titles, and a row for each cell of the finest grid shown: its channels and columns in the matrix, and its value."""
        titles = ("first channel", "last channel", "first column", "last column", "value")
        grid = self.part or self.grid
        return (titles, cell_rows(grid, self._orders)) if grid else None

    def recolour(self) -> None:
        super().recolour()
        self._marks.recolour(self.theme)
        self._lines.recolour(self.theme)
        self._rings.recolour(self.theme)
        self._layers.paint(self.theme)

    def step(self, key: Qt.Key) -> None:
        if self.grid is None:
            return
        down = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}.get(key, 0)
        across = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(key, 0)
        left, _, top, _ = self.visible
        x, y = neighbour(self._cursor, (down, across), self.shape) if self._cursor else (max(0.0, left), max(0.0, top))
        cell = self._layers.cell_at(x, y)
        if cell is not None:
            self.pin(self._orders.place(cell, self.shape))
            self._bring_into_sight(cell)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._pinned is not None:
            self.pin(None)
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self._pressed = event.position()
        super().mousePressEvent(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        moved = (event.position() - self._pressed).manhattanLength() >= QApplication.startDragDistance()
        if event.button() == Qt.MouseButton.LeftButton and not moved:
            self._hover(self.mapToScene(event.position().toPoint()))  # a touch comes without any hovering before it
            self.pin(self.place)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._point_at_pinned()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.__dict__.get("_marks") is not None:
            self._moved()

    def _take_shape(self, grid: Grid) -> None:
        self.setLimits(xMin=0, xMax=grid.columns, yMin=0, yMax=grid.rows)
        self.setLimits(minXRange=min(LEAST, grid.columns), minYRange=min(LEAST, grid.rows))
        self.show_all()
        self.pin(None)

    def _retone(self) -> None:
        self._layers.retone()
        self._fit_cells()
        self._layers.paint(self.theme)
        self._rings.show(self.grid if self.part is None else None, self.tones)
        self.tones_changed.emit(self.tones)

    def _fit_cells(self) -> bool:
        (height, width), (left, right, top, bottom) = self.pixels, self.visible
        return self._layers.fit((bottom - top) / height, (right - left) / width)

    def _moved(self) -> None:
        if self._fit_cells():
            self._layers.paint(self.theme)
        self._lines.fit(self._group, self.shape)
        self.range_changed.emit(*self.visible)

    def _hover(self, position: QPointF) -> None:
        if self.grid is None or not self.view.sceneBoundingRect().contains(position):
            return
        place = self.view.mapSceneToView(position)
        self.point(self._layers.cell_at(place.x(), place.y()))

    def _cell_of(self, place: Place) -> Cell | None:
        return self._layers.cell_of(*self._orders.spans(place, self.shape))

    def _in_sight(self, rows: Span, columns: Span) -> bool:
        left, right, top, bottom = self.visible
        return rows[0] < bottom and top < rows[1] and columns[0] < right and left < columns[1]

    def _point_at_pinned(self) -> None:
        self.point(self._cell_of(self._pinned) if self._pinned is not None else None)

    def _bring_into_sight(self, cell: Cell) -> None:
        left, right, top, bottom = self.visible
        dx = min(0.0, cell.columns[0] - left) or max(0.0, min(cell.columns[1] - right, cell.columns[0] - left))
        dy = min(0.0, cell.rows[0] - top) or max(0.0, min(cell.rows[1] - bottom, cell.rows[0] - top))
        if dx or dy:
            self.view.translateBy(x=dx, y=dy)


def _around(span: tuple[int, int], length: int) -> tuple[float, float]:
    """The stretch to show of a side, for `span` to be seen in its middle."""
    wanted = min(length, max(NEAR, 4 * (span[1] - span[0])))
    start = min(max(0.0, (span[0] + span[1] - wanted) / 2), float(length - wanted))
    return start, start + wanted
