"""What all plots have in common: the window's colours and font, keys to zoom, no menus."""

from __future__ import annotations

from collections.abc import Mapping

import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFocusEvent, QFont, QKeyEvent, QMouseEvent

from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.theme import tabular

ZOOM_STEP = 0.8
PAN_STEP = 0.1


class Plot(pg.PlotWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """A plot that follows the palette. Wheel and +/- zoom, dragging pans, a double click or Home shows all of it."""

    def __init__(self, name: str, spoken: str, axes: Mapping[str, pg.AxisItem] | None = None) -> None:
        super().__init__(axisItems=dict(axes or {}))
        self.setObjectName(name)
        self.setAccessibleName(spoken)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(60, 48)
        self.plot = self.getPlotItem()
        self.view = self.plot.getViewBox()
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setContentsMargins(0, 6, 6, 0)
        self.theme = Theme.of(self.palette())

    def axis(self, side: str, label: str = "") -> pg.AxisItem:
        """The axis at `side` ("left" or "bottom"), shown, with no unit prefixes of its own making."""
        axis = self.plot.getAxis(side)
        self.plot.showAxis(side)
        axis.enableAutoSIPrefix(False)
        if label:
            axis.setLabel(label)
        return axis

    def recolour(self) -> None:
        """Takes colours and font from the palette again. Plots with items of their own extend it."""
        self.theme = Theme.of(self.palette())
        self.setBackground(self.theme.surround)
        self.view.setBackgroundColor(self.theme.background)
        font = axis_font(self.font())
        for side in ("left", "bottom"):
            axis = self.plot.getAxis(side)
            axis.setPen(self.theme.faint)
            axis.setTextPen(self.theme.text)
            axis.setTickFont(font)
            axis.label.setFont(font)
        self._frame()

    def show_all(self) -> None:
        """Undoes every zoom."""
        self.view.autoRange(padding=0)

    def zoom(self, factor: float) -> None:
        """Scales the visible range by `factor` around its middle."""
        x, y = self.view.mouseEnabled()
        self.view.scaleBy(x=factor if x else None, y=factor if y else None)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if (
            event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange)
            and self.__dict__.get("view") is not None
        ):
            self.recolour()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        match event.key():
            case Qt.Key.Key_Plus | Qt.Key.Key_Equal:
                self.zoom(ZOOM_STEP)
            case Qt.Key.Key_Minus:
                self.zoom(1 / ZOOM_STEP)
            case Qt.Key.Key_Home:
                self.show_all()
            case Qt.Key.Key_Left | Qt.Key.Key_Right | Qt.Key.Key_Up | Qt.Key.Key_Down as key:
                self.step(Qt.Key(key))
            case _:
                event.ignore()  # the rest belongs to the window

    def step(self, key: Qt.Key) -> None:
        """An arrow key: moves the visible range along the axes that may move."""
        (left, right), (low, high) = self.view.viewRange()
        x, y = self.view.mouseEnabled()
        dx = PAN_STEP * (right - left) * {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}.get(key, 0)
        dy = PAN_STEP * (high - low) * {Qt.Key.Key_Down: -1, Qt.Key.Key_Up: 1}.get(key, 0)
        self.view.translateBy(x=dx if x else None, y=dy if y else None)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        super().mouseDoubleClickEvent(event)
        self.show_all()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._frame()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._frame()

    def _frame(self) -> None:
        """The plot with the keyboard is framed in the accent colour."""
        self.view.setBorder(pg.mkPen(self.theme.accent if self.hasFocus() else self.theme.faint))


def axis_font(font: QFont) -> QFont:
    """`font` for the figures of an axis: digits of one width, a point smaller."""
    result = tabular(font)
    if font.pointSizeF() > 1:
        result.setPointSizeF(font.pointSizeF() - 1)
    return result
