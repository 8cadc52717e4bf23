"""Where in a weight matrix the error sits: channels down, columns across, the largest error of each cell as its colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QGraphicsRectItem

from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.colors import faded

Cells = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell of the map: the rows and columns of the weight matrix it covers, and its value."""

    row: int
    column: int
    rows: tuple[int, int]
    """First and one past the last."""
    columns: tuple[int, int]
    value: float


@dataclass(frozen=True, slots=True)
class Grid:
    """A map [R, C] and the matrix behind it: `cell_rows` x `cell_columns` weights a cell, the last ones smaller."""

    values: Cells
    rows: int
    columns: int
    cell_rows: int
    cell_columns: int

    def cell(self, row: int, column: int) -> Cell:
        """The cell at `row`, `column` of the map; the nearest one where there is none."""
        row = min(max(row, 0), self.values.shape[0] - 1)
        column = min(max(column, 0), self.values.shape[1] - 1)
        top, left = row * self.cell_rows, column * self.cell_columns
        rows = (top, min(top + self.cell_rows, self.rows))
        columns = (left, min(left + self.cell_columns, self.columns))
        return Cell(row, column, rows, columns, float(self.values[row, column]))

    def cell_at(self, x: float, y: float) -> Cell | None:
        """The cell that holds column `x`, row `y` of the matrix; None outside of it."""
        if not (0 <= x < self.columns and 0 <= y < self.rows):
            return None
        return self.cell(int(y // self.cell_rows), int(x // self.cell_columns))


def pooled(values: Cells, down: int, across: int) -> Cells:
    """`values` with each block of `down` x `across` cells replaced by its largest."""
    if down > 1:
        values = np.maximum.reduceat(values, np.arange(0, values.shape[0], down), axis=0)
    if across > 1:
        values = np.maximum.reduceat(values, np.arange(0, values.shape[1], across), axis=1)
    return np.ascontiguousarray(values)


class ErrorMap(Plot):
    """The map as an image. Pointing at a cell, or the arrow keys, move the cursor; a click pins it, Escape unpins."""

    cursor_changed = Signal(object)
    """Cell | None"""
    range_changed = Signal(float, float, float, float)
    """The visible columns and rows: left, right, top, bottom."""

    def __init__(self) -> None:
        super().__init__("errorMap", "Error map, channels by columns")
        self._grid: Grid | None = None
        self._cursor: Cell | None = None
        self._pinned: Cell | None = None
        self._pooling = (0, 0)
        self.largest = 1.0
        """The value that the end of the colour map stands for."""
        self._image = pg.ImageItem(axisOrder="row-major")
        self._outline = QGraphicsRectItem()
        self._outline.setZValue(2)
        self._cross = (pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=0))
        self.point(None)
        for item in (self._image, self._outline, *self._cross):
            self.addItem(item, ignoreBounds=True)
        self.view.invertY(True)
        self.view.sigRangeChanged.connect(self._moved)
        self.scene().sigMouseMoved.connect(self._hover)
        self.recolour()

    @property
    def grid(self) -> Grid | None:
        return self._grid

    @property
    def cursor_cell(self) -> Cell | None:
        """The cell being read out."""
        return self._cursor

    @property
    def pinned(self) -> Cell | None:
        """The cell that the cursor returns to."""
        return self._pinned

    @property
    def visible(self) -> tuple[float, float, float, float]:
        """The visible columns and rows: left, right, top, bottom."""
        (left, right), (top, bottom) = self.view.viewRange()
        return left, right, top, bottom

    def draw(self, grid: Grid) -> None:
        """Shows `grid`; the view stays where it is while the matrix keeps its shape."""
        before, self._grid = self._grid, grid
        self.largest = float(grid.values.max(initial=0.0)) or 1.0
        self._pooling = (0, 0)
        if before is None or (before.rows, before.columns) != (grid.rows, grid.columns):
            self.setLimits(xMin=0, xMax=grid.columns, yMin=0, yMax=grid.rows)
            self.setLimits(minXRange=min(4, grid.columns), minYRange=min(4, grid.rows))
            self._pinned = None
            self.show_all()
        self._paint_image()
        pinned = self._pinned
        self._pinned = pinned and grid.cell_at(pinned.columns[0], pinned.rows[0])
        self.point(self._pinned)

    def show_all(self) -> None:
        if self._grid is not None:
            self.setRange(QRectF(0, 0, self._grid.columns, self._grid.rows), padding=0)

    def point(self, cell: Cell | None) -> None:
        """Moves the cursor to `cell`; None takes it away."""
        for item in (self._outline, *self._cross):
            item.setVisible(cell is not None)
        if cell is not None:
            (left, right), (top, bottom) = cell.columns, cell.rows
            self._outline.setRect(QRectF(left, top, right - left, bottom - top))
            self._cross[0].setValue((left + right) / 2)
            self._cross[1].setValue((top + bottom) / 2)
        if cell != self._cursor:
            self._cursor = cell
            self.cursor_changed.emit(cell)

    def point_at(self, x: float | None, y: float | None) -> None:
        """Moves the cursor along one side: to column `x` or row `y`, staying on the other where it was."""
        if self._grid is None:
            return
        old = self._cursor or self._grid.cell(0, 0)
        x = old.columns[0] if x is None else x
        y = old.rows[0] if y is None else y
        self.point(self._grid.cell_at(x, y) or self._pinned)

    def recolour(self) -> None:
        super().recolour()
        self._image.setLookupTable(self.theme.magnitudes)
        self._outline.setPen(pg.mkPen(self.theme.accent, width=2))
        for line in self._cross:
            line.setPen(pg.mkPen(faded(self.theme.accent, 0.55)))

    def step(self, key: Qt.Key) -> None:
        if self._grid is None:
            return
        by = {Qt.Key.Key_Left: (0, -1), Qt.Key.Key_Right: (0, 1), Qt.Key.Key_Up: (-1, 0), Qt.Key.Key_Down: (1, 0)}[key]
        row, column = (self._cursor.row, self._cursor.column) if self._cursor else (-by[0], -by[1])
        self._pinned = self._grid.cell(row + by[0], column + by[1])
        self.point(self._pinned)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape and self._pinned is not None:
            self.unpin()
        else:
            super().keyPressEvent(event)

    def unpin(self) -> None:
        """Lets the cursor go."""
        self._pinned = None
        self.point(None)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        super().mouseReleaseEvent(event)
        if event.button() == Qt.MouseButton.LeftButton:
            self._hover(self.mapToScene(event.position().toPoint()))  # a touch comes without any hovering before it
            self._pinned = self._cursor

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self.point(self._pinned)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.__dict__.get("_grid") is not None:
            self._paint_image()

    def _hover(self, position: QPointF) -> None:
        if self._grid is None or not self.view.sceneBoundingRect().contains(position):
            return
        place = self.view.mapSceneToView(position)
        self.point(self._grid.cell_at(place.x(), place.y()))

    def _moved(self) -> None:
        self._paint_image()
        self.range_changed.emit(*self.visible)

    def _paint_image(self) -> None:
        """Hands the image over at no more cells than pixels: drawn smaller, it would drop cells, and peaks with them."""
        if self._grid is None:
            return
        pooling = self._wanted_pooling(self._grid)
        if pooling == self._pooling:
            return
        self._pooling = pooling
        (down, across), grid = pooling, self._grid
        shown = pooled(grid.values, down, across)
        self._image.setImage(shown, autoLevels=False, levels=(0.0, self.largest))
        height, width = shown.shape[0] * down * grid.cell_rows, shown.shape[1] * across * grid.cell_columns
        self._image.setRect(QRectF(0, 0, width, height))

    def _wanted_pooling(self, grid: Grid) -> tuple[int, int]:
        left, right, top, bottom = self.visible
        ratio = self.devicePixelRatioF()
        pixels_down = max(1.0, self.view.height() * ratio)
        pixels_across = max(1.0, self.view.width() * ratio)
        down = -(-(bottom - top) / grid.cell_rows // pixels_down)
        across = -(-(right - left) / grid.cell_columns // pixels_across)
        return max(1, int(down)), max(1, int(across))
