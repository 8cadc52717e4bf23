"""How the original and the result go on with the same prompts, side by side; where they part is underlined."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QEvent
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QTextEdit, QVBoxLayout, QWidget

from qtquant_app.core.continuation import Continuation, Segment
from qtquant_app.core.escaping import html
from qtquant_app.gui.theme import GRID, colors, mixed
from qtquant_app.gui.widgets.text import Text

_TINT = 0.22
"""How much of the warning colour lies behind words that differ; the line under them says the same."""

_TAB = 4
_AS_WRITTEN = "margin:0;white-space:pre-wrap"
"""Programs are indented, and say so with blanks."""


class ContinuationsView(QWidget):
    """Hidden until there are continuations to show."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: tuple[Continuation, ...] = ()
        self.title = Text("What they say after the prompts; what differs is underlined", muted=True, wrap=True)
        self.page = QTextEdit()
        self.page.setObjectName("continuations")
        self.page.setAccessibleName("What both say after the prompts")
        self.page.setReadOnly(True)
        self.page.setTabChangesFocus(True)
        self.page.setMinimumHeight(48 * GRID)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(GRID)
        layout.addWidget(self.title)
        layout.addWidget(self.page, 1)
        self.hide()

    def show_continuations(self, continuations: Sequence[Continuation]) -> None:
        """Shows what was said; nothing hides the view."""
        self._shown = tuple(continuations)
        self.setVisible(bool(continuations))
        self._write()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.__dict__.get("_shown"):
            self._write()

    def _write(self) -> None:
        tones = colors(self.palette())
        shade = mixed(self.page.palette().base().color(), tones.warn, _TINT)
        self.page.setHtml("".join(_told(one, shade, tones.muted) for one in self._shown))


def _told(one: Continuation, shade: QColor, muted: QColor) -> str:
    """One prompt and both answers, as a part of a page."""
    faint = f'<span style="color:{muted.name()}">'
    cells = "".join(
        f'<td width="50%">{faint}{title}</span><p style="{_AS_WRITTEN}">{_marked(segments, shade)}</p></td>'
        for title, segments in (("Original", one.base), ("Quantized", one.own))
    )
    return (
        f"<p><b>{_plain(one.prompt)}</b> {faint}{_summary(one)}</span></p>"
        f'<table width="100%" cellspacing="0" cellpadding="{GRID}"><tr>{cells}</tr></table>'
    )


def _summary(one: Continuation) -> str:
    if one.first_difference is None:
        return f"the same {one.tokens:,} tokens"
    return f"{one.same_tokens:,} of {one.tokens:,} tokens the same, the first to differ is number {one.first_difference + 1:,}"


def _marked(segments: Iterable[Segment], shade: QColor) -> str:
    style = f"background-color:{shade.name()};text-decoration:underline"
    return "".join(_plain(s.text) if s.same else f'<span style="{style}">{_plain(s.text)}</span>' for s in segments)


def _plain(text: str) -> str:
    return "<br>".join(html(line.expandtabs(_TAB)) for line in text.split("\n"))
