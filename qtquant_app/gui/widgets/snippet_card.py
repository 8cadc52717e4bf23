"""Code that loads the result, ready to copy."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QPlainTextEdit

from qtquant_app.core.snippets import Snippet
from qtquant_app.gui.theme import fixed_font
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.choice_box import ChoiceBox


class SnippetCard(Card):
    """One of several snippets, chosen by who loads."""

    copied = Signal(str)
    """The title of the snippet."""

    def __init__(self) -> None:
        super().__init__("Load it")
        self.reader_combo = ChoiceBox()
        self.reader_combo.setObjectName("readerCombo")
        self.reader_combo.setAccessibleName("Loaded by")
        self.reader_combo.setMinimumContentsLength(16)
        self.copy_button = Button("&Copy", "copy", name="copySnippetButton", tip="Copies the code")
        self.code = QPlainTextEdit()
        self.code.setObjectName("snippetCode")
        self.code.setAccessibleName("Code that loads the result")
        self.code.setReadOnly(True)
        self.code.setTabChangesFocus(True)
        self.code.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.code.setFont(fixed_font(self.code.font()))
        self.header.addWidget(self.reader_combo)
        self.header.addWidget(self.copy_button)
        self.add(self.code, 1)
        self._snippets: tuple[Snippet, ...] = ()
        self.reader_combo.currentIndexChanged.connect(self._show)
        self.copy_button.clicked.connect(self._copy)

    def set_snippets(self, snippets: tuple[Snippet, ...]) -> None:
        self._snippets = snippets
        with QSignalBlocker(self.reader_combo):
            self.reader_combo.clear()
            self.reader_combo.addItems([snippet.title for snippet in snippets])
        self._show()

    def _show(self) -> None:
        at = self.reader_combo.currentIndex()
        self.code.setPlainText(self._snippets[at].code if 0 <= at < len(self._snippets) else "")
        self.copy_button.setEnabled(bool(self._snippets))

    def _copy(self) -> None:
        QGuiApplication.clipboard().setText(self.code.toPlainText())
        self.copied.emit(self.reader_combo.currentText())
