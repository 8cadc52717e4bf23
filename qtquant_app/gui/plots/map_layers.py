"""The cells of a map: those of the whole matrix, and finer ones over a part of it, in one set of colours."""

from __future__ import annotations

import pyqtgraph as pg

from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.plots.map_grid import Cell, Grid, Span
from qtquant_app.gui.plots.map_image import MapImage
from qtquant_app.gui.plots.tones import Scaling, Tones

Levels = tuple[float, float]


class MapLayers:
    """Two images in one view box. After a change of grids, scaling or levels: `retone`, `fit`, `paint`."""

    def __init__(self, view: pg.ViewBox) -> None:
        self._whole, self._part = MapImage(), MapImage()
        self.signed = False
        self.scaling = Scaling.LINEAR
        self.levels: Levels | None = None
        """The values of the first and the last colour; None finds them."""
        self.tones = Tones()
        for depth, image in enumerate(self.images):
            image.setZValue(depth)
            view.addItem(image, ignoreBounds=True)

    @property
    def images(self) -> tuple[MapImage, MapImage]:
        """That of the whole, and that of the part."""
        return self._whole, self._part

    @property
    def whole(self) -> Grid | None:
        return self._whole.grid

    @property
    def part(self) -> Grid | None:
        return self._part.grid

    def set_whole(self, grid: Grid, signed: bool, levels: Levels | None) -> None:
        """Takes another matrix, or another number of each of its weights."""
        self.signed = signed or bool(grid.values.min(initial=0.0) < 0)
        self.levels = levels
        self._whole.set_grid(grid)
        self._part.set_grid(None)

    def set_part(self, grid: Grid | None) -> None:
        """Takes a finer grid of a part; None for none."""
        self._part.set_grid(grid)

    def retone(self) -> None:
        """Finds the colours anew; those of means grow with the zoom, as fewer weights are drawn together."""
        if self.whole is None:
            return
        if self.levels is not None:
            low, high = self.levels
            high = max(abs(low), abs(high)) if self.signed else high
            self.tones = Tones(high or 1.0, 0.0 if self.signed else low, self.signed)
            return
        self.tones = Tones.of(self.whole.values, self.signed, self.scaling)
        if self.part is not None and not self.tones.above:
            finer = Tones.of(self.part.values, self.signed, self.scaling)
            self.tones = finer if finer.high > self.tones.high else self.tones

    def fit(self, rows_per_pixel: float, columns_per_pixel: float) -> bool:
        """Draws cells together until there are no more than pixels; whether that changed any."""
        changed = [
            image.fit(rows_per_pixel / image.grid.cell_rows, columns_per_pixel / image.grid.cell_columns)
            for image in self.images
            if image.grid is not None
        ]
        return any(changed)

    def paint(self, theme: Theme) -> None:
        """Colours the cells."""
        for image in self.images:
            image.paint_cells(self.tones, theme.table(self.signed), theme.faint)

    def cell_at(self, x: float, y: float) -> Cell | None:
        """The finest cell at display column `x` and row `y`; None outside of the matrix."""
        found = self.part.cell_at(x, y) if self.part else None
        return found or (self.whole.cell_at(x, y) if self.whole else None)

    def cell_of(self, rows: Span, columns: Span) -> Cell | None:
        """A rectangle and its value, from the finest cells that cover it."""
        if self.part is not None and self.part.holds(rows, columns):
            return self.part.cell_of(rows, columns)
        return self.whole.cell_of(rows, columns) if self.whole else None
