"""The knobs of a scheme."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.gui.pages.inspect import InspectPage
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.scheme_editor import FROM_SAMPLES, SchemeEditor
from qtquant_app.quant.methods import COMPOSITIONS, find, registry
from tests.gui.scripted import Script


@pytest.fixture
def editor(qtbot: QtBot) -> SchemeEditor:
    editor = SchemeEditor()
    qtbot.addWidget(editor)
    editor.show()
    return editor


@pytest.fixture
def changes(editor: SchemeEditor) -> list[Scheme]:
    seen: list[Scheme] = []
    editor.scheme_changed.connect(seen.append)
    return seen


def test_it_starts_at_the_default_scheme(editor: SchemeEditor) -> None:
    assert editor.scheme == Scheme()


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(),
        Scheme(bits=2, group_size=48, symmetric=False, method="mse"),
        Scheme(bits=8, strategy="channel", group_size=None, activations="int8"),
        Scheme(bits=3, strategy="tensor", group_size=None),
        Scheme.from_json({"type": "float", "bits": 8, "strategy": "block"}),
        Scheme.from_json({"type": "float", "bits": 8, "activations": "fp8"}),
        Scheme.from_json({"type": "float", "bits": 4, "group_size": 16}),
        Scheme.of_layout("Q6_K"),
        Scheme.of_layout("llama.cpp:Q4_K_M"),
    ],
)
def test_a_scheme_put_in_is_shown_unchanged_and_announces_nothing(
    editor: SchemeEditor, changes: list[Scheme], scheme: Scheme
) -> None:
    editor.set_scheme(scheme)
    assert editor.scheme == scheme
    assert editor._read() == scheme
    assert not changes


def test_each_knob_announces_its_change_once(editor: SchemeEditor, changes: list[Scheme]) -> None:
    editor.bits_combo.setCurrentText("3")
    editor.symmetric_check.setChecked(False)
    editor.group_combo.setCurrentText("64")
    assert changes == [
        Scheme(bits=3),
        Scheme(bits=3, symmetric=False),
        Scheme(bits=3, symmetric=False, group_size=64),
    ]


def test_only_the_group_strategy_has_a_group_size(editor: SchemeEditor, changes: list[Scheme]) -> None:
    editor.group_combo.setCurrentText("32")
    editor.strategy_combo.setCurrentIndex(editor.strategy_combo.findData("channel"))
    assert not editor.group_combo.isEnabled()
    editor.strategy_combo.setCurrentIndex(editor.strategy_combo.findData("group"))
    assert editor.group_combo.isEnabled()
    assert [scheme.group_size for scheme in changes] == [32, None, 32]


def test_int8_activations_fix_what_they_need_and_leaving_them_goes_back(
    editor: SchemeEditor, changes: list[Scheme]
) -> None:
    editor.set_scheme(Scheme(bits=3, group_size=32, symmetric=False))
    editor.activations_combo.setCurrentIndex(editor.activations_combo.findData("int8"))
    assert editor.scheme == Scheme(bits=8, strategy="channel", group_size=None, activations="int8")
    assert not editor.bits_combo.isEnabled()
    editor.activations_combo.setCurrentIndex(editor.activations_combo.findData("none"))
    assert editor.scheme == Scheme(bits=3, group_size=32, symmetric=False)
    assert editor.bits_combo.isEnabled()
    assert len(changes) == 2


def test_a_group_size_counts_when_it_is_typed_out(qtbot: QtBot, editor: SchemeEditor, changes: list[Scheme]) -> None:
    line = editor.group_combo.lineEdit()
    assert line is not None
    line.selectAll()
    qtbot.keyClicks(line, "96")
    assert not changes
    qtbot.keyClick(line, Qt.Key.Key_Return)
    assert [scheme.group_size for scheme in changes] == [96]


def test_an_empty_group_size_goes_back_to_the_last_one(
    qtbot: QtBot, editor: SchemeEditor, changes: list[Scheme]
) -> None:
    line = editor.group_combo.lineEdit()
    assert line is not None
    line.selectAll()
    qtbot.keyClick(line, Qt.Key.Key_Delete)
    line.clearFocus()
    line.editingFinished.emit()
    assert line.text() == "128"
    assert not changes


def _choose(combo: QComboBox, value: object) -> None:
    combo.setCurrentIndex(combo.findData(value))


def test_floating_point_codes_take_the_bits_and_groups_they_can(editor: SchemeEditor, changes: list[Scheme]) -> None:
    _choose(editor.type_combo, "float")
    assert editor.scheme.label == "MXFP4" and not editor.symmetric_check.isEnabled()
    _choose(editor.bits_combo, 8)
    assert editor.scheme.label == "FP8 ch" and not editor.group_combo.isEnabled()
    _choose(editor.strategy_combo, "block")
    assert editor.scheme.label == "FP8 128x128"
    _choose(editor.strategy_combo, "group")
    assert editor.scheme.bits == 4 and editor.group_combo.isEnabled()
    editor.group_combo.setCurrentText("16")
    assert editor.scheme.label == "NVFP4"
    _choose(editor.activations_combo, "fp8")
    assert editor.scheme.label == "FP8 ch A8"
    _choose(editor.activations_combo, "none")
    assert editor.scheme.label == "NVFP4"
    _choose(editor.type_combo, "int")
    assert editor.scheme.type == "int" and editor.symmetric_check.isEnabled()
    assert changes[-1] == editor.scheme


def test_a_block_layout_is_chosen_by_its_name_alone(editor: SchemeEditor, changes: list[Scheme]) -> None:
    assert editor.layout_combo.isHidden()
    _choose(editor.type_combo, "layout")
    assert editor.scheme == Scheme.of_layout("Q4_K") and editor.layout_combo.isVisible()
    assert not editor.bits_combo.isEnabled() and not editor.activations_combo.isEnabled()
    _choose(editor.layout_combo, "llama.cpp:Q5_K_M")
    assert editor.scheme.label == "Q5_K_M"
    _choose(editor.type_combo, "int")
    assert editor.scheme.layout is None and editor.layout_combo.isHidden()
    assert [s.label for s in changes] == ["Q4_K", "Q5_K_M", "W5 g32 asym"]


def test_a_prefix_keeps_object_names_apart(qtbot: QtBot) -> None:
    other = SchemeEditor("inspect")
    qtbot.addWidget(other)
    assert other.bits_combo.objectName() == "inspectBitsCombo"
    assert SchemeEditor().bits_combo.objectName() == "bitsCombo"


def test_a_method_that_does_not_work_per_tensor_gives_way_and_is_greyed_out(
    editor: SchemeEditor, changes: list[Scheme]
) -> None:
    editor.set_scheme(Scheme(method="mse"))
    editor.strategy_combo.setCurrentIndex(editor.strategy_combo.findData("tensor"))
    assert editor.scheme == Scheme(strategy="tensor", group_size=None, method="rtn")
    combo = editor.method_combo
    assert not combo.model().flags(combo.model().index(combo.findData("mse"), 0)) & Qt.ItemFlag.ItemIsEnabled


def test_every_method_and_the_usual_compositions_can_be_chosen_and_say_whether_they_look_at_samples(
    editor: SchemeEditor,
) -> None:
    combo = editor.method_combo
    offered = {combo.itemData(row): combo.itemText(row) for row in range(combo.count())}
    assert set(offered) == set(registry()) | set(COMPOSITIONS) and len(offered) == combo.count()
    assert {name for name, text in offered.items() if FROM_SAMPLES in text} == {
        name for name in offered if find(name).needs_calibration
    }
    assert offered["awq+gptq"] == f"AWQ, then GPTQ{FROM_SAMPLES}" and FROM_SAMPLES not in offered["hqq"]


def test_smoothquant_is_greyed_until_activations_are_quantized(editor: SchemeEditor) -> None:
    row = editor.method_combo.model().index(editor.method_combo.findData("smoothquant+gptq"), 0)
    assert not editor.method_combo.model().flags(row) & Qt.ItemFlag.ItemIsEnabled
    _choose(editor.activations_combo, "int8")
    assert editor.method_combo.model().flags(row) & Qt.ItemFlag.ItemIsEnabled


def test_a_composed_method_is_shown_by_its_title_and_gives_way_where_it_does_not_work(
    editor: SchemeEditor, changes: list[Scheme]
) -> None:
    both = Scheme(method="awq+gptq")
    editor.set_scheme(both)
    assert editor._read() == both and "AWQ" in editor.method_combo.currentText()
    assert "GPTQ" in editor.preview_note and not changes
    editor.bits_combo.setCurrentText("3")
    assert editor.scheme == Scheme(bits=3, method="awq+gptq")
    _choose(editor.activations_combo, "fp8")
    assert editor.scheme == Scheme.from_json({"type": "float", "bits": 8, "activations": "fp8"})
    combo = editor.method_combo
    assert not combo.model().flags(combo.model().index(combo.findData("awq+gptq"), 0)) & Qt.ItemFlag.ItemIsEnabled
    assert editor.preview_note == ""


def test_a_method_that_nobody_knows_stays_as_the_recipe_has_it(editor: SchemeEditor) -> None:
    editor.set_scheme(Scheme(method="of-tomorrow"))
    assert editor._read().method == "of-tomorrow" and editor.preview_note == ""


def test_views_without_meaning_are_greyed_and_left(qtbot: QtBot) -> None:
    page = InspectPage(Session(Script()))
    qtbot.addWidget(page)
    bar = page.picture.errors.choices
    bar.set_view(View.ZERO)
    for scheme, greyed in (
        (Scheme(8, "float", "channel", None), {View.ZERO}),
        (Scheme.of_layout("Q4_K"), {View.ZERO, View.SCALE, View.SATURATION}),
        (Scheme(), set()),
    ):
        page.panel.editor.set_scheme(scheme)
        page._turn(scheme)
        model = bar.view_combo.model()
        assert {view for row, view in enumerate(View) if not model.item(row).isEnabled()} == greyed  # type: ignore[attr-defined]
        assert bar.view is View.ABSOLUTE
        at = page.below.indexOf(page.explanation)
        assert page.below.isTabEnabled(at) == (not greyed)
        assert bool(page.below.tabToolTip(at)) == bool(greyed)
