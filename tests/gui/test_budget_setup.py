"""What a budget may do: which schemes, which modules it must leave alone, which text it goes by; and that it is remembered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.budget import ALLOWED, schemes_for
from qtquant_app.gui.budget_gauge import BITS, LIKE, MEMORY, SIZE
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.widgets.budget_card import BudgetCard
from qtquant_app.gui.widgets.lint_card import READERS
from qtquant_app.gui.widgets.treatments_choice import KEEP
from tests.gui.budget_driver import FEW, W4, allow_few, ask, card_on_its_tab, measured, opened, solved
from tests.gui.budget_samples import Slow


@pytest.fixture
def verbs() -> Slow:
    return Slow()


@pytest.fixture
def session(verbs: Slow, qtbot: QtBot) -> Session:
    found = Session(verbs)
    found.set_recipe(Recipe(W4))
    return found


@pytest.fixture
def card(qtbot: QtBot, session: Session, settings: Settings) -> BudgetCard:
    return card_on_its_tab(qtbot, session, settings)


def test_a_scheme_is_added_by_its_label_and_a_wrong_one_is_refused_in_a_sentence(card: BudgetCard) -> None:
    choice = card.setup.treatments
    QTest.keyClicks(choice.line, "W9 g32 sym")
    QTest.keyClick(choice.line, Qt.Key.Key_Return)
    assert choice.fault.isVisible() and "9 bits" in choice.fault.text() and choice.line.text() == "W9 g32 sym"
    choice.line.clear()
    QTest.keyClicks(choice.line, "w5 g16 asym mse")
    QTest.keyClick(choice.line, Qt.Key.Key_Return)
    added = Scheme(5, group_size=16, symmetric=False, method="mse")
    assert not choice.fault.isVisible() and choice.line.text() == "" and choice.chosen[-1] == added
    assert choice.usual_button.isVisible()
    choice.usual_button.click()
    assert added not in choice.chosen and not choice.usual_button.isVisible()


def test_nothing_can_be_measured_without_a_scheme(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    opened(qtbot, session, tmp_path)
    for box in card.setup.treatments.boxes.values():
        box.setChecked(False)
    card.setup.treatments.boxes[KEEP].setChecked(True)
    assert not card.bar.measure_button.isEnabled() and "Tick a scheme" in card.bar.words.full_text()


def test_the_tensor_selected_on_inspect_can_be_locked_and_keeps_what_it_is(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    opened(qtbot, session, tmp_path)
    assert not card.setup.lock_button.isEnabled() and "Inspect" in card.setup.lock_button.toolTip()
    session.select("model.layers.0.mlp.down_proj.weight")
    card.setup.lock_button.click()
    assert card.setup.wish.locked == ("model.layers.0.mlp.down_proj",)
    assert not card.setup.lock_button.isEnabled() and "already" in card.setup.lock_button.toolTip()
    allow_few(card)
    card.bar.measure_button.click()
    solved(qtbot, card)
    plan = card.budgeter.budget.plan  # type: ignore[union-attr]
    kept = {tensor.module for tensor in plan.tensors if tensor.action == "keep"}
    assert "model.layers.0.mlp.down_proj" in kept and "model.layers.1.mlp.down_proj" not in kept


def test_a_pattern_that_names_nothing_is_shown_beside_the_choices(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    opened(qtbot, session, tmp_path)
    card.setup.locks.setPlainText("nothing.like.this")
    card.bar.measure_button.click()
    qtbot.waitUntil(card.error_panel.isVisible, timeout=20_000)
    assert "nothing.like.this" in card.error_panel.text()


def test_what_is_asked_for_is_remembered(
    qtbot: QtBot, card: BudgetCard, session: Session, settings: Settings, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    ask(qtbot, card, BITS)
    card.target_bar.field.setValue(4.5)
    solved(qtbot, card)
    other = card_on_its_tab(qtbot, session, settings)
    assert other.setup.treatments.chosen == FEW
    other.bar.measure_button.click()
    solved(qtbot, other)
    assert other.target_bar.asks == BITS and other.target_bar.field.value() == 4.5
    assert other.budgeter.budget.target.bits_per_weight == 4.5  # type: ignore[union-attr]


@pytest.mark.parametrize("spoilt", ["[", "7", '["W77 nonsense"]', "{}"])
def test_spoilt_settings_count_as_unset(qtbot: QtBot, session: Session, settings: Settings, spoilt: str) -> None:
    settings.set("budget/schemes", spoilt)
    settings.set("budget/unit", spoilt)
    settings.set("budget/value", spoilt)
    card = card_on_its_tab(qtbot, session, settings)
    assert len(card.setup.treatments.chosen) == 10 and card.target_bar.asks == SIZE


def test_a_text_is_handed_to_the_engine_as_it_was_chosen(
    qtbot: QtBot, card: BudgetCard, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = str(tmp_path / "some text.txt")
    assert card.setup.wish.calibration == ""
    card.setup.text_choice.setCurrentIndex(1)
    assert card.setup.wish.calibration == "default"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    card.setup.text_choice.setCurrentIndex(2)
    assert "Choose the text file" in card.setup.why_not
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (file, ""))
    card.setup.file_button.click()
    assert card.setup.wish.calibration == file and not card.setup.why_not


def test_the_readers_ticked_for_the_check_are_offered_and_the_usual_schemes_are_those_that_they_read(
    qtbot: QtBot, session: Session, settings: Settings
) -> None:
    settings.set(READERS, "transformers")
    card = card_on_its_tab(qtbot, session, settings)
    choice, readers = card.setup.treatments, card.setup.readers
    assert readers.chosen == ("transformers",) and choice.chosen == schemes_for(("transformers",)) != ALLOWED
    readers.boxes["transformers"].click()
    qtbot.waitUntil(lambda: choice.chosen == ALLOWED, timeout=10_000)
    assert tuple(choice.boxes) == (*ALLOWED, KEEP) and not choice.usual_button.isVisible()
    choice.boxes[ALLOWED[0]].click()
    readers.boxes["transformers"].click()
    qtbot.waitUntil(lambda: schemes_for(("transformers",))[0] in choice.boxes, timeout=10_000)
    assert choice.chosen == ALLOWED[1:] and choice.usual_button.isVisible()
    other = card_on_its_tab(qtbot, session, settings)
    assert other.setup.readers.chosen == ("transformers",) and set(other.setup.treatments.chosen) == set(ALLOWED[1:])


def test_a_reader_of_another_format_has_no_say(card: BudgetCard, session: Session) -> None:
    box = card.setup.readers.boxes["transformers"]
    box.setChecked(True)
    session.set_recipe(replace(session.recipe, format="qtquant"))
    assert not box.isEnabled() and "does not read the qtquant format" in box.toolTip()
    assert card.setup.wish.runtimes == ()
    session.set_recipe(replace(session.recipe, format="compressed-tensors"))
    assert card.setup.wish.runtimes == ("transformers",)


def test_what_a_reader_decodes_wrongly_is_not_in_the_mix(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    opened(qtbot, session, tmp_path)
    asymmetric = Scheme(3, group_size=32, symmetric=False)
    card.setup.treatments.offer((asymmetric, W4), (asymmetric, W4))
    for treatment, box in card.setup.treatments.boxes.items():
        box.setChecked(treatment in (asymmetric, W4))
    card.setup.readers.boxes["transformers"].setChecked(True)
    card.bar.measure_button.click()
    solved(qtbot, card)
    given = {tensor.scheme for tensor in card.budgeter.budget.plan.tensors}  # type: ignore[union-attr]
    assert asymmetric not in given and W4 in given
    card.setup.readers.boxes["transformers"].setChecked(False)
    assert "may do" in card.bar.words.full_text() and card.bar.measure_button.isVisible()


def test_a_mix_can_be_held_against_the_recipes_own_scheme_though_it_may_not_use_it(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    own, another = Scheme(4, group_size=64), Scheme(5, group_size=64)
    session.set_recipe(Recipe(own))
    measured(qtbot, card, session, tmp_path)
    ask(qtbot, card, LIKE)
    bar = card.target_bar
    bar.like.setCurrentIndex(bar.like.findText(f"{own.label} for all"))
    solved(qtbot, card)
    budget = card.budgeter.budget
    assert budget is not None and budget.target.like == own
    assert own not in {assignment.treatment for assignment in budget.assignments}
    assert not card.bar.measure_button.isVisible()
    session.set_recipe(Recipe(another))
    assert f"{another.label}, was not measured" in card.bar.words.full_text() and card.bar.measure_button.isVisible()
    assert card.result.apply_button.isEnabled()
    card.bar.measure_button.click()
    qtbot.waitUntil(lambda: bar.like.findText(f"{another.label} for all") >= 0, timeout=30_000)


def test_the_card_holds_as_many_sequences_and_bits_as_are_asked_for_and_the_parts_are_told(
    qtbot: QtBot, card: BudgetCard, session: Session, settings: Settings, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    ask(qtbot, card, MEMORY)
    bar = card.target_bar
    bar.context.setValue(512)
    bar.sequences.setValue(4)
    bar.kv_bits.setCurrentIndex(bar.kv_bits.findData(8))
    solved(qtbot, card)
    budget = card.budgeter.budget
    assert budget is not None and budget.memory is not None and budget.target.memory is not None
    asked = budget.target.memory
    assert (asked.context, asked.sequences, asked.kv_bits) == (512, 4, 8)
    for words in (budget.memory.text, budget.memory.counted, budget.memory.overhead.text):
        assert words[1:] in card.result.memory.text()
    other = card_on_its_tab(qtbot, session, settings)
    assert replace(other.target_bar.room, bytes=asked.bytes) == asked
    ask(qtbot, card, SIZE)
    assert not card.result.memory.isVisible() and not bar.sequences.isVisible()


def test_all_tensors_chosen_in_the_tree_are_locked_by_one_pattern(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    opened(qtbot, session, tmp_path)
    chosen = [f"model.layers.{block}.mlp.{name}_proj.weight" for block in (0, 1) for name in ("up", "gate")]
    card.choose([*chosen, "model.norm.weight"])
    assert card.setup.lock_button.text() == "Lock the 4 selected"
    card.setup.lock_button.click()
    (pattern,) = card.setup.wish.locked
    modules = session.checkpoint.quantizable_modules  # type: ignore[union-attr]
    assert {module for module in modules if matches(pattern, module)} == {
        name.removesuffix(".weight") for name in chosen
    }
    assert not card.setup.lock_button.isEnabled() and "are locked already" in card.setup.lock_button.toolTip()
