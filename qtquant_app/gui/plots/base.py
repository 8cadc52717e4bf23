"""What all plots have in common: the window's colours and font, keys to zoom, and ways to take them away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QFocusEvent, QFont, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QWidget

from qtquant_app.gui.export import copy_image
from qtquant_app.gui.exporter import exporter_of
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.theme import tabular
from qtquant_app.gui.widgets.export_menu import Entry, ExportMenu

ZOOM_STEP = 0.8
PAN_STEP = 0.1


class Plot(pg.PlotWidget):  # type: ignore[misc]  # pyqtgraph has no types
    """A plot that follows the palette. Wheel and +/- zoom, dragging pans, a double click or Home shows all of it.

    Ctrl+C copies it; a right click, the Menu key and Shift+F10 offer to save it.
    """

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
        self.subject = ""
        """What it shows now, a tensor and its scheme: the caption of a picture ends with it."""
        self.whole: QWidget | None = None
        """What is copied and saved in its place, where it says little without what stands around it."""
        self.menu = ExportMenu(self, self.entries, self.copy)

    @property
    def caption(self) -> str:
        """What stands over a picture of it."""
        return ": ".join(part for part in (self.accessibleName(), self.subject) if part)

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]] | None:
        """Titles and rows of the numbers it is drawn from; None where it has none. The rows are read in a worker."""
        return None

    def copy(self) -> None:
        """Puts its picture on the clipboard, and its numbers."""
        copy_image(self.whole or self, self.caption, self.table())

    def entries(self) -> Iterator[Entry | None]:
        """The lines of its menu. A plot with more to offer extends it."""
        exporter, shown, numbers = exporter_of(self), self.whole or self, self.table()
        yield Entry("&Copy\tCtrl+C", self.copy)
        yield Entry("Save as &PNG…", lambda: exporter.save_png(shown, self.caption))
        yield Entry("Save as &SVG…", lambda: exporter.save_svg(shown, self.caption))
        yield Entry("Save the &numbers as CSV…", numbers and (lambda: exporter.save_csv(self, self.caption, numbers)))
        yield None
        yield Entry("Show &all\tHome", self.show_all)

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
        changed = event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange)
        if changed and self.__dict__.get("view") is not None and not self.closed:  # a closed one has lost its parts
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

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.RightButton:
            event.accept()  # it opens the menu, and drags nothing meanwhile
        else:
            super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        super().mouseDoubleClickEvent(event)
        self.show_all()

    def focusInEvent(self, event: QFocusEvent) -> None:
        super().focusInEvent(event)
        self._frame()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._frame()

    def show_focus(self, shown: bool) -> None:
        """Takes the frame of the focus away for a picture, and puts it back."""
        self._frame(shown)

    def _frame(self, focus: bool = True) -> None:
        """The plot with the keyboard is framed in the accent colour."""
        framed = focus and self.hasFocus()
        self.view.setBorder(pg.mkPen(self.theme.accent if framed else self.theme.faint, width=2 if framed else 1))


def axis_font(font: QFont) -> QFont:
    """`font` for the figures of an axis: digits of one width, a point smaller."""
    result = tabular(font)
    if font.pointSizeF() > 1:
        result.setPointSizeF(font.pointSizeF() - 1)
    return result
