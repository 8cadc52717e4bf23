"""The program's own drawings, tinted with the palette so that they fit dark and light."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QRectF, Qt
from PySide6.QtGui import QColor, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer

from qtquant_app.assets import resource
from qtquant_app.gui.theme import colors

SIDE = 20


def icon(name: str, color: QColor | None = None) -> QIcon:
    """The drawing `name` in `color`; without one, in the text colour of the palette, fainter where disabled."""
    if color is not None:
        return QIcon(picture(name, color, 4))
    tones = colors(QPalette())
    result = QIcon(picture(name, tones.text, 4))
    result.addPixmap(picture(name, tones.line, 4), QIcon.Mode.Disabled)
    return result


def picture(name: str, color: QColor, scale: float, side: int = SIDE) -> QPixmap:
    """The drawing at `side` logical pixels for a screen of this `scale`."""
    return _picture(name, color.name(), scale, side)


@lru_cache(maxsize=256)
def _picture(name: str, color: str, scale: float, side: int) -> QPixmap:
    pixmap = QPixmap(round(side * scale), round(side * scale))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(_drawing(name).replace("currentColor", color).encode())).render(
        painter, QRectF(pixmap.rect())
    )
    painter.end()
    pixmap.setDevicePixelRatio(scale)
    return pixmap


def window_icon() -> QIcon:
    return QIcon(picture("qtquant", QColor(), 2, 64))


@lru_cache(maxsize=64)
def _drawing(name: str) -> str:
    return resource("icons", f"{name}.svg").read_text(encoding="utf-8")
