"""The Budget tab: from what may be used, over measuring and the slider, to the recipe and its proof."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QGuiApplication, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.budget import Proof
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.gui.budget_gauge import BITS, ERROR, LIKE, MEMORY, SIZE
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.widgets.budget_card import NO_CHECKPOINT, BudgetCard
from qtquant_app.gui.widgets.target_bar import READ_OUT, STEPS
from qtquant_app.gui.widgets.text import Text
from qtquant_app.gui.widgets.treatments_choice import KEEP
from tests.gui.budget_driver import W4, W8, allow_few, ask, card_on_its_tab, measured, opened, solved, words_of
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


def test_without_a_checkpoint_it_says_what_it_will_do_and_what_to_do_first(card: BudgetCard) -> None:
    assert not card.bar.measure_button.isEnabled()
    assert card.bar.words.full_text() == NO_CHECKPOINT
    assert "mixes them" in words_of(card) and not card.measured.isVisible()


def test_measuring_shows_the_frontier_a_mix_its_parts_and_its_reasons(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    budget = card.result.budget
    assert budget is not None and card.plot.mix is not None
    assert card.plot.mix.bytes == budget.plan.output_bytes
    assert "bits per weight" in card.result.mix.text() and "less error" in card.result.uniform.text()
    modules = sum(len(one.modules) for one in budget.assignments)
    rows = range(card.result.parts_model.rowCount())
    assert sum(card.result.parts_model.row(at).modules for at in rows) == modules
    assert card.result.model.rowCount() == len(budget.assignments)
    assert card.result.model.row(0).reason
    assert not card.setup.isVisible() and not card.bar.measure_button.isVisible()


def test_assignments_can_be_sorted_and_copied(qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path) -> None:
    measured(qtbot, card, session, tmp_path)
    table = card.result.table
    table.sortByColumn(3, Qt.SortOrder.DescendingOrder)
    errors = [card.result.model.row(at).error for at in range(card.result.model.rowCount())]
    assert errors == sorted(errors, reverse=True) and len(set(errors)) > 1
    table.copy_rows()
    lines = QGuiApplication.clipboard().text().splitlines()
    assert lines[0].split("\t") == ["Modules", "Gets", "Size", "Error", "Because"]
    assert len(lines) == len(errors) + 1


@pytest.mark.parametrize("kind", [SIZE, BITS, MEMORY, ERROR, LIKE])
def test_each_way_of_asking_is_answered_by_slider_and_field(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path, kind: str
) -> None:
    measured(qtbot, card, session, tmp_path)
    ask(qtbot, card, kind)
    bar = card.target_bar
    for key in (Qt.Key.Key_Home, Qt.Key.Key_End, Qt.Key.Key_PageDown, Qt.Key.Key_Left):
        before = bar.slider.value()
        QTest.keyClick(bar.slider, key)
        assert bar.slider.value() != before or key == Qt.Key.Key_Home
        solved(qtbot, card)
        assert not card.target_error.isVisible()
        asked = card.budgeter.budget.target  # type: ignore[union-attr]
        given = (asked.bytes, asked.bits_per_weight, asked.memory, asked.error, asked.like)
        assert given[[SIZE, BITS, MEMORY, ERROR, LIKE].index(kind)] is not None
    assert card.plot.target is not None and card.plot.mix is not None
    assert abs(card.plot.target - card.plot.mix.bytes) < 0.08 * card.plot.mix.bytes


def test_asking_in_another_way_keeps_the_size(qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path) -> None:
    measured(qtbot, card, session, tmp_path)
    before = card.plot.target
    for kind in (BITS, MEMORY, ERROR, SIZE):
        ask(qtbot, card, kind)
        assert card.plot.target == pytest.approx(before, rel=0.01)


def test_the_field_takes_what_cannot_be_had_and_says_so_and_recovers(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    value = card.target_bar.field.value()
    card.target_bar.field.setValue(value / 50)
    qtbot.waitUntil(card.target_error.isVisible, timeout=10_000)
    assert "does not fit" in card.target_error.text()
    assert card.plot.mix is None and not card.result.isVisible()
    card.target_bar.field.setValue(value)
    solved(qtbot, card)
    assert not card.target_error.isVisible() and card.result.isVisible()


def test_dragging_in_the_plot_moves_slider_and_line_at_once_and_the_mix_follows(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path, verbs: Slow
) -> None:
    measured(qtbot, card, session, tmp_path)
    assert card.budgeter.reach is not None
    low, high = card.budgeter.reach.bytes
    mix, slider = card.plot.mix, card.target_bar.slider.value()
    verbs.solving.clear()
    card.plot.aimed.emit(low + 0.8 * (high - low))
    assert card.plot.target == pytest.approx(low + 0.8 * (high - low), rel=0.01)
    assert card.target_bar.slider.value() > slider and card.plot.mix == mix
    verbs.solving.set()
    solved(qtbot, card)
    assert card.plot.mix != mix
    card.plot.stepped.emit(-1)
    assert card.target_bar.slider.value() == pytest.approx(0.8 * STEPS, abs=12)


def test_dragging_asks_for_a_size_where_a_scheme_was_asked_for(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    ask(qtbot, card, LIKE)
    assert card.target_bar.like.isVisible() and not card.target_bar.field.isVisible()
    assert card.budgeter.reach is not None
    card.plot.aimed.emit(float(card.budgeter.reach.bytes[1]))
    solved(qtbot, card)
    assert card.target_bar.asks == SIZE and card.target_bar.field.isVisible()


def test_the_mix_becomes_the_recipe_in_one_step_that_can_be_undone(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    messages: list[str] = []
    session.message.connect(lambda text, _: messages.append(text))
    before = session.recipe
    mix = card.budgeter.budget.recipe  # type: ignore[union-attr]
    card.result.apply_button.click()
    assert session.recipe == mix and "budget mix" in session.history.undoText() and "recipe now" in messages[-1]
    assert card.result.apply_button.isEnabled() and not card.bar.measure_button.isVisible()
    qtbot.waitUntil(lambda: session.plan is not None, timeout=20_000)
    assert session.plan is not None
    assert session.plan.output_bytes == card.budgeter.budget.plan.output_bytes  # type: ignore[union-attr]
    session.history.undo()
    assert session.recipe == before and not card.bar.measure_button.isVisible()


def test_another_recipe_or_choice_asks_to_measure_again_and_does_not_apply_the_old_mix(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    session.set_recipe(Recipe(W4, (Rule("*.down_proj", W8),)))
    assert card.bar.measure_button.isVisible() and card.bar.measure_button.text() == "Measure again"
    assert "have changed" in card.bar.words.full_text() and not card.result.apply_button.isEnabled()
    before = session.recipe
    card.apply()
    assert session.recipe == before
    card.bar.measure_button.click()
    qtbot.waitUntil(lambda: card.result.apply_button.isEnabled(), timeout=30_000)
    card.bar.choices_button.click()
    card.setup.treatments.boxes[KEEP].click()
    assert "may do" in card.bar.words.full_text() and card.bar.measure_button.isVisible()
    card.setup.treatments.boxes[KEEP].click()
    assert not card.bar.measure_button.isVisible()


def test_another_checkpoint_drops_what_was_measured(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    opened(qtbot, session, tmp_path, "other")
    assert not card.measured.isVisible() and card.setup.isVisible() and card.plot.table() is None
    assert card.bar.measure_button.isEnabled() and card.bar.measure_button.text() == "Measure"


def test_measuring_shows_its_progress_and_can_be_cancelled(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path, verbs: Slow
) -> None:
    opened(qtbot, session, tmp_path)
    allow_few(card)
    verbs.measuring.clear()
    card.bar.measure_button.click()
    qtbot.waitUntil(lambda: "0 %" in card.bar.words.full_text(), timeout=10_000)
    assert card.bar.progress.isVisible() and card.bar.cancel_button.isVisible() and not card.setup.isEnabled()
    card.bar.cancel_button.click()
    qtbot.waitUntil(card.bar.measure_button.isVisible, timeout=10_000)
    assert not card.bar.progress.isVisible() and card.setup.isEnabled() and not card.measured.isVisible()


@pytest.mark.parametrize("kl", [0.1, 0.3])
def test_a_check_says_honestly_whether_the_mix_is_better(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path, verbs: Slow, kl: float
) -> None:
    measured(qtbot, card, session, tmp_path)
    verbs.proof = Proof("a text", 1000, kl, card.budgeter.budget.uniform[0], 0.2)  # type: ignore[union-attr]
    verbs.checking.clear()
    card.result.check_button.click()
    qtbot.waitUntil(card.result.stop_button.isVisible)
    assert not card.result.check_button.isVisible()
    verbs.checking.set()
    qtbot.waitUntil(card.result.proof.isVisible, timeout=10_000)
    assert ("50% better" if kl < 0.2 else "no better") in card.result.proof.text()
    assert card.result.check_button.isVisible() and not card.result.stop_button.isVisible()


def test_a_model_that_cannot_run_says_so_beside_the_button(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path, verbs: Slow
) -> None:
    measured(qtbot, card, session, tmp_path)
    verbs.fault = EvaluateError("it is no language model", code="made-up")
    card.result.check_button.click()
    qtbot.waitUntil(card.result.check_error.isVisible, timeout=10_000)
    assert "no language model" in card.result.check_error.text()
    assert card.result.isVisible() and card.result.check_button.isVisible()


def test_rules_that_decide_everything_leave_the_budget_no_choice_and_it_says_so(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    session.set_recipe(Recipe(W4, (Rule("*", W4),)))
    opened(qtbot, session, tmp_path)
    allow_few(card)
    card.bar.measure_button.click()
    qtbot.waitUntil(lambda: card.budgeter.reach is not None, timeout=30_000)
    assert "decide everything" in card.bar.words.full_text()


def test_the_plot_leaves_the_slider_and_the_mix_in_sight(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    around = card.parentWidget()
    assert around is not None
    qtbot.waitUntil(lambda: card.result.mix.mapTo(around, QPoint(0, card.result.mix.height())).y() <= around.height())
    before = card.plot.height()
    around.window().resize(720, 700)
    qtbot.waitUntil(lambda: card.plot.height() > before)


def test_the_wheel_scrolls_the_page_and_changes_no_target_by_accident(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    card.plot.setFocus()
    for widget in (card.target_bar.slider, card.target_bar.field):
        before = widget.value()
        middle = QPointF(widget.rect().center())
        turn = QWheelEvent(
            middle,
            QPointF(widget.mapToGlobal(middle.toPoint())),
            QPoint(0, 0),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(widget, turn)
        assert widget.value() == before


def test_what_is_pointed_at_in_the_plot_is_read_out_beside_the_field(
    qtbot: QtBot, card: BudgetCard, session: Session, tmp_path: Path
) -> None:
    measured(qtbot, card, session, tmp_path)
    QTest.keyClick(card.plot, Qt.Key.Key_Up)
    assert "for all" in card.target_bar.read_out.full_text()
    card.plot.pointed.emit("")
    assert card.target_bar.read_out.full_text() == READ_OUT
    assert isinstance(card.target_bar.read_out, Text)
