"""What an empty place says: what to do next, and the button that does it."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID, colors
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text


class Placeholder(QWidget):
    """A sentence, an explanation and, where there is one, a button, in the middle of a dashed frame."""

    def __init__(self, text: str, explanation: str = "", button: Button | None = None) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setSpacing(2 * GRID)
        layout.addStretch(1)
        self.sentence = Text(text, bold=True, wrap=True)
        self.explanation = Text(explanation, muted=True, wrap=True)
        for label in (self.sentence, self.explanation):
            label.setAlignment(Qt.AlignmentFlag.AlignHCenter)
            layout.addWidget(label)
        if button is not None:
            layout.addSpacing(GRID)
            layout.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addStretch(1)

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(colors(self.palette()).line, 1.5, Qt.PenStyle.DashLine))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), 2 * GRID, 2 * GRID)
        painter.end()
