"""What lies behind a message: its full text, to read and to copy."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QPlainTextEdit, QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID, fixed_font
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.sentence import Sentence
from qtquant_app.gui.widgets.text import sentence_case


class DetailsDialog(QDialog):
    """Shows a sentence and its detail beside the window, which stays usable."""

    def __init__(self, text: str, detail: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("detailsDialog")
        self.setWindowTitle("Details")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(640, 320)
        self._all = f"{text}\n{detail}".strip()
        sentence = Sentence(bold=True)
        sentence.setText(sentence_case(text))
        body = QPlainTextEdit(detail)
        body.setReadOnly(True)
        body.setAccessibleName("Details of the message")
        body.setFont(fixed_font(self.font()))
        copy, close = Button("&Copy", "copy"), Button("C&lose")
        copy.clicked.connect(self._copy)
        close.clicked.connect(self.close)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(copy)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(sentence)
        layout.addWidget(body, 1)
        layout.addLayout(buttons)

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self._all)
