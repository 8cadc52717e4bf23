"""What a budget may do: which schemes, which modules it must leave alone, which text it goes by; and that it is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.budget_gauge import BITS, SIZE
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.widgets.budget_card import BudgetCard
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
    qtbot: QtBot, card: BudgetCard, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert card.setup.wish.calibration == ""
    card.setup.text_choice.setCurrentIndex(1)
    assert card.setup.wish.calibration == "default"
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("", ""))
    card.setup.text_choice.setCurrentIndex(2)
    assert "Choose the text file" in card.setup.why_not
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/tmp/some text.txt", ""))
    card.setup.file_button.click()
    assert card.setup.wish.calibration == "/tmp/some text.txt" and not card.setup.why_not
