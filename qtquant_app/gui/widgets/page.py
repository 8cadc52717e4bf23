"""The frame all pages share: a title, a line that explains, and room for actions beside them."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLayout, QScrollArea, QVBoxLayout, QWidget

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.text import Elided, Text


class Page(QWidget):
    """A page of the window. `content` takes what the page is about; `tools` stand at the right of the title."""

    def __init__(self, name: str, title: str, explanation: str = "") -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(title)
        self.tools = QHBoxLayout()
        self.tools.setSpacing(2 * GRID)
        self.explanation = Elided(explanation, mode=Qt.TextElideMode.ElideRight, muted=True)
        head = QHBoxLayout()
        head.setSpacing(3 * GRID)
        head.addWidget(Text(title, bold=True, size=4))
        head.addWidget(self.explanation, 1)
        head.addLayout(self.tools)
        self.content = QVBoxLayout(self)
        self.content.setContentsMargins(4 * GRID, 3 * GRID, 4 * GRID, 3 * GRID)
        self.content.setSpacing(3 * GRID)
        self.content.addLayout(head)


def scrolled(content: QWidget | QLayout, width: int = 0) -> QScrollArea:
    """`content` in an area that scrolls vertically where the window is too low for it."""
    if isinstance(content, QLayout):
        inner = QWidget()
        inner.setLayout(content)
    else:
        inner = content
    area = QScrollArea()
    area.setWidget(inner)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.viewport().setAutoFillBackground(False)
    inner.setAutoFillBackground(False)
    if width:
        area.setFixedWidth(width)
    return area
