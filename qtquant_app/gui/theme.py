"""Dark and light: the system's palette with one accent, and the few colours that carry a meaning."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from string import Template

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QFont, QFontDatabase, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication

GRID = 4
"""Every distance is a multiple of this many pixels."""

ENVIRONMENT = "QTQUANT_THEME"


class ThemeName(StrEnum):
    SYSTEM = "system"
    LIGHT = "light"
    DARK = "dark"


@dataclass(frozen=True, slots=True)
class Colors:
    """What the palette has no role for. Each meaning also shows as a word or a shape, never by colour alone."""

    dark: bool
    accent: QColor
    on_accent: QColor
    text: QColor
    muted: QColor
    """Secondary text."""
    line: QColor
    """Frames and rules."""
    surface: QColor
    """Cards. In the dark they are lighter than the fields that lie on them, whose own frames hardly show."""
    good: QColor
    warn: QColor
    bad: QColor


def colors(palette: QPalette) -> Colors:
    """The colours that go with `palette`."""
    roles = (QPalette.ColorRole.Window, QPalette.ColorRole.WindowText, QPalette.ColorRole.Base)
    return _colors(*(palette.color(role).rgb() for role in roles))


@lru_cache(maxsize=8)  # asked for at every paint
def _colors(window_shade: int, text_shade: int, base_shade: int) -> Colors:
    window, text, base = (QColor.fromRgb(shade) for shade in (window_shade, text_shade, base_shade))
    dark = window.lightnessF() < 0.5
    pick = _DARK_MEANINGS if dark else _LIGHT_MEANINGS
    return Colors(
        dark=dark,
        accent=accent_color(dark),
        on_accent=QColor("#08131c" if dark else "#ffffff"),
        text=text,
        muted=mixed(window, text, 0.73),
        line=mixed(window, text, 0.16),
        surface=mixed(window, text, 0.05) if dark else base,
        good=QColor(pick["good"]),
        warn=QColor(pick["warn"]),
        bad=QColor(pick["bad"]),
    )


_LIGHT_MEANINGS = {"good": "#17702f", "warn": "#8a5a00", "bad": "#b3261e"}
_DARK_MEANINGS = {"good": "#56c271", "warn": "#e3b341", "bad": "#ff8a80"}


def accent_color(dark: bool) -> QColor:
    """The one accent: what is chosen, what is under way, where to press."""
    return QColor("#5ab0f0" if dark else "#0b62a8")


def mixed(one: QColor, other: QColor, share: float) -> QColor:
    """`one` with `share` of `other` in it."""
    parts = [a + (b - a) * share for a, b in zip(_rgb(one), _rgb(other), strict=True)]
    return QColor.fromRgbF(*parts)


def _rgb(color: QColor) -> tuple[float, float, float]:
    return color.redF(), color.greenF(), color.blueF()


def wanted_theme(choice: str) -> ThemeName:
    """The theme asked for: `choice`, or where that is "system" the environment variable QTQUANT_THEME."""
    if choice == ThemeName.SYSTEM:
        choice = os.environ.get(ENVIRONMENT, "") or ThemeName.SYSTEM
    return ThemeName(choice) if choice in set(ThemeName) else ThemeName.SYSTEM


def apply_theme(app: QApplication, theme: ThemeName) -> None:
    """Sets style and palette. With ThemeName.SYSTEM they follow the system's colour scheme from then on."""
    hints = app.styleHints()
    if app.property("theme") is None:
        app.setStyle("Fusion")  # one look and one density everywhere; its palette is the system's
        hints.colorSchemeChanged.connect(_follow)
    app.setProperty("theme", theme.value)
    hints.setColorScheme(_SCHEMES[theme])
    _follow()


_SCHEMES = {
    ThemeName.SYSTEM: Qt.ColorScheme.Unknown,
    ThemeName.LIGHT: Qt.ColorScheme.Light,
    ThemeName.DARK: Qt.ColorScheme.Dark,
}


def _follow() -> None:
    """Puts the accent into the system's palette, and a palette in its place where the platform ignores the wish."""
    app = QGuiApplication.instance()
    if not isinstance(app, QApplication):
        return
    wanted = _SCHEMES[ThemeName(app.property("theme"))]
    scheme = app.styleHints().colorScheme()
    honoured = wanted in (Qt.ColorScheme.Unknown, scheme)
    dark = (scheme if honoured else wanted) == Qt.ColorScheme.Dark
    app.setPalette(_accented(QPalette() if honoured else _own_palette(dark), dark))
    framed = _framed(app.palette(), dark)
    for kind in FRAMED:
        app.setPalette(framed, kind)  # type: ignore[arg-type]  # the stubs want bytes, which are refused
    app.setStyleSheet(style_sheet(app.palette()))


FRAMED = ("QCheckBox", "QRadioButton", "QLineEdit", "QAbstractSpinBox", "QPlainTextEdit")
"""What is seen by its frame alone while it is empty. None of these paints the ground of the window."""
_FRAME = {True: "#8c8c8c", False: "#7c7c7c"}
_FUSION_DARKENS = 140
"""Fusion draws frames in the window's colour, darkened by this factor in percent: in the dark they would vanish."""


def _framed(palette: QPalette, dark: bool) -> QPalette:
    """`palette` for what has a frame: at least three times as bright or dark as what lies on both of its sides."""
    result = QPalette(palette)
    frame, window = QColor(_FRAME[dark]), palette.color(QPalette.ColorRole.Window)
    groups = QPalette.ColorGroup
    for group, shade in (
        (groups.Active, frame),
        (groups.Inactive, frame),
        (groups.Disabled, mixed(frame, window, 0.5)),
    ):
        result.setColor(group, QPalette.ColorRole.Window, shade.lighter(_FUSION_DARKENS))
    return result


