"""Lines that differ in more than their colour: each has its own symbol and stroke too."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap

from qtquant_app.ramps import oklab_to_rgb

SYMBOLS = ("o", "s", "t1", "d", "x", "t", "+", "star")
STROKES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
    Qt.PenStyle.DashDotDotLine,
)
HUES = 8
"""Colours before they come again, with another stroke."""
SAMPLE = QSize(36, 14)


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How one of many lines is drawn."""

    color: QColor
    symbol: str
    stroke: Qt.PenStyle

    def pen(self, width: float = 1.3, alpha: float = 1.0) -> QPen:
        shade = QColor(self.color)
        shade.setAlphaF(alpha)
        pen: QPen = pg.mkPen(shade, width=width, style=self.stroke)
        return pen

    def sample(self, ratio: float = 2.0) -> QIcon:
        """A stretch of the line with its symbol, for a legend."""
        pixmap = QPixmap(SAMPLE * ratio)
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(Qt.GlobalColor.transparent)
        painter = QPainter(pixmap)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        middle = SAMPLE.height() / 2
        painter.setPen(self.pen(1.6))
        painter.drawLine(QPointF(0, middle), QPointF(SAMPLE.width(), middle))
        painter.translate(SAMPLE.width() / 2, middle)
        painter.scale(8, 8)
        painter.setPen(QPen(self.color, 0.1))
        painter.setBrush(self.color)
        painter.drawPath(pg.graphicsItems.ScatterPlotItem.Symbols[self.symbol])
        painter.end()
        return QIcon(pixmap)


@lru_cache(maxsize=512)
def line_style(place: int, dark: bool) -> LineStyle:
    """The style of line number `place`: neighbours differ in hue, lightness, symbol and, after a while, stroke."""
    hue = np.radians(360.0 * (place * 3 % HUES) / HUES + 20.0)
    lightness = (0.82 if dark else 0.42) if place % 2 else (0.68 if dark else 0.58)
    rgb = oklab_to_rgb(np.array([[lightness, 0.12 * np.cos(hue), 0.12 * np.sin(hue)]])).clip(0, 1)[0]
    stroke = STROKES[(place + place // len(SYMBOLS)) % len(STROKES)]
    return LineStyle(QColor.fromRgbF(*(float(part) for part in rgb)), SYMBOLS[place % len(SYMBOLS)], stroke)
