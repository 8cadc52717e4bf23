"""What the colours and marks of the model's map stand for."""

from __future__ import annotations

from math import isnan, nan

from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import QImage, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from qtquant_app.gui.models.model_cells import ModelCells
from qtquant_app.gui.plots.base import axis_font
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.theme import mixed
from qtquant_app.gui.widgets.text import tip_text
from qtquant_app.ramps import SHADES

BAR = 12
GAP = 6
LONGEST_BAR = 260


class MapLegend(QWidget):
    """The colour map from its weak end to its strong one, both in words and figures; then the marks."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._weak = self._strong = ""
        self._shade = nan
        self.setObjectName("mapLegend")
        self.setAccessibleName("What the colours of the map stand for")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(300, max(BAR, self.fontMetrics().height()) + GAP)

    def minimumSizeHint(self) -> QSize:
        return QSize(40, self.sizeHint().height())

    @property
    def words(self) -> tuple[str, str]:
        """What stands at the weak end and at the strong one."""
        return self._weak, self._strong

    def draw(self, cells: ModelCells | None) -> None:
        """Takes the ends of `cells`."""
        ends = cells.ends if cells else None
        self._weak = self._strong = ""
        if cells is not None and ends is not None:
            measure = cells.measure
            self._weak = f"{measure.weak}: {measure.say(ends[0])}"
            self._strong = f"{measure.strong}: {measure.say(ends[1])}"
        spread = f", {cells.measure.spread.value} scale" if cells else ""
        said = f"{self._weak} at the weak end, {self._strong} at the strong end{spread}" if ends else ""
        self.setAccessibleDescription(said)
        self.setToolTip(tip_text(said))
        self.update()

    def mark(self, shade: float) -> None:
        """Puts a tick at a shade from 0 to 1; NaN takes it away."""
        self._shade = shade
        self.update()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.FontChange):
            self.updateGeometry()
            self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        if not self._weak:
            return
        painter, theme = QPainter(self), Theme.of(self.palette())
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setFont(axis_font(self.font()))
        left = self._say(painter, 0.0, self._weak)
        metrics = painter.fontMetrics()
        marks = metrics.horizontalAdvance("odd") + metrics.horizontalAdvance("no figure") + 2 * BAR + 9 * GAP
        end = metrics.horizontalAdvance(self._strong) + GAP
        room = self.width() - left - end
        with_marks = room - marks >= 40
        bar = QRectF(left, (self.height() - BAR) / 2, max(20.0, min(LONGEST_BAR, room - marks * with_marks)), BAR)
        self._bar(painter, theme, bar)
        right = self._say(painter, bar.right() + GAP, self._strong)
        if with_marks:
            self._marks(painter, theme, right + 2 * GAP)

    def _say(self, painter: QPainter, left: float, text: str) -> float:
        """Writes `text` from `left` on; returns where what follows may begin."""
        painter.setPen(self.palette().windowText().color())
        width = painter.fontMetrics().horizontalAdvance(text)
        flags = Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(QRectF(left, 0, width + 2, self.height()), flags, text)
        return left + width + GAP

    def _bar(self, painter: QPainter, theme: Theme, bar: QRectF) -> None:
        table = theme.magnitudes
        painter.drawImage(bar, QImage(table.data, SHADES, 1, table.nbytes, QImage.Format.Format_RGB888))
        painter.setPen(theme.faint)
        painter.drawRect(bar)
        if not isnan(self._shade):
            x = bar.left() + bar.width() * self._shade
            painter.setPen(QPen(theme.accent, 3))
            painter.drawLine(QPointF(x, bar.top() - 2), QPointF(x, bar.bottom() + 2))

    def _marks(self, painter: QPainter, theme: Theme, left: float) -> None:
        """A triangle for odd tensors, a dot on grey for those without a figure."""
        middle = self.height() / 2
        painter.setPen(QPen(theme.text, 1.2))
        painter.setBrush(theme.background)
        corners = [QPointF(left, middle + 4), QPointF(left + 9, middle + 4), QPointF(left + 4.5, middle - 4)]
        painter.drawPolygon(QPolygonF(corners))
        left = self._say(painter, left + BAR + 2, "odd") + GAP
        painter.setPen(theme.faint)
        painter.setBrush(mixed(theme.background, theme.text, 0.14))
        box = QRectF(left, middle - BAR / 2, BAR, BAR)
        painter.drawRect(box)
        painter.setBrush(theme.faint)
        painter.drawEllipse(box.center(), 1.5, 1.5)
        self._say(painter, left + BAR + GAP, "no figure")
