"""One weight, explained: the panel follows what is pinned, and everything it shows can be read, heard and copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.bits import Field, Number, Word
from qtquant_app.core.derivation import full_text
from qtquant_app.core.errors import PlanError
from qtquant_app.core.explanation import Explanation
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import ThemeName, apply_theme
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.bit_strip import BitStrip
from qtquant_app.gui.widgets.explanation_panel import ExplanationPanel, folded
from tests.checkpoints import small_llama
from tests.gui.inspect_samples import LAYER, OTHER_LAYER, synthetic, weights
from tests.gui.scripted import Script

ENGINE_MS = 60_000
"""The first explanation on a machine compiles the kernels."""


class Held:
    """The panel in a column 300 pixels wide, over verbs of one's own."""

    def __init__(self, qtbot: QtBot, verbs: Verbs, source: str) -> None:
        self.qtbot, self.session, self.inspection = qtbot, Session(verbs), Inspection(Scheme(group_size=32))
        with qtbot.waitSignal(self.session.checkpoint_changed, timeout=ENGINE_MS):
            self.session.open(source)
        self.panel = ExplanationPanel(self.session, self.inspection)
        qtbot.addWidget(self.panel)
        self.panel.resize(300, 700)
        self.panel.show()
        qtbot.waitExposed(self.panel)

    def pin(self, rows: tuple[int, int], columns: tuple[int, int], layer: str = LAYER) -> Explanation:
        """Pins a place and waits for what is said of it."""
        self.inspection.set_part(layer)
        return self.after(lambda: self.inspection.set_place(Place(rows, columns)))

    def after(self, act: Callable[[], object]) -> Explanation:
        with self.qtbot.waitSignal(self.panel.explanations.result, timeout=ENGINE_MS):
            act()
        assert self.panel.explanation is not None
        return self.panel.explanation

    def shown(self) -> str:
        """Everything on the panel, as a reader sees it."""
        texts = [self.panel.where.text(), self.panel.under.text()]
        for view in self.panel.views:
            texts += [view.title.text(), view.formula.text(), view.note.text()]
        return "\n".join(texts)


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def held(qtbot: QtBot, verbs: Script) -> Held:
    return Held(qtbot, verbs, "made up")


def test_an_empty_panel_says_what_to_do(held: Held, verbs: Script) -> None:
    assert held.panel.currentWidget() is held.panel.empty
    assert "Pin a weight on the map" in held.panel.empty.sentence.text()
    held.inspection.set_part(LAYER)
    held.inspection.set_scheme(Scheme(3))
    assert verbs.explained == []


def test_what_is_pinned_is_explained_and_letting_go_empties_the_panel(held: Held, verbs: Script) -> None:
    held.pin((3, 4), (5, 6))
    assert verbs.explained == [(LAYER, Scheme(group_size=32), (3, 4), (5, 6), "compressed-tensors", None)]
    assert held.panel.currentWidget() is held.panel.area
    assert "Row 3, column 5" in held.shown() and "u = 2 + 8 = 10" in held.shown()
    held.inspection.set_place(None)
    assert held.panel.currentWidget() is held.panel.empty and held.panel.explanation is None


def test_of_a_cell_it_says_that_the_weight_is_its_worst(held: Held) -> None:
    held.pin((0, 4), (0, 128))
    assert "The largest error in rows 0 to 3, columns 0 to 127." in held.panel.under.text()


def test_scheme_place_and_format_are_followed(held: Held, verbs: Script) -> None:
    held.pin((3, 4), (5, 6))
    held.after(lambda: held.inspection.set_scheme(Scheme(8, group_size=64)))
    held.after(lambda: held.inspection.set_place(Place((3, 4), (6, 7))))
    held.after(lambda: held.session.set_recipe(replace(held.session.recipe, format="qtquant")))
    held.session.set_recipe(replace(held.session.recipe, ignore=("a.*",)))  # no other format, no other bits
    assert [asked[1:5] for asked in verbs.explained[1:]] == [
        (Scheme(8, group_size=64), (3, 4), (5, 6), "compressed-tensors"),
        (Scheme(8, group_size=64), (3, 4), (6, 7), "compressed-tensors"),
        (Scheme(8, group_size=64), (3, 4), (6, 7), "qtquant"),
    ]


def test_another_tensor_lets_go_of_the_weight(held: Held) -> None:
    held.pin((3, 4), (5, 6))
    held.inspection.set_part(OTHER_LAYER)
    assert held.panel.currentWidget() is held.panel.empty


def test_the_range_of_an_exact_preview_spares_the_engine_a_pass(held: Held, verbs: Script) -> None:
    held.inspection.set_part(LAYER)
    scheme = Scheme(group_size=32)
    exact = synthetic(LAYER, scheme, weights())
    held.inspection.set_preview(exact)
    held.pin((3, 4), (5, 6))
    assert verbs.explained[-1][-1] == exact.weight_range
    held.pin((3, 4), (5, 6), OTHER_LAYER)
    assert verbs.explained[-1][-1] is None
    held.inspection.set_preview(synthetic(OTHER_LAYER, scheme, weights(), sampled=3))
    held.after(lambda: held.inspection.set_place(Place((1, 2), (5, 6))))
    assert verbs.explained[-1][-1] is None


