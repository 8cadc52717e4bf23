"""What the Hub refused, beside where it was asked; and the page on it where a person can do something about that."""

from __future__ import annotations

import re

from PySide6.QtCore import QUrl
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QHBoxLayout, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text, sentence_case

OFFLINE = "What is on this computer can be opened all the same: see Downloaded."
_ADDRESS = re.compile(r"(?:https?://)?((?:127\.0\.0\.1|localhost|[\w-]+(?:\.[\w-]+)+)(?::\d+)?/[\w.-]+/[\w.-]*[\w-])")
_LOCAL = ("127.0.0.1", "localhost")


class HubNotice(QWidget):
    """Hidden until there is something to say."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.error: QtQuantError | None = None
        self.words = Text(wrap=True, warning=True).set_selectable()
        self.words.setAccessibleName("What the Hub said")
        self.link_button = Button(
            "Open its page", "open", name=f"{name}Link", tip="In the browser: terms are accepted there"
        )
        self.link_button.setAccessibleName("Open the page where terms are accepted")
        self._address = ""
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2 * GRID)
        line.addWidget(self.words, 1)
        line.addWidget(self.link_button)
        self.link_button.clicked.connect(lambda: open_address(self._address))
        self.show_error(None)

    @property
    def address(self) -> str:
        """Where terms are accepted; empty where there is nothing to accept."""
        return self._address

    def text(self) -> str:
        return self.words.text()

    def show_error(self, error: QtQuantError | None) -> None:
        """Shows `error`; None hides it."""
        self.error, self._address = error, ""
        self.setVisible(error is not None)
        if error is None:
            self.words.clear()
            return
        hint = OFFLINE if error.code == "hub-offline" else window_hint(error)
        self.words.setText(f"{sentence_case(error.message)}. {sentence_case(hint)}".strip())
        self._address = terms_of(error)
        self.link_button.setVisible(bool(self._address))


def terms_of(error: QtQuantError) -> str:
    """The address where the terms are accepted that `error` speaks of; empty where it speaks of none."""
    found = _ADDRESS.search(error.hint) if error.code == "hub-gated" else None
    if found is None:
        return ""
    return f"{'http' if found[1].startswith(_LOCAL) else 'https'}://{found[1]}"


def open_address(address: str) -> None:
    """Has the desktop's browser open `address`, where it is one of the web."""
    url = QUrl(address)
    if url.scheme() in ("http", "https") and url.host():
        QDesktopServices.openUrl(url)
