"""Dark, light and the colours that carry a meaning."""

from __future__ import annotations

import pytest
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

from qtquant_app.gui.theme import ENVIRONMENT, Colors, ThemeName, apply_theme, colors, style_sheet, wanted_theme


def contrast(one: QColor, other: QColor) -> float:
    """WCAG's contrast ratio, 1 to 21."""

    def luminance(color: QColor) -> float:
        parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color.getRgbF()[:3]]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def themed(qapp: QApplication, theme: ThemeName) -> tuple[QPalette, Colors]:
    apply_theme(qapp, theme)
    return qapp.palette(), colors(qapp.palette())


@pytest.mark.parametrize("theme", [ThemeName.LIGHT, ThemeName.DARK])
def test_words_can_be_read_on_the_surfaces_they_stand_on(qapp: QApplication, theme: ThemeName) -> None:
    palette, tones = themed(qapp, theme)
    window = palette.color(QPalette.ColorRole.Window)
    for color in (tones.text, tones.muted, tones.good, tones.warn, tones.bad):
        assert contrast(color, tones.surface) >= 4.5
        assert contrast(color, window) >= 4.5
    assert contrast(tones.on_accent, tones.accent) >= 4.5
    assert contrast(tones.accent, window) >= 3
    highlight, on = (palette.color(r) for r in (QPalette.ColorRole.Highlight, QPalette.ColorRole.HighlightedText))
    assert contrast(highlight, on) >= 4.5


def test_dark_is_dark_and_light_is_light_even_where_the_platform_has_no_scheme(qapp: QApplication) -> None:
    assert themed(qapp, ThemeName.DARK)[1].dark
    assert not themed(qapp, ThemeName.LIGHT)[1].dark


def test_the_style_sheet_leaves_no_placeholder(qapp: QApplication) -> None:
    assert "$" not in style_sheet(qapp.palette())


def test_the_command_line_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wanted_theme("system") is ThemeName.SYSTEM
    monkeypatch.setenv(ENVIRONMENT, "dark")
    assert wanted_theme("system") is ThemeName.DARK
    assert wanted_theme("light") is ThemeName.LIGHT
    monkeypatch.setenv(ENVIRONMENT, "purple")
    assert wanted_theme("system") is ThemeName.SYSTEM
