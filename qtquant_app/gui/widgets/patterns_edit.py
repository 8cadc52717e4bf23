"""Patterns, one a line."""

from __future__ import annotations

from PySide6.QtCore import QSignalBlocker, QTimer, Signal
from PySide6.QtGui import QFocusEvent
from PySide6.QtWidgets import QPlainTextEdit

from qtquant_app.gui.theme import GRID, fixed_font

REST_MS = 400


class PatternsEdit(QPlainTextEdit):
    """Says `patterns_changed` once typing rests, or the focus leaves."""

    patterns_changed = Signal(tuple)
    """tuple[str, ...]"""

    def __init__(self, name: str, spoken: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setAccessibleName(spoken)
        self.setFont(fixed_font(self.font()))
        self.setTabChangesFocus(True)
        self.setLineWrapMode(QPlainTextEdit.LineWrapMode.NoWrap)
        self.setFixedHeight(self.fontMetrics().lineSpacing() * 4 + 4 * GRID)
        self._said: tuple[str, ...] = ()
        self._rest = QTimer(self, singleShot=True, interval=REST_MS)
        self._rest.timeout.connect(self._say)
        self.textChanged.connect(self._rest.start)

    def patterns(self) -> tuple[str, ...]:
        """The lines that are not empty, each once."""
        lines = (line.strip() for line in self.toPlainText().splitlines())
        return tuple(dict.fromkeys(line for line in lines if line))

    def set_patterns(self, patterns: tuple[str, ...]) -> None:
        """Shows `patterns`, saying nothing; text that already means them stays as it was typed."""
        self._said = patterns
        if patterns != self.patterns():
            with QSignalBlocker(self):
                self.setPlainText("\n".join(patterns))

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._say()

    def _say(self) -> None:
        self._rest.stop()
        patterns = self.patterns()
        if patterns != self._said:
            self._said = patterns
            self.patterns_changed.emit(patterns)
