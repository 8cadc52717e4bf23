"""Text that is only ever text: names from a checkpoint are shown as they are, never read as markup."""

from __future__ import annotations

from html import escape

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QColor, QFont, QPalette, QResizeEvent
from PySide6.QtWidgets import QLabel, QSizePolicy

from qtquant_app.core.escaping import shortened, visible, visible_lines
from qtquant_app.gui.theme import colors, tabular

_LONGEST_TIP = 2_000
"""Characters; a screen's worth of one name helps nobody."""
_LONGEST_ENTRY = 120
_LONGEST_CELL = 400


def plain_tip(text: str) -> str:
    """`text` for a tooltip, which would otherwise guess whether it is markup."""
    shown = escape(visible_lines(shortened(text, _LONGEST_TIP))).replace("\n", "<br>")
    return f"<qt>{shown}</qt>" if text else ""


def tip_text(text: str) -> str:
    """As `plain_tip`; what could not pass for markup stays as it is, for whoever reads it back."""
    shown = visible_lines(shortened(text, _LONGEST_TIP))
    return plain_tip(shown) if "<" in shown else shown


def cell_text(text: str) -> str:
    """`text` for a cell: on one line, and no longer than is ever seen of it."""
    return visible(shortened(text, _LONGEST_CELL))


def mnemonic_safe(text: str) -> str:
    """`text` for a button or a menu: on one line, and with no ampersand to underline the next letter."""
    return visible(shortened(text, _LONGEST_ENTRY)).replace("&", "&&")


def sentence_case(text: str) -> str:
    """The engine's words start small, for `error:` to stand before them; on screen they start a sentence.

    A name at the start keeps its spelling.
    """
    return text[:1].upper() + text[1:] if text[:1].islower() and text.split(" ", 1)[0].isalpha() else text


class Text(QLabel):
    """A label in plain text. `muted` is for what explains; `size` is added to the font's points."""

    def __init__(
        self,
        text: str = "",
        *,
        muted: bool = False,
        bold: bool = False,
        size: float = 0,
        wrap: bool = False,
        warning: bool = False,
    ) -> None:
        super().__init__(visible_lines(text))
        self._shade: QColor | None = None
        self._tone = "muted" if muted else "warn" if warning else "text"
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(wrap)
        font = tabular(self.font())
        font.setPointSizeF(font.pointSizeF() + size)
        font.setWeight(QFont.Weight.DemiBold if bold else QFont.Weight.Normal)
        self.setFont(font)
        self._recolor()

    def setText(self, text: str) -> None:
        super().setText(visible_lines(text))

    def set_selectable(self) -> Text:
        """Lets mouse and keyboard select the text, so that it can be copied."""
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        return self

    def set_tone(self, tone: str) -> None:
        """Colours the text: "text", "muted", "good", "warn" or "bad". The words must say the same."""
        self._tone = tone
        self._recolor()

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._recolor()

    def _recolor(self) -> None:
        palette = QPalette()
        shade: QColor | None = getattr(colors(palette), self._tone) if self._tone != "text" else None
        if shade == self._shade:  # setting a palette ends up here again
            return
        self._shade = shade
        if shade is not None:
            palette.setColor(QPalette.ColorRole.WindowText, shade)
        self.setPalette(palette)


class Elided(Text):
    """A label that shortens its text where there is no room, and then shows all of it as a tooltip."""

    def __init__(
        self,
        text: str = "",
        *,
        mode: Qt.TextElideMode = Qt.TextElideMode.ElideMiddle,
        muted: bool = False,
        bold: bool = False,
        size: float = 0,
    ) -> None:
        super().__init__("", muted=muted, bold=bold, size=size)
        self._full = text
        self._mode = mode
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._fit()

    def full_text(self) -> str:
        return self._full

    def setText(self, text: str) -> None:
        self._full = text
        self._fit()

    def minimumSizeHint(self) -> QSize:
        return QSize(24, super().minimumSizeHint().height())

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        one_line = " ".join(self._full.split("\n"))
        shown = self.fontMetrics().elidedText(one_line, self._mode, self.width())
        super().setText(shown)
        self.setToolTip(plain_tip(self._full) if shown != self._full else "")
        self.setAccessibleDescription(self._full)
