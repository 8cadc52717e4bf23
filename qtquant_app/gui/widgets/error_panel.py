"""An error beside its cause: the sentence, what to do about it, and the detail on request."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt
from PySide6.QtGui import QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QVBoxLayout, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.gui.crash import show_report
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.session import error_detail
from qtquant_app.gui.theme import GRID, colors, mixed
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.details import DetailsDialog
from qtquant_app.gui.widgets.sentence import Sentence
from qtquant_app.gui.widgets.text import sentence_case

WIDE = 100 * GRID
"""From this width on the button stands beside the words."""


class ErrorPanel(QFrame):
    """Hidden until there is an error to show."""

    def __init__(self, name: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(name)
        self.error: QtQuantError | None = None
        self._sentence = Sentence(bold=True)
        self._hint = Sentence()
        self._details = Button("Details…", tip="Shows all there is to know, ready to copy")
        self._details.clicked.connect(self._show_details)
        words = QVBoxLayout()
        words.setSpacing(GRID // 2)
        words.addWidget(self._sentence)
        words.addWidget(self._hint)
        self._layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        self._layout.setContentsMargins(4 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        self._layout.setSpacing(2 * GRID)
        self._layout.addLayout(words, 1)
        self._layout.addWidget(self._details, 0, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.setVisible(False)

    def show_error(self, error: QtQuantError | None) -> None:
        """Shows `error`; None hides the panel."""
        self.error = error
        self.setVisible(error is not None)
        if error is None:
            return
        self._sentence.setText(sentence_case(error.message))
        hint = window_hint(error)
        self._hint.setText(sentence_case(hint))
        self._hint.setVisible(bool(hint))
        self.setAccessibleName(f"Error: {error.message}")
        self.setAccessibleDescription(hint)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        beside = self.width() >= WIDE
        self._layout.setDirection(QBoxLayout.Direction.LeftToRight if beside else QBoxLayout.Direction.TopToBottom)

    def text(self) -> str:
        """What is to be read: sentence and hint."""
        return f"{self._sentence.text()}\n{self._hint.text()}".strip() if self.error else ""

    def _show_details(self) -> None:
        if self.error is not None and self.error.code == "internal":
            show_report(self.error, self.window())
        elif self.error is not None:
            DetailsDialog(self.error.message, error_detail(self.error), self.window()).show()

    def paintEvent(self, event: QPaintEvent) -> None:
        tones = colors(self.palette())
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        box = QRectF(self.rect())
        painter.setPen(mixed(tones.surface, tones.bad, 0.4))
        painter.setBrush(mixed(tones.surface, tones.bad, 0.08))
        painter.drawRoundedRect(box.adjusted(0.5, 0.5, -0.5, -0.5), GRID, GRID)
        painter.fillRect(QRectF(0, 2, GRID, box.height() - 4), tones.bad)
        painter.end()
