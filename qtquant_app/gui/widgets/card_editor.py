"""The model card before it goes: how it reads, and its text to change."""

from __future__ import annotations

import re
from collections.abc import Mapping

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QPlainTextEdit, QTabWidget

from qtquant_app.core.publication import Prepared
from qtquant_app.core.quantities import plural
from qtquant_app.gui.theme import GRID, fixed_font
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.markdown_view import MarkdownView
from qtquant_app.gui.widgets.text import Text, sentence_case

_DRAW_MS = 300
_HEAD = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)
_SEAL = re.compile(r"<!-- qtquant card [0-9a-f]{64} -->\s*\Z")
_WAITING = "The card is being written from the result's measurements…"


class CardEditor(Card):
    """Made from measurements; whatever is changed here goes as it is."""

    keep_wanted = Signal(str)
    """The text, to be kept as the result's README.md."""
    fresh_wanted = Signal()

    def __init__(self) -> None:
        super().__init__("Model card")
        self.setObjectName("cardEditor")
        self._prepared: Prepared | None = None
        self._pictures: Mapping[str, bytes] = {}
        self.preview = MarkdownView("cardPreview", "How the card reads")
        self.edit = QPlainTextEdit()
        self.tabs = QTabWidget()
        self.keep_button = Button(
            "Keep as README.md", "save", name="keepCardButton", tip="Writes it into the result's folder"
        )
        self.undo_button = Button("Drop the changes", name="dropCardButton", tip="Shows the card again as it was made")
        self.state = Text(_WAITING, muted=True, wrap=True)
        self._timer = QTimer(self, singleShot=True, interval=_DRAW_MS)
        self._lay_out()
        self._connect()
        self.clear()

    @property
    def text(self) -> str | None:
        """The text as somebody has changed it; None where nobody has, and the engine's own goes."""
        if self._prepared is None or self._typed == self._prepared.text:
            return None
        return self._typed

    @property
    def _typed(self) -> str:
        """As it stands in the field, non-breaking spaces among it, for which Qt's plain text has ordinary ones."""
        return self.edit.document().toRawText().replace("\u2029", "\n")

    @property
    def ready(self) -> bool:
        return self._prepared is not None

    def clear(self, words: str = _WAITING) -> None:
        """There is no card yet."""
        self._prepared = None
        self.edit.setPlainText("")
        self.preview.show_text("")
        self.state.setText(words)
        self._offer()

    def show_card(self, prepared: Prepared) -> None:
        """Shows what would be published; what was typed since the last one stays."""
        typed = self.text
        self._prepared, self._pictures = prepared, prepared.pictures
        self.edit.setPlainText(prepared.text if typed is None else typed)
        whose = (
            "Written by hand: it is the result's own README.md"
            if prepared.own
            else "Made from the result's measurements"
        )
        notes = "".join(f" {sentence_case(_spoken(text))}." for text in prepared.warnings)
        pictures = f", with {plural(len(prepared.pictures), 'picture')}" if prepared.pictures else ""
        self.state.setText(f"{whose}{pictures}.{notes}")
        self._draw()

    def _lay_out(self) -> None:
        self.edit.setObjectName("cardEdit")
        self.edit.setAccessibleName("Text of the card")
        self.edit.setFont(fixed_font(self.edit.font()))
        self.edit.setTabChangesFocus(True)
        self.tabs.setObjectName("cardTabs")
        self.tabs.setAccessibleName("The card")
        self.tabs.addTab(self.preview, "Preview")
        self.tabs.addTab(self.edit, "Text")
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.state, 1)
        line.addWidget(self.undo_button)
        line.addWidget(self.keep_button)
        self.add(self.tabs, 1)
        self.add(line)

    def _connect(self) -> None:
        self.edit.textChanged.connect(self._timer.start)
        self.edit.textChanged.connect(self._offer)
        self._timer.timeout.connect(self._draw)
        self.keep_button.clicked.connect(lambda: self.keep_wanted.emit(self._typed))
        self.undo_button.clicked.connect(self._drop)

    def _drop(self) -> None:
        if self._prepared is not None:
            self.edit.setPlainText(self._prepared.text)

    def _draw(self) -> None:
        self._timer.stop()
        self.preview.show_text(readable(self._typed), self._pictures)
        self._offer()

    def _offer(self) -> None:
        self.edit.setReadOnly(self._prepared is None)
        for button in (self.keep_button, self.undo_button):
            button.setEnabled(self.text is not None)


def _spoken(warning: str) -> str:
    """The window has a line where the command line has an option."""
    return warning.replace("give it as --base-model ORG/NAME", "give it under Made from")


def readable(text: str) -> str:
    """A card for the eye: its fields as a block of their own, its seal away."""
    body = _SEAL.sub("", text)
    found = _HEAD.match(body)
    return body if found is None else f"```yaml\n{found[1]}\n```\n\n{body[found.end() :]}"
