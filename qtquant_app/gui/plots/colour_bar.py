"""What the colours of the error map stand for."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from qtquant_app.core.quantities import figure
from qtquant_app.gui.plots.base import axis_font
from qtquant_app.gui.plots.colors import SHADES, Theme

BAR = 12
MARGIN = 6


class ColourBar(QWidget):
    """A strip of the colour map from zero to `largest`, with a tick at the value under the cursor."""

    def __init__(self, caption: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._caption = caption
        self._largest: float | None = None
        self._value: float | None = None
        self.setAccessibleName(caption)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        line = self.fontMetrics().height()
        return QSize(120, 2 * line + BAR + 3 * MARGIN)

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()

    def set_largest(self, largest: float) -> None:
        """The value of the last colour."""
        self._largest = largest
        self.setAccessibleDescription(f"from 0 to {figure(largest)}")
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
        line = painter.fontMetrics().height()
        painter.setPen(self.palette().windowText().color())
        width = self.width() - 2 * MARGIN
        flags = Qt.AlignmentFlag
        painter.drawText(QRectF(MARGIN, 0, width, line), flags.AlignLeft | flags.AlignVCenter, self._caption)
        bar = QRectF(MARGIN, line + MARGIN, width, BAR)
        table = theme.magnitudes
        painter.drawImage(bar, QImage(table.data, SHADES, 1, table.nbytes, QImage.Format.Format_RGB888))
        painter.setPen(theme.faint)
        painter.drawRect(bar)
        if self._largest is not None:
            self._label(painter, theme, bar, self._largest)

    def _label(self, painter: QPainter, theme: Theme, bar: QRectF, largest: float) -> None:
        painter.setPen(self.palette().windowText().color())
        below = QRectF(bar.left(), bar.bottom() + 2, bar.width(), painter.fontMetrics().height())
        painter.drawText(below, Qt.AlignmentFlag.AlignLeft, "0")
        painter.drawText(below, Qt.AlignmentFlag.AlignRight, figure(largest))
        middle = figure(largest / 2)
        if painter.fontMetrics().horizontalAdvance(f"0  {middle}  {figure(largest)}") < bar.width() * 0.8:
            painter.drawText(below, Qt.AlignmentFlag.AlignHCenter, middle)
        if self._value is not None:
            x = bar.left() + bar.width() * min(1.0, self._value / largest)
            painter.setPen(QPen(theme.accent, 2))
            painter.drawLine(int(x), int(bar.top()) - 4, int(x), int(bar.bottom()) + 3)
