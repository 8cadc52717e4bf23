"""A word of a file, bit by bit."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QRectF, QSize, Qt
from PySide6.QtGui import QFont, QFontMetricsF, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QSizePolicy, QWidget

from qtquant_app.core.bits import Field, Word
from qtquant_app.gui.theme import GRID, Colors, colors, fixed_font, mixed, tabular

ACROSS = 16
"""Bits side by side; a wider word goes on below."""
WIDEST, NARROWEST = 20, 12
_SLACK = 8
"""How far a name may reach beyond its field: the fields beside a narrow one are wide."""


class BitStrip(QWidget):
    """The bits of a word, the highest first: what each field is called above them, bit numbers below.

    What is lit has a frame, bold figures and its name; the rest is faint then.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._word: Word | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    @property
    def word(self) -> Word | None:
        return self._word

    def set_word(self, word: Word) -> None:
        """Shows another word."""
        self._word = word
        self.setAccessibleName(word.spoken)
        self.updateGeometry()
        self.update()

    def sizeHint(self) -> QSize:
        rows = -(-self._word.bits // ACROSS) if self._word else 1
        return QSize(ACROSS * WIDEST + 2, round(self._title_height() + rows * self._row_height()))

    def minimumSizeHint(self) -> QSize:
        return QSize(ACROSS * NARROWEST + 2, self.sizeHint().height())

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.FontChange:
            self.updateGeometry()

    def paintEvent(self, event: QPaintEvent) -> None:
        if self._word is None:
            return
        painter, tones = QPainter(self), colors(self.palette())
        painter.setFont(self._small())
        painter.setPen(tones.muted)
        title = f"{self._word.name}   {self._word.dtype}   {self._word.hex}"
        box = QRectF(1, 0, self.width() - 2, self._title_height())
        elided = painter.fontMetrics().elidedText(title, Qt.TextElideMode.ElideMiddle, int(box.width()))
        painter.drawText(box, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter, elided)
        for row in range(-(-self._word.bits // ACROSS)):
            highest = self._word.bits - 1 - row * ACROSS
            _Row(self, painter, tones, self._word, highest, self._title_height() + row * self._row_height()).draw()
        painter.end()

    def cell(self) -> float:
        """The width of a bit."""
        return max(NARROWEST, min(WIDEST, (self.width() - 2) / ACROSS))

    def _small(self) -> QFont:
        font = tabular(self.font())
        font.setPointSizeF(max(6.5, font.pointSizeF() * 0.8))
        return font

    def _title_height(self) -> float:
        return QFontMetricsF(self._small()).height() + 2

    def _row_height(self) -> float:
        return 2 * QFontMetricsF(self._small()).height() + self.box_height() + GRID

    def box_height(self) -> float:
        """The height of the frame around a bit."""
        return QFontMetricsF(fixed_font(self.font())).height() + 2


class _Row:
    """Sixteen bits, from `highest` down, painted at `top`."""

    def __init__(self, strip: BitStrip, painter: QPainter, tones: Colors, word: Word, highest: int, top: float) -> None:
        self._strip, self._painter, self._tones, self._word = strip, painter, tones, word
        self._highest, self._lowest = highest, max(0, highest - ACROSS + 1)
        self._cell = strip.cell()
        self._line = QFontMetricsF(painter.font()).height()
        self._boxes = top + self._line
        self._names_at = top
        self._any_lit = any(field.lit for field in word.fields)

    def draw(self) -> None:
        parts = [field for field in self._word.fields if self._shown(field)]
        for field in (
            *(f for f in parts if not f.lit),
            *(f for f in parts if f.lit),
        ):  # a frame lies over its neighbours
            self._draw_field(field)
        self._draw_names(parts)
        self._draw_numbers(parts)

    def _shown(self, field: Field) -> bool:
        return field.low <= self._highest and field.high >= self._lowest

    def _span(self, field: Field) -> tuple[int, int]:
        """(highest, lowest) bit of the field in this row."""
        return min(field.high, self._highest), max(field.low, self._lowest)

    def _left(self, bit: int) -> float:
        return 1 + (self._highest - bit) * self._cell

    def _box(self, field: Field) -> QRectF:
        high, low = self._span(field)
        return QRectF(self._left(high), self._boxes, (high - low + 1) * self._cell, self._strip.box_height())

    def _draw_field(self, field: Field) -> None:
        painter, tones, box = self._painter, self._tones, self._box(field)
        frame = QPen(tones.accent, 2) if field.lit else QPen(mixed(tones.surface, tones.text, 0.35), 1)
        painter.setPen(frame)
        painter.setBrush(mixed(tones.surface, tones.accent, 0.16) if field.lit else Qt.BrushStyle.NoBrush)
        painter.drawRect(box.adjusted(0.5, 0.5, -0.5, -0.5))
        figures = fixed_font(self._strip.font())
        figures.setWeight(QFont.Weight.Bold if field.lit else QFont.Weight.Normal)
        faint = self._any_lit and not field.lit
        painter.save()
        painter.setFont(figures)
        painter.setPen(tones.muted if faint else tones.text)
        high, low = self._span(field)
        for bit in range(low, high + 1):
            place = QRectF(self._left(bit), box.top(), self._cell, box.height())
            painter.drawText(place, Qt.AlignmentFlag.AlignCenter, str(self._word.bit(bit)))
        painter.restore()

    def _draw_names(self, parts: list[Field]) -> None:
        metrics = QFontMetricsF(self._painter.font())
        short = self._highest - self._lowest < ACROSS - 1
        for field in parts:
            box = self._box(field)
            room = box.width() + (_SLACK if field.lit or field.width == 1 else -2)
            free = short and field is parts[-1]  # nothing stands to the right of it
            names = (field.name, field.name.rpartition(" ")[2])
            name = next((n for n in names if free or metrics.horizontalAdvance(n) <= room), "")
            width = max(box.width(), metrics.horizontalAdvance(name) + 2)
            left = box.left() if free and width > room else box.center().x() - width / 2
            left = max(0.0, min(left, self._strip.width() - width))
            self._painter.setPen(self._tones.text if field.lit else self._tones.muted)
            place = QRectF(left, self._names_at, width, self._line)
            self._painter.drawText(place, Qt.AlignmentFlag.AlignCenter, name)

    def _draw_numbers(self, parts: list[Field]) -> None:
        marked = {self._highest, self._lowest, *range(self._lowest, self._highest, 4)}
        for field in parts:
            if field.lit:
                marked = {bit for bit in marked if not field.low - 1 <= bit <= field.high + 1} | set(self._span(field))
        self._painter.setPen(self._tones.muted)
        below = self._boxes + self._strip.box_height() + 1
        for bit in marked:
            place = QRectF(self._left(bit), below, self._cell, self._line)
            self._painter.drawText(place, Qt.AlignmentFlag.AlignCenter, str(bit))
