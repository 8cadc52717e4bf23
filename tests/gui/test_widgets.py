"""Small widgets: text that stays text, errors beside their cause, fields that hold still."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QGuiApplication, QPalette
from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import PlanError, QtQuantError
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.output_state import suggest
from qtquant_app.gui.theme import ThemeName, apply_theme, colors
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.crash_panel import CrashPanel
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.facts import Facts
from qtquant_app.gui.widgets.icons import icon, picture
from qtquant_app.gui.widgets.text import Elided, Text, mnemonic_safe, plain_tip
from qtquant_app.jobs.job import internal
from tests.gui.inspect_samples import checkpoint

NASTY = "<img src=x onerror=alert(1)> & <b>bold</b>"


def test_names_are_never_read_as_markup(qtbot: QtBot) -> None:
    for label in (Text(NASTY), Elided(NASTY)):
        qtbot.addWidget(label)
        assert label.textFormat() is Qt.TextFormat.PlainText
    assert plain_tip(NASTY) == "<qt>&lt;img src=x onerror=alert(1)&gt; &amp; &lt;b&gt;bold&lt;/b&gt;</qt>"
    assert plain_tip("") == ""
    assert mnemonic_safe("a & b") == "a && b"


def test_a_long_text_is_shortened_and_whole_in_its_tooltip(qtbot: QtBot) -> None:
    label = Elided("model.layers.0." + "x" * 200)
    qtbot.addWidget(label)
    label.resize(120, 20)
    assert "…" in label.text()
    assert label.full_text() in label.toolTip()
    assert label.accessibleDescription() == label.full_text()
    label.setText("short")
    assert (label.text(), label.toolTip()) == ("short", "")


def test_facts_show_values_beside_their_names(qtbot: QtBot) -> None:
    facts = Facts(("Size", "Folder"), columns=2, elide=("Folder",))
    qtbot.addWidget(facts)
    facts.set("Size", "1 MB")
    facts.set("Folder", "/a/b")
    assert (facts.text("Size"), facts.text("Folder")) == ("1 MB", "/a/b")
    with pytest.raises(KeyError):
        facts.set("Colour", "blue")


def test_an_error_panel_hides_until_there_is_an_error(qtbot: QtBot) -> None:
    panel = ErrorPanel("panel")
    qtbot.addWidget(panel)
    assert panel.isHidden()
    panel.show_error(PlanError("group size 48 does not divide", hint="use --group-size 32"))
    assert panel.text() == "Group size 48 does not divide\nUse group size 32"
    assert panel.accessibleName() == "Error: group size 48 does not divide"
    panel.show_error(None)
    assert panel.isHidden()
    assert panel.text() == ""


def test_a_name_at_the_start_of_a_sentence_keeps_its_spelling(qtbot: QtBot) -> None:
    panel = ErrorPanel("panel")
    qtbot.addWidget(panel)
    panel.show_error(PlanError("model.norm.weight holds a NaN"))
    assert panel.text() == "model.norm.weight holds a NaN"


def test_the_cause_of_an_error_can_be_read_and_copied(qtbot: QtBot) -> None:
    panel = ErrorPanel("panel")
    qtbot.addWidget(panel)
    panel.show_error(internal(ValueError("deep")))
    panel.show()
    panel._details.click()
    report = panel.findChild(CrashPanel)
    assert report is not None
    report._copy()
    assert "ValueError: deep" in QGuiApplication.clipboard().text()


def test_hints_speak_of_the_window_and_not_of_options() -> None:
    assert "untick" in window_hint(QtQuantError("x", hint="use --resume", code="other-plan"))
    assert window_hint(QtQuantError("x", hint="leave it with --ignore a.b", code="non-finite")) == (
        "leave it with the ignore pattern a.b"
    )
    assert window_hint(QtQuantError("x", hint="use --bits 4", code="scheme")) == "use bits 4"
    assert window_hint(QtQuantError("x")) == ""


def test_every_drawing_is_tinted(qtbot: QtBot) -> None:
    from qtquant_app.assets import resource

    names = sorted(path.stem for path in resource("icons").glob("*.svg"))
    assert {"source", "inspect", "recipe", "run", "publish", "qtquant"} <= set(names)
    red = Qt.GlobalColor.red
    for name in names:
        image = picture(name, _color(red), 2).toImage()
        painted = [image.pixelColor(x, y) for x in range(image.width()) for y in range(image.height())]
        opaque = [color for color in painted if color.alpha() > 250]
        assert opaque, name
        if name != "qtquant":
            assert all((color.red(), color.green()) == (255, 0) for color in opaque), name
    assert not icon("run").isNull()


def _color(which: Qt.GlobalColor) -> QColor:
    return QColor(which)


def test_a_live_change_of_theme_recolours_words_and_drawings_inside_a_window(qtbot: QtBot, qapp: QApplication) -> None:
    apply_theme(qapp, ThemeName.LIGHT)
    window = QWidget()
    layout = QVBoxLayout(window)
    muted, plain, toned = Text("m", muted=True), Text("p"), Text("t")
    toned.set_tone("bad")
    button, primary = Button("Play", "play"), Button("Go", "play", primary=True)
    for widget in (muted, plain, toned, button, primary):
        layout.addWidget(widget)
    qtbot.addWidget(window)
    window.show()
    for theme in (ThemeName.DARK, ThemeName.LIGHT):
        apply_theme(qapp, theme)
        qapp.processEvents()
        tones = colors(qapp.palette())
        assert tones.dark is (theme is ThemeName.DARK)
        for label, shade in ((muted, tones.muted), (plain, tones.text), (toned, tones.bad)):
            assert label.palette().color(QPalette.ColorRole.WindowText).name() == shade.name()
        for pressed, shade in ((button, tones.text), (primary, tones.on_accent)):
            drawn = pressed.icon().pixmap(20, 20).toImage()
            painted = [drawn.pixelColor(x, y) for x in range(drawn.width()) for y in range(drawn.height())]
            assert {color.name() for color in painted if color.alpha() == 255} == {shade.name()}


def test_a_text_in_an_unchanged_theme_sets_its_palette_once(qtbot: QtBot, qapp: QApplication) -> None:
    apply_theme(qapp, ThemeName.LIGHT)
    calls: list[object] = []

    class Counting(Text):
        def setPalette(self, palette: QPalette | Qt.GlobalColor | QColor) -> None:
            calls.append(palette)
            super().setPalette(palette)

    label = Counting("m", muted=True)
    qtbot.addWidget(label)
    label.show()
    label.set_tone("muted")
    assert len(calls) == 1
    apply_theme(qapp, ThemeName.DARK)
    qapp.processEvents()
    assert len(calls) == 2


def test_a_button_is_called_by_its_words(qtbot: QtBot) -> None:
    button = Button("&Open folder…", "open", name="b", tip="Ctrl+O")
    qtbot.addWidget(button)
    assert (button.accessibleName(), button.accessibleDescription()) == ("Open folder", "Ctrl+O")


@pytest.mark.parametrize(
    ("label", "folder"),
    [
        ("sample", "sample-w4-g128-sym"),
        ("/models/Qwen3 0.6B/", "Qwen3-0.6B-w4-g128-sym"),
        ("C:\\models\\tiny.safetensors", "tiny-w4-g128-sym"),
        ("org/name", "name-w4-g128-sym"),
        ("..", "model-w4-g128-sym"),
    ],
)
def test_an_output_folder_is_named_after_checkpoint_and_scheme(label: str, folder: str) -> None:
    from dataclasses import replace
    from pathlib import Path

    from qtquant_app.core.recipe import Recipe

    assert suggest(replace(checkpoint(1), label=label), Recipe(), "/out") == str(Path("/out") / folder)