def _accented(palette: QPalette, dark: bool) -> QPalette:
    accent = accent_color(dark)
    for role in (QPalette.ColorRole.Accent, QPalette.ColorRole.Highlight, QPalette.ColorRole.Link):
        palette.setColor(QPalette.ColorGroup.Active, role, accent)
        palette.setColor(QPalette.ColorGroup.Inactive, role, accent)
    palette.setColor(QPalette.ColorRole.HighlightedText, QColor("#08131c" if dark else "#ffffff"))
    base, text = palette.color(QPalette.ColorRole.Base), palette.color(QPalette.ColorRole.Text)
    palette.setColor(QPalette.ColorRole.PlaceholderText, mixed(base, text, 0.66))
    return palette


def _own_palette(dark: bool) -> QPalette:
    """A whole palette for platforms without a colour scheme of their own, such as offscreen."""
    shades = _DARK_SHADES if dark else _LIGHT_SHADES
    palette = QPalette(QColor(shades["button"]), QColor(shades["window"]))
    base, text = QColor(shades["base"]), QColor(shades["text"])
    for role in (QPalette.ColorRole.WindowText, QPalette.ColorRole.Text, QPalette.ColorRole.ButtonText):
        palette.setColor(role, text)
        palette.setColor(QPalette.ColorGroup.Disabled, role, mixed(base, text, 0.45))
    palette.setColor(QPalette.ColorRole.Base, base)
    palette.setColor(QPalette.ColorRole.AlternateBase, mixed(base, text, 0.04))
    palette.setColor(QPalette.ColorRole.ToolTipBase, QColor(shades["button"]))
    palette.setColor(QPalette.ColorRole.ToolTipText, text)
    return palette


def style_sheet(palette: QPalette) -> str:
    """Flat buttons, table headers and progress bars; everything else is the style's own."""
    tones = colors(palette)
    button = palette.color(QPalette.ColorRole.Button)
    faint = palette.color(QPalette.ColorGroup.Disabled, QPalette.ColorRole.ButtonText)
    names = {
        "text": tones.text,
        "faint": faint,
        "line": mixed(button, tones.text, 0.28),
        "rule": tones.line,
        "button": mixed(button, tones.surface, 0.5) if not tones.dark else mixed(button, tones.text, 0.06),
        "hover": mixed(button, tones.text, 0.1),
        "press": mixed(button, tones.text, 0.18),
        "head": mixed(tones.surface, tones.text, 0.05),
        "surface": tones.surface,
        "accent": tones.accent,
        "lit": mixed(tones.accent, tones.text, 0.15),
        "on": tones.on_accent,
        "off": mixed(palette.color(QPalette.ColorRole.Window), tones.text, 0.08),
    }
    return _SHEET.substitute({name: color.name() for name, color in names.items()})


_SHEET = Template("""
QPushButton { background: $button; color: $text; border: 1px solid $line; border-radius: 4px; padding: 3px 11px; }
QPushButton:hover { background: $hover; }
QPushButton:pressed { background: $press; }
QPushButton:focus { border-color: $accent; }
QPushButton:disabled { background: $off; color: $faint; border-color: $rule; }
QPushButton[primary="true"]:enabled { background: $accent; color: $on; border-color: $accent; }
QPushButton[primary="true"]:enabled:hover { background: $lit; }
QPushButton[primary="true"]:enabled:focus { border-color: $text; }
QPushButton[flat="true"] { background: transparent; border-color: transparent; color: $accent; padding: 1px 5px; }
QPushButton[flat="true"]:focus { border-color: $accent; }
QFrame[card="true"] { background: $surface; border: 1px solid $rule; border-radius: 4px; }
QTableView[rows="true"]::item { padding: 0px 5px; }
QTableView[rows="true"]::item:selected { background: $accent; color: $on; }
QTableView[rows="true"], QTreeView, QPlainTextEdit, QTextBrowser, QListView#recentList { border: 1px solid $line; }
QTableView[rows="true"]:focus, QTreeView:focus, QPlainTextEdit:focus, QTextBrowser:focus, QListView#recentList:focus {
    border-color: $accent; }
QHeaderView { background: $head; }
QHeaderView::section { background: $head; color: $text; border: none; border-bottom: 1px solid $rule;
    border-right: 1px solid $rule; padding: 3px 8px; }
QProgressBar { background: $off; border: none; border-radius: 3px; max-height: 8px; min-height: 8px; }
QProgressBar::chunk { background: $accent; border-radius: 3px; }
""")


_LIGHT_SHADES = {"window": "#efefef", "button": "#efefef", "base": "#ffffff", "text": "#1a1a1a"}
_DARK_SHADES = {"window": "#323232", "button": "#3a3a3a", "base": "#242424", "text": "#f0f0f0"}


def tabular(font: QFont) -> QFont:
    """`font` with figures of one width, so that columns of numbers align."""
    result = QFont(font)
    result.setFeature(QFont.Tag("tnum"), 1)
    return result


def fixed_font(like: QFont) -> QFont:
    """The system's fixed-width font at the size of `like`: for code and logs."""
    result = QFontDatabase.systemFont(QFontDatabase.SystemFont.FixedFont)
    if like.pointSizeF() > 0:
        result.setPointSizeF(like.pointSizeF())
    return result