def test_a_refusal_is_said_in_its_place_with_what_to_do(held: Held, verbs: Script) -> None:
    held.pin((3, 4), (5, 6))
    verbs.refusal = PlanError("the tensor cannot be held", hint="choose another group size")
    with held.qtbot.waitSignal(held.panel.explanations.failed):
        held.inspection.set_scheme(Scheme(3))
    assert held.panel.empty.sentence.text() == "The tensor cannot be held"
    assert held.panel.empty.explanation.text() == "choose another group size"


def test_ctrl_c_copies_all_of_it_and_a_selection_alone_where_there_is_one(held: Held) -> None:
    found = held.pin((3, 4), (5, 6))
    clipboard = QGuiApplication.clipboard()
    for widget in (held.panel.area, held.panel.views[0].formula):
        clipboard.clear()
        held.qtbot.keyClick(widget, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
        assert clipboard.text() == full_text(found)
    clipboard.clear()
    held.panel.copy_button.click()
    assert clipboard.text() == full_text(found)
    formula = held.panel.views[0].formula
    formula.setFocus()
    formula.setSelection(0, 3)
    held.qtbot.keyClick(formula, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert clipboard.text() == formula.text()[:3]


def test_whoever_hears_it_hears_all_of_it(held: Held) -> None:
    found = held.pin((3, 4), (5, 6))
    assert held.panel.accessibleName() == "One weight, explained"
    assert held.panel.accessibleDescription() == full_text(found)
    strips = [strip for view in held.panel.views for strip in view.strips if strip.isVisibleTo(held.panel)]
    assert [strip.word.name for strip in strips if strip.word] == ["weight", "scale", "weight_packed[3, 0]"]
    assert "exponent 01111110" in strips[0].accessibleName()
    assert "code 1010" in strips[2].accessibleName()
    assert held.panel.area.focusPolicy() == Qt.FocusPolicy.StrongFocus and held.panel.copy_button.accessibleName()


def test_a_long_formula_goes_on_below_before_an_operator_and_further_in() -> None:
    assert folded("  = (0.5 - 1.25) / 15", 40) == ["  = (0.5 - 1.25) / 15"]
    assert folded("  = (0.39453125 - (-0.369140625)) / 15", 36) == ["  = (0.39453125 - (-0.369140625))", "      / 15"]
    assert folded("x" * 30, 20) == ["x" * 30], "nowhere to break"
    long = "w = " + " + ".join(str(n) for n in range(1000, 1020))
    assert all(len(part) <= 24 for part in folded(long, 24))
    assert " ".join(part.strip() for part in folded(long, 24)) == long


def test_it_fits_a_narrow_column(held: Held) -> None:
    held.pin((3, 4), (5, 6))
    assert held.panel.minimumSizeHint().width() <= 300
    inner = held.panel.area.widget()
    assert inner.width() <= 300
    strips = [strip for view in held.panel.views for strip in view.strips if strip.isVisible()]
    assert len(strips) == 3 and all(strip.geometry().right() < 300 for strip in strips)


def painted(qtbot: QtBot, word: Word) -> QImage:
    strip = BitStrip()
    qtbot.addWidget(strip)
    strip.set_word(word)
    strip.resize(290, strip.sizeHint().height())
    return strip.grab().toImage()


@pytest.mark.parametrize("theme", [ThemeName.LIGHT, ThemeName.DARK])
def test_lit_bits_differ_from_the_others_in_grey_too(qtbot: QtBot, qapp: QApplication, theme: ThemeName) -> None:
    apply_theme(qapp, theme)
    fields = [Field("code" if low == 4 else f"column {low}", low, 4, low == 4) for low in (12, 8, 4, 0)]
    lit = painted(qtbot, Word("w", "U16", 0x5555, tuple(fields)))
    plain = painted(qtbot, Word("w", "U16", 0x5555, tuple(replace(field, lit=False) for field in fields)))
    grey = QImage.Format.Format_Grayscale8
    assert lit.convertToFormat(grey) != plain.convertToFormat(grey)
    apply_theme(qapp, ThemeName.LIGHT)


@pytest.mark.parametrize(("dtype", "rows"), [("F8_E4M3", 1), ("BF16", 1), ("F32", 2), ("F64", 4)])
def test_a_wide_word_goes_on_below(qtbot: QtBot, dtype: str, rows: int) -> None:
    strip = BitStrip()
    qtbot.addWidget(strip)
    strip.set_word(Number("BF16", 0, 0.0).word("weight"))
    one, title = strip.sizeHint().height(), strip._title_height()
    strip.set_word(Number(dtype, 0, 0.0).word("weight"))
    assert strip.sizeHint().height() == pytest.approx(title + rows * (one - title), abs=2)
    assert not strip.grab().isNull()


def test_the_engine_explains_a_weight_of_a_real_file(qtbot: QtBot, tmp_path: Path) -> None:
    held = Held(qtbot, Verbs(), str(small_llama(tmp_path / "llama")))
    layer = "model.layers.1.mlp.down_proj.weight"
    found = held.pin((63, 64), (127, 128), layer)
    assert (found.layer, found.row, found.column) == (layer, 63, 127)
    assert f"{found.code:04b} in binary" in held.shown()
    assert "weight_packed[63, 15], I32, bits 28 to 31" in held.shown()
