"""A small mark for a state, told apart by its shape; the colour only helps."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen

RADIUS = 3.5


def paint_mark(painter: QPainter, centre: QPointF, tone: str, color: QColor) -> None:
    """Good is a disc, warn a triangle, bad a cross, accent a diamond; whatever asks for nothing is a ring."""
    painter.save()
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(color)
    x, y, r = centre.x(), centre.y(), RADIUS
    match tone:
        case "good":
            painter.drawEllipse(centre, r, r)
        case "warn":
            painter.drawPolygon([QPointF(x, y - r), QPointF(x + r, y + r), QPointF(x - r, y + r)])
        case "accent":
            painter.drawPolygon([QPointF(x, y - r), QPointF(x + r, y), QPointF(x, y + r), QPointF(x - r, y)])
        case "bad":
            painter.setPen(QPen(color, 2, Qt.PenStyle.SolidLine, Qt.PenCapStyle.RoundCap))
            painter.drawLine(QPointF(x - r + 1, y - r + 1), QPointF(x + r - 1, y + r - 1))
            painter.drawLine(QPointF(x - r + 1, y + r - 1), QPointF(x + r - 1, y - r + 1))
        case _:
            painter.setPen(QPen(color, 1.5))
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawEllipse(centre, r - 0.75, r - 0.75)
    painter.restore()
