"""The Inspect page, driven as a person drives it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PySide6.QtCore import QRect, QRectF, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QAbstractButton, QComboBox, QLabel, QLineEdit, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Rule
from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.gui.models.tensor_tree import Column
from qtquant_app.gui.pages.inspect import InspectPage
from qtquant_app.gui.session import Session
from qtquant_app.jobs.job import stop_all
from tests.gui.inspect_samples import LAYER, NORM, OTHER_LAYER, ScriptedVerbs, checkpoint, weights


@pytest.fixture
def verbs() -> ScriptedVerbs:
    return ScriptedVerbs()


@pytest.fixture
def session(qtbot: QtBot, verbs: ScriptedVerbs) -> Iterator[Session]:
    yield Session(verbs)
    stop_all()


@pytest.fixture
def page(qtbot: QtBot, session: Session) -> InspectPage:
    found = InspectPage(session)
    qtbot.addWidget(found)
    found.resize(1200, 640)
    found.show()
    qtbot.waitExposed(found)
    return found


@pytest.fixture
def opened(qtbot: QtBot, page: InspectPage, session: Session) -> InspectPage:
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan)):
        session._take(checkpoint())
    return page


def wait_for(qtbot: QtBot, page: InspectPage, layer: str, scheme: Scheme) -> None:
    def shown() -> None:
        preview = page.picture.preview
        assert preview is not None
        assert (preview.layer, preview.scheme) == (layer, scheme)

    qtbot.waitUntil(shown)


def sqnr_in_tree(page: InspectPage, name: str) -> str:
    text: str = page.layers.model.index_of(name).siblingAtColumn(Column.SQNR).data()
    return text


def drawn_view(page: InspectPage) -> View | None:
    preview = page.picture.preview
    return preview.picture.window.view if preview else None


def empty_text(page: InspectPage) -> str:
    empty = page.picture.empty
    return f"{empty.sentence.text()} {empty.explanation.text()}"


def test_an_empty_page_says_what_to_do(page: InspectPage) -> None:
    assert "Source page" in empty_text(page)
    assert page.picture.empty.isVisible()
    assert not page.panel.rule_button.isEnabled()


def test_an_open_checkpoint_asks_for_a_choice(opened: InspectPage) -> None:
    assert "Choose a tensor" in empty_text(opened)


def test_choosing_a_layer_shows_its_picture_and_its_figures(
    qtbot: QtBot, opened: InspectPage, session: Session
) -> None:
    opened.layers.tree.setCurrentIndex(opened.layers.model.index_of(LAYER))
    assert session.selection == LAYER
    wait_for(qtbot, opened, LAYER, Scheme())
    assert opened.picture.histogram.isVisible()
    assert opened.picture.title.full_text() == LAYER
    values = opened.figures.metrics.values
    preview = opened.picture.preview
    assert preview is not None
    assert values["SQNR"] == f"{preview.errors.sqnr_db:.2f} dB"
    assert values["Source size"] == "24.6 kB"
    assert sqnr_in_tree(opened, LAYER) == values["SQNR"]


def test_every_knob_asks_for_a_new_picture(
    qtbot: QtBot, opened: InspectPage, session: Session, verbs: ScriptedVerbs
) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    editor = opened.panel.editor
    editor.bits_combo.setCurrentText("3")
    editor.group_combo.setCurrentText("32")
    editor.symmetric_check.setChecked(False)
    editor.method_combo.setCurrentIndex(editor.method_combo.findData("mse"))
    last = Scheme(bits=3, group_size=32, symmetric=False, method="mse")
    assert verbs.asked[-1] == (LAYER, last)
    assert len(verbs.asked) == 5
    wait_for(qtbot, opened, LAYER, last)


def test_a_picture_of_a_calibrated_method_says_that_it_is_the_start(
    qtbot: QtBot, opened: InspectPage, session: Session
) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    assert opened.picture.note.text() == ""
    combo = opened.panel.editor.method_combo
    combo.setCurrentIndex(combo.findData("gptq"))
    wait_for(qtbot, opened, LAYER, Scheme(method="gptq"))
    assert "starts from: Clip search" in opened.picture.note.text() and opened.picture.note.isVisible()
    combo.setCurrentIndex(combo.findData("mse"))
    wait_for(qtbot, opened, LAYER, Scheme(method="mse"))
    assert opened.picture.note.text() == ""


def test_only_the_newest_request_is_shown(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    drawn: list[str] = []
    draw = opened.picture.draw
    opened.picture.draw = lambda preview, remark="": (drawn.append(preview.scheme.label), draw(preview, remark))  # type: ignore[method-assign,assignment,return-value,func-returns-value]
    session.select(LAYER)
    for bits in (2, 3, 5, 6, 8):
        opened.panel.editor.bits_combo.setCurrentText(str(bits))
    wait_for(qtbot, opened, LAYER, Scheme(bits=8))
    assert drawn == ["W8 g128 sym"]


def test_the_last_picture_stays_marked_until_the_next_arrives(
    qtbot: QtBot, opened: InspectPage, session: Session
) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    opened.picture.wait_for(LAYER, Scheme(bits=2))
    qtbot.waitUntil(lambda: "W2" in opened.picture.status.text())
    assert opened.picture.histogram.isVisible()
    opened.panel.editor.bits_combo.setCurrentText("2")
    wait_for(qtbot, opened, LAYER, Scheme(bits=2))
    assert opened.picture.status.text() == ""


def test_the_mark_of_a_sample_moves_nothing(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    shown = opened.picture.preview
    assert shown is not None

    def places() -> list[QRect]:
        qtbot.wait(20)
        return [part.geometry() for part in (opened.picture.title, opened.picture.histogram, opened.figures.metrics)]

    before = places()
    opened._draw(replace(shown, sampled=9))
    assert "sample: 9 of" in opened.picture.status.text() and opened.picture.status.isVisible()
    assert places() == before
    opened._draw(shown)
    assert opened.picture.status.text() == "" and places() == before


def test_sorting_moves_no_column_of_the_page(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    before = opened.splitter.sizes()
    opened.picture.errors.sort_columns.setChecked(True)
    opened.picture.errors.sort_rows.setChecked(True)
    qtbot.wait(200)
    assert opened.splitter.sizes() == before


def test_a_tensor_that_is_kept_is_shown_with_its_reason(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(NORM)
    wait_for(qtbot, opened, NORM, Scheme())
    assert opened.picture.histogram.isVisible() and opened.picture.note.isVisible()
    assert opened.picture.note.text().startswith("A run keeps this tensor (a reason);")
    assert not opened.panel.rule_button.isEnabled()
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    assert not opened.picture.note.isVisible()


def test_a_tensor_without_weights_says_so(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    made = checkpoint(blocks=1)
    empty = replace(made.tensors[3], shape=(0, 4), nbytes=0)
    session._take(replace(made, tensors=(*made.tensors[:3], empty, *made.tensors[4:])))
    session.select(empty.name)
    assert "has no weights" in empty_text(opened) and opened.inspection.part == ""


def test_another_view_asks_for_a_picture_of_it(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    combo = opened.picture.errors.choices.view_combo
    combo.setCurrentIndex(combo.findData(View.SIGNED))
    qtbot.waitUntil(lambda: drawn_view(opened) is View.SIGNED)
    opened.panel.editor.bits_combo.setCurrentText("3")
    wait_for(qtbot, opened, LAYER, Scheme(bits=3))
    assert drawn_view(opened) is View.SIGNED


def test_a_zoom_asks_for_the_window_it_shows(
    qtbot: QtBot, opened: InspectPage, session: Session, verbs: ScriptedVerbs
) -> None:
    verbs.source = lambda layer: weights(3000, 2100)
    verbs.cells = (3, 3)
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    opened.picture.errors.map.setRange(QRectF(100, 200, 60, 40), padding=0)
    qtbot.waitUntil(lambda: opened.picture.errors.map.part is not None)
    window = verbs.looked[-1]
    assert window.left <= 100 and window.right >= 160 and window.top <= 200 and window.bottom >= 240
    part = opened.picture.errors.map.part
    assert part is not None and part.cell_rows == part.cell_columns == 1


def test_what_is_pinned_is_explained_and_remembered(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    errors = opened.picture.errors
    errors.map.setFocus()
    qtbot.keyClick(errors.map, Qt.Key.Key_Right)
    place = opened.inspection.place
    assert place is not None and place == errors.place
    qtbot.keyClick(errors.map, Qt.Key.Key_Escape)
    assert opened.inspection.place is None


def test_a_refusal_stands_beside_the_last_picture_of_the_same_layer(
    qtbot: QtBot, opened: InspectPage, session: Session, verbs: ScriptedVerbs
) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    verbs.refusal = PlanError("a group of 96 does not divide 256 columns", hint="use 64")
    opened.panel.editor.group_combo.setCurrentText("96")
    qtbot.waitUntil(opened.picture.note.isVisible)
    assert opened.picture.note.text() == "A group of 96 does not divide 256 columns. Use 64."
    assert opened.picture.histogram.isVisible()
    verbs.refusal = None
    opened.panel.editor.group_combo.setCurrentText("64")
    wait_for(qtbot, opened, LAYER, Scheme(group_size=64))
    assert not opened.picture.note.isVisible()


def test_the_name_of_a_tensor_keeps_its_first_letter(
    qtbot: QtBot, opened: InspectPage, session: Session, verbs: ScriptedVerbs
) -> None:
    verbs.refusal = PlanError("lm_head.weight: it is odd")
    session.select(LAYER)
    qtbot.waitUntil(lambda: empty_text(opened) == "lm_head.weight: it is odd. ")


def test_a_refusal_for_another_layer_takes_the_place_of_the_picture(
    qtbot: QtBot, opened: InspectPage, session: Session, verbs: ScriptedVerbs
) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    verbs.refusal = PlanError("row 3, column 5 is NaN")
    session.select(OTHER_LAYER)
    qtbot.waitUntil(lambda: opened.picture.empty.isVisible())
    assert empty_text(opened) == "Row 3, column 5 is NaN. "
    assert opened.picture.title.full_text() == OTHER_LAYER
    assert opened.figures.metrics.values["SQNR"] == "\u2013"


def test_the_scheme_can_be_used_for_the_whole_model(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    assert not opened.panel.model_button.isEnabled()
    opened.panel.editor.bits_combo.setCurrentText("8")
    qtbot.mouseClick(opened.panel.model_button, Qt.MouseButton.LeftButton)
    assert session.recipe.default == Scheme(bits=8)
    assert not opened.panel.model_button.isEnabled()


def test_the_scheme_can_become_a_rule_for_the_layer(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    assert not opened.panel.rule_button.isEnabled()
    opened.panel.editor.bits_combo.setCurrentText("8")
    with qtbot.waitSignal(session.plan_changed):
        qtbot.mouseClick(opened.panel.rule_button, Qt.MouseButton.LeftButton)
    assert session.recipe.rules == (Rule(LAYER.removesuffix(".weight"), Scheme(bits=8)),)
    assert not opened.panel.rule_button.isEnabled()
    assert "already" in opened.panel.hint.text()
    tree = opened.layers.model
    assert tree.index_of(LAYER).siblingAtColumn(Column.SCHEME).data() == "W8 g128 sym"


def test_what_is_chosen_in_the_tree_becomes_one_rule(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    opened.panel.editor.bits_combo.setCurrentText("8")
    names = [f"model.layers.{block}.mlp.down_proj.weight" for block in range(12)]
    opened.inspection.set_chosen((*names, NORM))
    assert "the 12 tensors chosen, in one rule" in opened.panel.rule_button.toolTip()
    qtbot.mouseClick(opened.panel.rule_button, Qt.MouseButton.LeftButton)
    assert session.recipe.rules == (Rule("*.down_proj", Scheme(bits=8)),)
    opened.inspection.set_chosen(tuple(names[:4]))
    opened.panel.editor.bits_combo.setCurrentText("6")
    qtbot.mouseClick(opened.panel.rule_button, Qt.MouseButton.LeftButton)
    assert [rule.pattern for rule in session.recipe.rules] == ["model.layers.[0-3].mlp.down_proj", "*.down_proj"]
    assert session.history.undoText() == "rule for model.layers.[0-3].mlp.down_proj"


def test_a_default_chosen_elsewhere_turns_the_knobs(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    session.set_default_scheme(Scheme(bits=5))
    assert opened.panel.scheme == Scheme(bits=5)
    wait_for(qtbot, opened, LAYER, Scheme(bits=5))


def test_the_errors_of_a_run_reach_the_tree(opened: InspectPage, session: Session) -> None:
    report = TensorReport(OTHER_LAYER, Scheme(), 100, ErrorSums(10, 1.0, 1000.0, 1000.0, 0.5))
    session.tensor_reported.emit([report])
    assert sqnr_in_tree(opened, OTHER_LAYER) == "30.00 dB"


def test_another_checkpoint_starts_afresh(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    session._take(checkpoint(blocks=2))
    assert opened.picture.preview is None
    assert opened.layers.model.total == 19
    assert sqnr_in_tree(opened, LAYER) == ""
    session.close()
    assert "Source page" in empty_text(opened)


def test_the_figures_can_be_copied(qtbot: QtBot, opened: InspectPage, session: Session) -> None:
    session.select(LAYER)
    wait_for(qtbot, opened, LAYER, Scheme())
    metrics = opened.figures.metrics
    qtbot.keyClick(metrics, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = QGuiApplication.clipboard().text().splitlines()
    assert dict(line.split("\t") for line in lines) == metrics.values
    metrics.selectRow(3)
    qtbot.keyClick(metrics, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == f"SQNR\t{metrics.values['SQNR']}"


def test_ctrl_f_goes_to_the_filter(qtbot: QtBot, opened: InspectPage) -> None:
    opened.layers.focus_filter()
    assert opened.layers.filter_edit.hasFocus()
    qtbot.keyClick(opened.layers.filter_edit, Qt.Key.Key_Down)
    assert opened.layers.tree.hasFocus()


def test_everything_interactive_has_an_accessible_name(opened: InspectPage) -> None:
    kinds = (QAbstractButton, QComboBox, QLineEdit)
    found = [child for child in opened.findChildren(QWidget) if isinstance(child, kinds) and child.isVisible()]
    inner = ("qt_spinbox_lineedit", "")  # the line of an editable combo box, the button that clears a line
    named = [child for child in found if child.objectName() not in inner]
    assert len(named) >= 12
    assert [child.objectName() for child in named if not child.accessibleName()] == []
    for name in ("layerTree", "histogramPlot", "errorMap", "metricsTable", "groupErrorPlot", "channelErrorPlot"):
        child = opened.findChild(QWidget, name)
        assert child is not None, name
        assert child.accessibleName()


def test_names_from_files_are_plain_text_everywhere(opened: InspectPage) -> None:
    fixed = {
        "&Bits",
        "Block",
        "Ty&pe",
        "Sc&ales",
        "&group",
        "Met&hod",
        "Acti&vations",
        "By &depth",
        "&Colour by",
    }
    labels = [label for label in opened.findChildren(QLabel) if label.text() not in fixed]
    assert len(labels) > 8
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}


def test_it_fits_the_smallest_window(opened: InspectPage) -> None:
    assert opened.minimumSizeHint().width() <= 1100
    assert opened.minimumSizeHint().height() <= 600
