"""The error map with its margins: error by column group above it, by channel beside it, one cursor through all three."""

from __future__ import annotations

from math import inf, isnan, log10
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QVBoxLayout, QWidget

from qtquant_app.core.quantities import decibels, figure, percent, stretch_text
from qtquant_app.gui.plots.colour_bar import ColourBar
from qtquant_app.gui.plots.error_map import Cell, ErrorMap, Grid
from qtquant_app.gui.plots.profile import Profile
from qtquant_app.gui.widgets.text import Text

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

LEFT_AXIS = 58
BOTTOM_AXIS = 34
FOOT = 6
"""Room for the lower half of the zero on an axis that ends there."""
READ_OUT_HINT = "Point at the map, or move over it with the arrow keys, to read a cell out."


class ErrorView(QWidget):
    """Shows where a preview's error sits."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.map = ErrorMap()
        self.groups = Profile("groupErrorPlot", "Error by column group", upright=False)
        self.channels = Profile("channelErrorPlot", "Error by channel", upright=True)
        self.bar = ColourBar("largest |error| of a cell")
        self.read_out = Text(READ_OUT_HINT)
        self._preview: Preview | None = None
        self._align_axes()
        self._lay_out()
        self.map.cursor_changed.connect(self._follow_cursor)
        self.map.range_changed.connect(self._follow_range)
        self.groups.hovered.connect(lambda x: self._hover(x, None))
        self.channels.hovered.connect(lambda y: self._hover(None, y))

    def draw(self, preview: Preview) -> None:
        """Shows the error of `preview`."""
        self._preview = preview
        rows, columns = preview.shape
        self.groups.draw(_edges(columns, preview.map_columns_per_cell), 100 * preview.group_relative_error)
        self.channels.draw(_edges(rows, 1), 100 * preview.channel_relative_error)
        grid = Grid(preview.error_map, rows, columns, preview.map_rows_per_cell, preview.map_columns_per_cell)
        self.map.draw(grid)
        self.bar.set_largest(self.map.largest)
        self._follow_range(*self.map.visible)
        self._follow_cursor(self.map.cursor_cell)

    def _align_axes(self) -> None:
        """Margins of one size, so that a column of the map stands under its group and a row beside its channel."""
        self.map.axis("left", "channel").setWidth(LEFT_AXIS)
        self.groups.axis("left", "%").setWidth(LEFT_AXIS)
        self.map.axis("bottom", "column").setHeight(BOTTOM_AXIS)
        self.channels.axis("bottom", "%").setHeight(BOTTOM_AXIS)
        for axis in (self.groups.axis("bottom"), self.channels.axis("left")):
            axis.setStyle(showValues=False, tickLength=0)
        self.groups.axis("bottom").setHeight(FOOT)

    def _lay_out(self) -> None:
        self.read_out.setObjectName("errorReadOut")
        self.read_out.setAccessibleName("Cell under the cursor")
        self.read_out.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.read_out.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.read_out.setFixedHeight(2 * self.fontMetrics().lineSpacing())
        corner = QWidget()
        column = QVBoxLayout(corner)
        column.setContentsMargins(0, 0, 0, 0)
        column.addStretch()
        column.addWidget(self.bar)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        grid.addWidget(Text("Error by column group", muted=True), 0, 0)
        grid.addWidget(self.groups, 1, 0)
        grid.addWidget(corner, 0, 1, 2, 1)
        grid.addWidget(Text("Error map", muted=True), 2, 0)
        grid.addWidget(Text("Error by channel", muted=True), 2, 1)
        grid.addWidget(self.map, 3, 0)
        grid.addWidget(self.channels, 3, 1)
        grid.addWidget(self.read_out, 4, 0, 1, 2)
        grid.setRowStretch(1, 2)
        grid.setRowStretch(3, 6)
        grid.setColumnStretch(0, 4)
        grid.setColumnStretch(1, 1)
        grid.setColumnMinimumWidth(1, 150)

    def _hover(self, x: float | None, y: float | None) -> None:
        if any(place is not None and isnan(place) for place in (x, y)):
            self.map.point(self.map.pinned)
        else:
            self.map.point_at(x, y)

    def _follow_range(self, left: float, right: float, top: float, bottom: float) -> None:
        self.groups.follow(left, right)
        self.channels.follow(top, bottom)

    def _follow_cursor(self, cell: Cell | None) -> None:
        text = READ_OUT_HINT
        if cell is None or self._preview is None:
            self.groups.mark(None)
            self.channels.mark(None)
        else:
            self.groups.mark(cell.columns)
            self.channels.mark(cell.rows)
            text = read_out(self._preview, cell)
        self.bar.set_value(cell.value if cell else None)
        self.read_out.setText(text)
        self.map.setAccessibleDescription(text)


def read_out(preview: Preview, cell: Cell) -> str:
    """What is known of a cell: where it is, its error, and that of its channels and columns."""
    channels = float(preview.channel_relative_error[slice(*cell.rows)].max())
    where = f"{stretch_text('channel', *cell.rows)}: {percent(channels)}, {decibels(_sqnr(channels))}"
    across = f"{_columns(preview, cell)}: {percent(float(preview.group_relative_error[cell.column]))}"
    return f"{where};  largest |error| of the cell {figure(cell.value)}\n{across}"


def _columns(preview: Preview, cell: Cell) -> str:
    """The cell's columns, and the groups they make where the scheme has groups."""
    columns, size = stretch_text("column", *cell.columns), preview.scheme.group_size
    if size is None:
        return columns
    return f"{columns}, {stretch_text('group', cell.columns[0] // size, (cell.columns[1] - 1) // size + 1)}"


def _sqnr(relative_error: float) -> float:
    """dB of a relative error: 20 log10(1 / r)."""
    return -20 * log10(relative_error) if relative_error > 0 else inf


def _edges(length: int, step: int) -> NDArray[np.float64]:
    return np.append(np.arange(0, length, step), length).astype(np.float64)
