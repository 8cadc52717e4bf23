"""Buttons: the one to press next stands out, the others stay calm."""

from __future__ import annotations

from PySide6.QtCore import QEvent
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QPushButton

from qtquant_app.gui.theme import colors
from qtquant_app.gui.widgets.icons import icon
from qtquant_app.gui.widgets.text import tip_text


class Button(QPushButton):
    """A push button with one of the program's drawings, tinted anew when the theme changes."""

    def __init__(self, text: str, drawing: str = "", *, name: str = "", tip: str = "", primary: bool = False) -> None:
        super().__init__(text)
        self._drawing = drawing
        self._primary = primary
        self.setAccessibleName(text.replace("&", "").rstrip("…"))
        self.setAutoDefault(False)
        self.setProperty("primary", primary)
        if name:
            self.setObjectName(name)
        if tip:
            self.setToolTip(tip_text(tip))
            self.setAccessibleDescription(tip)
        self._recolor()

    def set_drawing(self, drawing: str) -> None:
        self._drawing = drawing
        self._recolor()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() in (QEvent.Type.PaletteChange, QEvent.Type.EnabledChange):
            self._recolor()

    def _recolor(self) -> None:
        tones = colors(QPalette())
        lit = self._primary and self.isEnabled()
        if self._drawing:
            self.setIcon(icon(self._drawing, tones.on_accent if lit else None))
