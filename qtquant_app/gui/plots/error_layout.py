"""Where the map, its margins, its choices and what it reads out stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from qtquant_app.gui.plots.read_out import HINT
from qtquant_app.gui.widgets.map_bar import MapBar
from qtquant_app.gui.widgets.text import Elided, Text

if TYPE_CHECKING:
    from qtquant_app.gui.plots.error_view import ErrorView

LEFT_AXIS = 58
BOTTOM_AXIS = 34
FOOT = 6
"""Room for the lower half of the zero on an axis that ends there."""
STRIP = 72
"""Pixels of height for the map of a single row."""
MARGIN_WIDTH = 150
_UNBOUND = 16_777_215
"""Qt's own word for no limit."""


class ErrorLayout:
    """Makes the small parts of an ErrorView and lays all of them out."""

    def __init__(self, view: ErrorView) -> None:
        self.choices = MapBar()
        self.sort_rows = _sort_box("sortRowsCheck", "Sort rows by error", "Channels by squared error, the worst first")
        self.sort_columns = _sort_box(
            "sortColumnsCheck", "Sort columns by error", "Columns by squared error, the worst first"
        )
        self.read_out, self.detail = Elided(HINT, mode=Qt.TextElideMode.ElideRight), Text()
        self.group_title = Elided(muted=True, mode=Qt.TextElideMode.ElideRight)
        self._view = view
        self.read_out.setObjectName("errorReadOut")
        self.read_out.setAccessibleName("Cell under the cursor")
        self.detail.setObjectName("errorDetail")
        self.detail.setAccessibleName("Weight under the cursor")
        self.detail.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.detail.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        self.detail.setFixedHeight(2 * self.detail.fontMetrics().lineSpacing())
        self._align_axes()
        self._lay_out()
        self.name_axes(False, False, strip=False)

    def name_axes(self, rows: bool, columns: bool, *, strip: bool) -> None:
        """Says what runs along each side, sorted or not; the map of a single row is a `strip` without a plot beside it."""
        view = self._view
        view.map.axis("left", "channels, worst first" if rows else "channel")
        view.map.axis("bottom", "columns, worst first" if columns else "column")
        self.group_title.setText(
            "Share of squared error by column, worst first" if columns else "Error by column group"
        )
        view.channels.axis("bottom", "% error, worst first" if rows else "% error by channel")
        view.map.setMaximumHeight(STRIP + BOTTOM_AXIS if strip else _UNBOUND)
        for widget in (view.channels, self.sort_rows):
            widget.setVisible(not strip)

    def _align_axes(self) -> None:
        """Margins of one size, so that a column of the map stands under its group and a row beside its channel."""
        view = self._view
        view.map.axis("left", "channel").setWidth(LEFT_AXIS)
        view.groups.axis("left", "%").setWidth(LEFT_AXIS)
        view.map.axis("bottom", "column").setHeight(BOTTOM_AXIS)
        view.channels.axis("bottom").setHeight(BOTTOM_AXIS)
        for axis in (view.groups.axis("bottom"), view.channels.axis("left")):
            axis.setStyle(showValues=False, tickLength=0)
        view.groups.axis("bottom").setHeight(FOOT)

    def _lay_out(self) -> None:
        view = self._view
        grid = QGridLayout(view)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(2)
        grid.addLayout(_line(self.group_title, self.sort_columns), 0, 0)
        grid.addWidget(self.sort_rows, 0, 1)
        grid.addWidget(view.groups, 1, 0)
        grid.addWidget(_foot(view.bar), 1, 1)
        grid.addWidget(self.choices, 2, 0, 1, 2)
        grid.addWidget(view.map, 3, 0)
        grid.addWidget(view.channels, 3, 1)
        grid.addWidget(self.read_out, 4, 0, 1, 2)
        grid.addWidget(self.detail, 5, 0, 1, 2)
        grid.setRowStretch(1, 2)
        grid.setRowStretch(3, 6)
        grid.setColumnStretch(0, 4)
        grid.setColumnStretch(1, 1)
        grid.setColumnMinimumWidth(1, MARGIN_WIDTH)


def _sort_box(name: str, text: str, tip: str) -> QCheckBox:
    box = QCheckBox(text)
    box.setObjectName(name)
    box.setAccessibleName(text)
    box.setToolTip(tip)
    return box


def _line(title: QWidget, box: QWidget) -> QHBoxLayout:
    line = QHBoxLayout()
    line.addWidget(title, 1)
    line.addWidget(box)
    return line


def _foot(widget: QWidget) -> QWidget:
    """`widget` at the lower end of its room."""
    corner = QWidget()
    column = QVBoxLayout(corner)
    column.setContentsMargins(0, 0, 0, 0)
    column.addStretch()
    column.addWidget(widget)
    return corner
