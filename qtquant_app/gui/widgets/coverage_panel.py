"""The warning that little of a model is quantized: framed, with a sign and in words, where nobody misses it."""

from __future__ import annotations

from PySide6.QtCore import QRectF
from PySide6.QtGui import QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID, colors, mixed
from qtquant_app.gui.widgets.sentence import Sentence
from qtquant_app.gui.widgets.text import Text, sentence_case

TITLE = "\u26a0  Low coverage"


class CoveragePanel(QFrame):
    """Hidden where there is nothing to warn of."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self._title = Text(TITLE, bold=True, size=3)
        self._title.set_tone("bad")
        self._sentence = Sentence(bold=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 2 * GRID, 3 * GRID, 3 * GRID)
        layout.setSpacing(GRID)
        layout.addWidget(self._title)
        layout.addWidget(self._sentence)
        self.setVisible(False)

    def show_text(self, text: str) -> None:
        """Shows the sentence `text`; an empty one hides the panel."""
        self._sentence.setText(sentence_case(text))
        self.setAccessibleName(f"Warning, low coverage: {text}" if text else "")
        self.setVisible(bool(text))

    def text(self) -> str:
        """The sentence as it shows; empty where the panel is hidden."""
        return self._sentence.text()

    def paintEvent(self, event: QPaintEvent) -> None:
        tones = colors(self.palette())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(tones.bad, 2))
        painter.setBrush(mixed(tones.surface, tones.bad, 0.12))
        painter.drawRoundedRect(QRectF(self.rect()).adjusted(1, 1, -1, -1), GRID, GRID)
        painter.end()
