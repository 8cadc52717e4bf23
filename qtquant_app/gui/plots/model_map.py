"""The whole model in one picture: blocks across, kinds of modules down, each cell coloured by one figure of its tensor."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPoint, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent, QResizeEvent
from PySide6.QtWidgets import QApplication, QGraphicsRectItem

from qtquant_app.gui.models.model_cells import NOBODY, ModelCells
from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.plots.kind_axis import DepthAxis, KindAxis
from qtquant_app.gui.theme import mixed
from qtquant_app.ramps import SHADES

LOW = 220
"""Pixels below which the axis goes without its title: the cells need them."""
Spot = tuple[int, int]
"""(row, column) of a cell; the last column is that of what is outside of blocks."""


class ModelMap(Plot):
    """Pointing at a cell or the arrow keys move the cursor; a click or Enter chooses its tensor, Escape goes back to it."""

    pointed = Signal(object)
    """Spot | None: the cell to read out."""
    chosen = Signal(str)
    """The name of a tensor."""

    def __init__(self) -> None:
        kinds, blocks = KindAxis(), DepthAxis()
        super().__init__("modelMap", "Map of the model, kinds of modules by blocks", {"left": kinds, "bottom": blocks})
        self._kinds, self._blocks = kinds, blocks
        self.axis("left")
        self.axis("bottom", "block")
        self.plot.setContentsMargins(0, 6, 24, 0)  # room for the word under the last column
        self._cells: ModelCells | None = None
        self._cursor: Spot | None = None
        self._selected = ""
        self._pressed = QPoint()
        self._image, self._aside = pg.ImageItem(axisOrder="row-major"), pg.ImageItem(axisOrder="row-major")
        self._odd = pg.ScatterPlotItem(symbol="t1", size=9, pxMode=True)
        self._silent = pg.ScatterPlotItem(symbol="o", size=3, pxMode=True)
        self._outline, self._chosen = _frame(), _frame()
        for item in (self._image, self._aside, self._silent, self._odd, *self._chosen, *self._outline):
            self.addItem(item, ignoreBounds=True)
        self.view.invertY(True)
        self.scene().sigMouseMoved.connect(self._hover)
        self.recolour()
        self._show_frames()

    @property
    def cells(self) -> ModelCells | None:
        return self._cells

    @property
    def cursor_cell(self) -> Spot | None:
        """The cell being read out."""
        return self._cursor

    @property
    def selected_cell(self) -> Spot | None:
        """The cell of the selected tensor."""
        return self._cells.cell_of(self._selected) if self._cells and self._selected else None

    @property
    def odd_cells(self) -> list[Spot]:
        """The cells that carry a mark."""
        return [] if self._cells is None else [(int(r), int(c)) for r, c in np.argwhere(self._cells.flagged)]

    def draw(self, cells: ModelCells | None) -> None:
        """Shows `cells`; the view stays where it is while rows and columns are the same."""
        before, self._cells = self._cells, cells
        if cells is None:
            self._cursor = None
            self._paint()
            self.pointed.emit(None)
            return
        if before is None or before.kinds != cells.kinds or before.depth != cells.depth:
            self._cursor = None
            self._kinds.set_kinds(cells.kinds)
            self._blocks.set_depth(cells.depth, self._aside_left + self._aside_width / 2 if self._has_aside else None)
            self.setLimits(xMin=0, xMax=self._right, yMin=0, yMax=max(1, len(cells.kinds)))
            self.setLimits(minXRange=min(4, self._right), minYRange=min(2, max(1, len(cells.kinds))))
            self.show_all()
        self._paint()
        self.pointed.emit(self._read)

    def select(self, name: str) -> None:
        """Marks the cell of a tensor."""
        if name == self._selected:
            return
        self._selected = name
        self._show_frames()
        self.pointed.emit(self._read)

    def show_all(self) -> None:
        if self._cells is not None:
            self.setRange(QRectF(0, 0, self._right, max(1, len(self._cells.kinds))), padding=0)

    def point(self, spot: Spot | None) -> None:
        """Moves the cursor; None takes it back to the selected tensor."""
        if spot != self._cursor:
            self._cursor = spot
            self._show_frames()
            self.pointed.emit(self._read)

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """Titles, and a row for each cell that a tensor is in."""
        return self._cells.numbers() if self._cells else None

    def rect_of(self, spot: Spot) -> QRectF:
        """Where a cell is drawn."""
        row, column = spot
        if self._cells is not None and column >= self._cells.depth:
            return QRectF(self._aside_left, row, self._aside_width, 1)
        return QRectF(column, row, 1, 1)

    def spot_at(self, x: float, y: float) -> Spot | None:
        """The cell at a place of the plot that a tensor is in; None where there is none."""
        cells = self._cells
        if cells is None or not 0 <= y < len(cells.kinds):
            return None
        if 0 <= x < cells.depth:
            spot = int(y), int(x)
        elif self._aside_left <= x < self._right:
            spot = int(y), cells.depth
        else:
            return None
        return spot if cells.tensor[spot] != NOBODY else None

    @property
    def _read(self) -> Spot | None:
        return self._cursor or self.selected_cell

    @property
    def _has_aside(self) -> bool:
        return self._cells is not None and bool((self._cells.tensor[:, -1] != NOBODY).any())

    @property
    def _aside_left(self) -> float:
        return self._cells.depth * 1.02 + 0.2 if self._cells and self._cells.depth else 0.0

    @property
    def _aside_width(self) -> float:
        return max(1.0, 0.04 * self._cells.depth) if self._cells and self._has_aside else 0.0

    @property
    def _right(self) -> float:
        depth = self._cells.depth if self._cells else 0
        return self._aside_left + self._aside_width if self._has_aside else float(max(1, depth))

    def recolour(self) -> None:
        super().recolour()
        if self.__dict__.get("_outline") is None:
            return
        self._odd.setPen(pg.mkPen(self.theme.text, width=1.2))
        self._odd.setBrush(self.theme.background)
        self._silent.setPen(None)
        self._silent.setBrush(self.theme.faint)
        ratio = self.devicePixelRatioF()  # these pens count the screen's pixels
        for frame in (self._chosen, self._outline):
            frame[0].setPen(pg.mkPen(self.theme.background, width=5 * ratio))
        self._chosen[1].setPen(pg.mkPen(self.theme.accent, width=3 * ratio))
        self._outline[1].setPen(pg.mkPen(self.theme.text, width=2 * ratio, style=Qt.PenStyle.DashLine))
        self._paint()

    def _paint(self) -> None:
        cells = self._cells
        for item in (self._image, self._aside):
            item.setVisible(cells is not None and bool(cells.kinds))
        if cells is None or not cells.kinds:
            self._odd.setData([], [])
            self._silent.setData([], [])
            self._show_frames()
            return
        picture = painted(cells, self.theme)
        self._image.setVisible(cells.depth > 0)
        self._aside.setVisible(self._has_aside)
        if cells.depth:
            self._image.setImage(picture[:, :-1], autoLevels=False, levels=(0, 255))
            self._image.setRect(QRectF(0, 0, cells.depth, len(cells.kinds)))
        if self._has_aside:
            self._aside.setImage(picture[:, -1:], autoLevels=False, levels=(0, 255))
            self._aside.setRect(QRectF(self._aside_left, 0, self._aside_width, len(cells.kinds)))
        self._odd.setData(*self._middles(cells.flagged))
        self._silent.setData(*self._middles((cells.tensor != NOBODY) & np.isnan(cells.values) & ~cells.flagged))
        self._show_frames()

    def _middles(self, which: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        rows, columns = np.nonzero(which)
        depth = self._cells.depth if self._cells else 0
        aside = self._aside_left + self._aside_width / 2
        across: NDArray[np.float64] = np.where(columns < depth, columns + 0.5, aside)
        down = rows.astype(np.float64) + 0.5
        return across, down

    def _show_frames(self) -> None:
        for frame, spot in ((self._outline, self._cursor), (self._chosen, self.selected_cell)):
            for item in frame:
                item.setVisible(spot is not None)
                if spot is not None:
                    item.setRect(self.rect_of(spot))

    def step(self, key: Qt.Key) -> None:
        """Moves the cursor to the next cell with a tensor in that direction."""
        if self._cells is None:
            return
        down, across = {
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
        }[key]
        start = self._read
        spot = next_spot(self._cells.tensor, start, down, across) if start else first_spot(self._cells.tensor)
        if spot is not None:
            self.point(spot)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Return | Qt.Key.Key_Enter if self._cursor is not None:
                self._choose(self._cursor)
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
            if self._cursor is not None:
                self._choose(self._cursor)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        if self.__dict__.get("_blocks") is not None:
            self._blocks.showLabel(event.size().height() >= LOW)

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        if not self.hasFocus():
            self.point(None)

    def _choose(self, spot: Spot) -> None:
        if self._cells is not None:
            self.chosen.emit(self._cells.name(*spot))

    def _hover(self, position: QPointF) -> None:
        if self.view.sceneBoundingRect().contains(position):
            place = self.view.mapSceneToView(position)
            self.point(self.spot_at(place.x(), place.y()))


def painted(cells: ModelCells, theme: Theme) -> NDArray[np.uint8]:
    """The cells as RGBA [R, D + 1, 4]: the colour map, grey where a scanned tensor has no figure."""
    shades = np.nan_to_num(cells.shades) * (SHADES - 1)
    found = np.zeros((*cells.values.shape, 4), np.uint8)
    found[..., :3] = theme.magnitudes[shades.astype(np.intp)]
    found[..., 3] = 255
    found[np.isnan(cells.values)] = _bytes(mixed(theme.background, theme.text, 0.14))
    found[~cells.scanned] = 0
    return found


def _bytes(color: QColor) -> tuple[int, int, int, int]:
    return color.red(), color.green(), color.blue(), 255


def first_spot(tensors: NDArray[np.intp]) -> Spot | None:
    """The first cell with a tensor, row by row."""
    places = np.argwhere(tensors != NOBODY)
    return (int(places[0, 0]), int(places[0, 1])) if len(places) else None


def next_spot(tensors: NDArray[np.intp], start: Spot, down: int, across: int) -> Spot | None:
    """The nearest cell with a tensor from `start` in one direction; down and up it may be one of another column."""
    row, column = start[0] + down, start[1] + across
    rows, columns = tensors.shape
    while 0 <= row < rows and 0 <= column < columns:
        if across and tensors[row, column] != NOBODY:
            return row, column
        if down:
            there = np.flatnonzero(tensors[row] != NOBODY)
            if there.size:
                return row, int(there[np.argmin(abs(there - column))])
        row, column = row + down, column + across
    return None


def _frame() -> tuple[QGraphicsRectItem, QGraphicsRectItem]:
    """A line within a broader one of the background's colour: seen on any colour of the map."""
    pair = QGraphicsRectItem(), QGraphicsRectItem()
    for depth, item in enumerate(pair):
        item.setZValue(5 + depth)
    return pair
