"""A card as it reads: Markdown that fetches nothing, runs nothing, and opens a link only where somebody presses one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QByteArray, QUrl
from PySide6.QtGui import QImage, QPixmap, QTextDocument
from PySide6.QtWidgets import QTextBrowser

from qtquant_app.core.escaping import shortened, visible_lines
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.hub_notice import open_address

LONGEST = 40_000
"""Characters: what takes no longer to lay out than a blink."""
_MOST_LINE = 4_000
_NOTHING = QImage(1, 1, QImage.Format.Format_ARGB32)
_NOTHING.fill(0)


class MarkdownView(QTextBrowser):
    """Shows a text that anyone may have written. HTML in it stays text, and of pictures only those that are given show."""

    def __init__(self, name: str, spoken: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(spoken)
        self.setOpenLinks(False)
        self.document().setDocumentMargin(3 * GRID)
        self.anchorClicked.connect(lambda url: open_address(url.toString()))
        self._pictures: Mapping[str, bytes] = {}
        self.is_cut = False
        """Whether the text goes on beyond what is shown."""

    def show_text(self, text: str, pictures: Mapping[str, bytes] | None = None) -> None:
        """Shows Markdown; `pictures` by the names that stand in it."""
        self._pictures = pictures or {}
        self.is_cut = len(text) > LONGEST
        lines = visible_lines(text[:LONGEST].replace("\N{NO-BREAK SPACE}", " ")).split("\n")
        shown = "\n".join(shortened(line, _MOST_LINE) for line in lines)
        document = self.document()
        document.clear()
        document.setMarkdown(shown + ("\n\n…" if self.is_cut else ""), _FEATURES)
        self.verticalScrollBar().setValue(0)

    def loadResource(self, kind: int, name: QUrl | str) -> Any:
        """Only what was given along: no file of this computer, and no address of the web."""
        data = self._pictures.get(QUrl(name).toString())
        if data is None:
            return _NOTHING if kind == int(QTextDocument.ResourceType.ImageResource.value) else QByteArray()
        picture = QPixmap()
        picture.loadFromData(data)
        width = max(40 * GRID, self.viewport().width() - 8 * GRID)
        return picture.scaledToWidth(width) if picture.width() > width else picture


_FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
