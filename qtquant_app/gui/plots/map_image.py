"""The cells of a map as an image that loses no peak, whatever the size it is drawn at."""

from __future__ import annotations

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QStyleOptionGraphicsItem, QWidget

from qtquant_app.gui.plots.map_grid import Cells, Grid, pooled
from qtquant_app.gui.plots.tones import Tones

Pooling = tuple[int, int]


class MapImage(pg.GraphicsObject):  # type: ignore[misc]  # pyqtgraph has no types
    """Lays the cells of a grid over exactly its rectangle, in display positions; cells at its edge may be cut."""

    def __init__(self) -> None:
        super().__init__()
        self.grid: Grid | None = None
        self.shown: Cells = np.zeros((0, 0), np.float32)
        """The cells as drawn: no more than there are pixels."""
        self._pooling: Pooling = (0, 0)
        self._image: QImage | None = None
        self._pixels: NDArray[np.uint32] = np.zeros((0, 0), np.uint32)
        self._extent = QRectF()

    def set_grid(self, grid: Grid | None) -> None:
        """Takes other cells; they show once `paint_cells` was called."""
        self.grid, self._image, self._pooling = grid, None, (0, 0)
        self.prepareGeometryChange()
        self._extent = QRectF(grid.left, grid.top, grid.columns, grid.rows) if grid else QRectF()
        self.setVisible(grid is not None)

    def fit(self, cells_down: float, cells_across: float) -> bool:
        """Draws so many cells together that no more than so many lie on a pixel; whether that changed anything.

        Both are cells of the grid per pixel: a picture drawn smaller than its cells would drop some, and peaks with them.
        """
        pooling = max(1, int(np.ceil(cells_down - 1e-6))), max(1, int(np.ceil(cells_across - 1e-6)))
        if self.grid is None or pooling == self._pooling:
            return False
        self._pooling = pooling
        self.shown = pooled(self.grid.values, *pooling)
        return True

    def paint_cells(self, tones: Tones, table: NDArray[np.uint8], missing: QColor) -> None:
        """Colours the cells: `table` is RGB bytes [256, 3], `missing` is for what is no number."""
        if self.grid is None:
            return
        colours = np.append(_rgb32(table), np.uint32(missing.rgb()))
        self._pixels = np.ascontiguousarray(colours[tones.shades(self.shown)])
        height, width = self._pixels.shape
        self._image = QImage(self._pixels.data, width, height, 4 * width, QImage.Format.Format_RGB32)
        self.update()

    def boundingRect(self) -> QRectF:
        return self._extent

    def paint(self, painter: QPainter, option: QStyleOptionGraphicsItem, widget: QWidget | None = None) -> None:
        if self._image is None or self.grid is None:
            return
        down, across = (
            size * pooled
            for size, pooled in zip((self.grid.cell_rows, self.grid.cell_columns), self._pooling, strict=True)
        )
        source = QRectF(0, 0, self.grid.columns / across, self.grid.rows / down)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, False)
        painter.drawImage(self._extent, self._image, source)


def _rgb32(table: NDArray[np.uint8]) -> NDArray[np.uint32]:
    wide = table.astype(np.uint32)
    found: NDArray[np.uint32] = np.uint32(0xFF000000) + (wide @ np.array([1 << 16, 1 << 8, 1], np.uint32))
    return found
