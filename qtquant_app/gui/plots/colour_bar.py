"""What the colours of the error map stand for."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from qtquant_app.gui.plots.base import axis_font
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.plots.tones import Tones
from qtquant_app.gui.widgets.text import plain_tip
from qtquant_app.ramps import SHADES

BAR = 12
MARGIN = 6
LINES = 3
"""Of the caption, at most."""
ABOVE = "and above"


class ColourBar(QWidget):
    """A strip of the colours from the first to the last value, with a mark at the value under the cursor."""

    def __init__(self, caption: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caption = ""
        self._tones: Tones | None = None
        self._value: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.set_caption(caption)

    @property
    def caption(self) -> str:
        return self._caption

    @property
    def labels(self) -> tuple[str, str, str]:
        """What stands at its start, in its middle and at its end."""
        return self._tones.ticks() if self._tones else ("", "", "")

    def sizeHint(self) -> QSize:
        line = self.fontMetrics().height()
        return QSize(120, (LINES + 2) * line + BAR + 2 * MARGIN)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def set_caption(self, caption: str) -> None:
        """What the values are: a name, and on further lines how they come about."""
        self._caption = caption
        self.setAccessibleName(f"Colours: {' '.join(caption.split())}")
        self.setToolTip(plain_tip(caption))
        self.update()

    def set_tones(self, tones: Tones) -> None:
        """Which value each colour stands for."""
        self._tones = tones
        first, middle, last = self.labels
        scale = "on a logarithmic scale, " if tones.logarithmic else ""
        beyond = f" {ABOVE}" if tones.above else ""
        self.setAccessibleDescription(f"{scale}from {first} over {middle} to {last}{beyond}")
        self.update()

    def set_value(self, value: float | None) -> None:
        """The value to mark; None marks nothing."""
        self._value = value
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.updateGeometry()
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter, theme = QPainter(self), Theme.of(self.palette())
        painter.setFont(axis_font(self.font()))
        painter.setPen(self.palette().windowText().color())
        line = painter.fontMetrics().height()
        above = self._tones is not None and self._tones.above
        top = self.height() - (2 if above else 1) * line - BAR - MARGIN
        self._write_caption(painter, QRectF(MARGIN, 0, self.width() - 2 * MARGIN, top - MARGIN / 2))
        if self._tones is not None:
            bar = QRectF(MARGIN, top, self.width() - 2 * MARGIN, BAR)
            table = np.ascontiguousarray(theme.table(self._tones.signed))
            painter.drawImage(bar, QImage(table.data, SHADES, 1, table.nbytes, QImage.Format.Format_RGB888))
            self._write_ticks(painter, bar)
            painter.setPen(theme.faint)
            painter.drawRect(bar)
            self._mark_value(painter, theme, bar, self._tones)

    def _write_caption(self, painter: QPainter, room: QRectF) -> None:
        """The name, and below it as much of the rest as there is room for; the tip has all of it."""
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignBottom | Qt.TextFlag.TextWordWrap
        metrics = painter.fontMetrics()
        text = self._caption
        while text and metrics.boundingRect(room.toRect(), flags, text).height() > room.height():
            text = text.rstrip("\u2026")[:-1].rstrip() + "\u2026" if len(text) > 2 else ""
        painter.drawText(room, flags, text)

    def _write_ticks(self, painter: QPainter, bar: QRectF) -> None:
        metrics = painter.fontMetrics()
        below = QRectF(bar.left(), bar.bottom() + 2, bar.width(), metrics.height())
        first, middle, last = self.labels
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, first)
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, last)
        sides = max(metrics.horizontalAdvance(first), metrics.horizontalAdvance(last))
        if 2 * sides + metrics.horizontalAdvance(f" {middle} ") < bar.width():
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, middle)
        if self._tones is not None and self._tones.above:
            painter.drawText(below.translated(0, metrics.height()), Qt.AlignmentFlag.AlignRight, ABOVE)

    def _mark_value(self, painter: QPainter, theme: Theme, bar: QRectF, tones: Tones) -> None:
        """A line across, with an edge of the background's colour: seen on every shade."""
        if self._value is None or self._value != self._value:
            return
        x = round(bar.left() + bar.width() * tones.position(self._value))
        for color, width in ((theme.background, 6), (theme.accent, 2)):
            painter.setPen(QPen(color, width, Qt.PenStyle.SolidLine, Qt.PenCapStyle.FlatCap))
            painter.drawLine(x, int(bar.top()) - 3, x, int(bar.bottom()) + 4)
