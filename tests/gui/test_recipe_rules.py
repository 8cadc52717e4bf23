"""The rules on the Recipe page: what each comes to, their order, edits in place, refusals at the rule at fault."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QComboBox, QLineEdit
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import RuleError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import _rule_plans
from qtquant_app.engine.rules import choose
from qtquant_app.gui.models.rule_table import rearranged
from qtquant_app.gui.pages.recipe import RecipePage
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.widgets.rules_card import RulesCard
from qtquant_app.jobs.job import Work, once
from tests.gui.inspect_samples import plan_for
from tests.gui.scripted import Script

W8, W3 = Scheme(bits=8), Scheme(bits=3)
A, B, C = Rule("*.down_proj", W8), Rule("*.self_attn.*", "keep"), Rule("*.mlp.*", W3)
ALT = Qt.KeyboardModifier.AltModifier


class Planned(Script):
    """Decides by the planner's own rules, and costs a byte a tensor."""

    def plan(self, checkpoint: Checkpoint, recipe: Recipe, *choices: Any, **more: Any) -> Work:  # type: ignore[override]
        def work() -> Any:
            found = choose(checkpoint, recipe)
            plan = plan_for(checkpoint, recipe)
            tensors = tuple(replace(t, rule=c.rule, scheme=c.scheme) for t, c in zip(plan.tensors, found, strict=True))
            return replace(plan, tensors=tensors, rules=_rule_plans(recipe, tensors))

        return once(work)


@pytest.fixture
def session(qtbot: QtBot) -> Session:
    return Session(Planned())


@pytest.fixture
def page(qtbot: QtBot, session: Session, settings: Settings) -> RecipePage:
    made = RecipePage(session, settings)
    qtbot.addWidget(made)
    made.resize(1100, 640)
    made.show()
    made.show_rules()
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda outcome: outcome is not None):
        session.open("made up")
    return made


@pytest.fixture
def card(page: RecipePage) -> RulesCard:
    return page.rules_card


def planned(qtbot: QtBot, session: Session, *rules: Rule) -> None:
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda outcome: outcome is not None):
        session.set_recipe(replace(session.recipe, rules=rules))


def cells(card: RulesCard) -> list[list[str]]:
    model = card.model
    return [[str(model.index(row, column).data()) for column in range(5)] for row in range(model.rowCount())]


def patterns(session: Session) -> list[str]:
    return [rule.pattern for rule in session.recipe.rules]


def test_every_rule_shows_its_count_and_bytes(qtbot: QtBot, card: RulesCard, session: Session) -> None:
    planned(qtbot, session, A, B, C)
    assert cells(card) == [
        ["*.down_proj", "W8 g128 sym", "12", "12 B", "\u2013"],
        ["*.self_attn.*", "keep", "48", "48 B", "\u2013"],
        ["*.mlp.*", "W3 g128 sym", "12", "12 B", "\u2013"],
    ]
    assert card.title == "Rules (3)"


def test_the_error_of_a_rule_is_that_of_its_tensors_as_far_as_it_is_known(
    qtbot: QtBot, card: RulesCard, session: Session
) -> None:
    planned(qtbot, session, A, C)
    known = {f"model.layers.{block}.mlp.down_proj.weight": ErrorSums(10, 1.0, 100.0, 99.0, 0.5) for block in range(3)}
    card.set_known_errors(lambda name, scheme: known.get(name) if scheme == W8 else None)
    assert [row[4] for row in cells(card)] == ["20.00 dB of 3", "\u2013"]
    for block in range(12):
        known[f"model.layers.{block}.mlp.down_proj.weight"] = ErrorSums(10, 1.0, 100.0, 99.0, 0.5)
    card.look_again()
    qtbot.waitUntil(lambda: cells(card)[0][4] == "20.00 dB")


def test_a_rule_is_written_counted_as_it_is_typed_and_added(qtbot: QtBot, card: RulesCard, session: Session) -> None:
    line = card.line
    qtbot.keyClicks(line.pattern_edit, "*.gate")
    assert "did you mean *.gate_proj" in line.about.full_text()
    qtbot.keyClicks(line.pattern_edit, "_proj")
    assert line.about.full_text() == "Matches 12 modules"
    line.scheme_combo.setEditText("W6 g64 asym")
    qtbot.keyClick(line.pattern_edit, Qt.Key.Key_Return)
    assert session.recipe.rules == (Rule("*.gate_proj", Scheme(bits=6, group_size=64, symmetric=False)),)
    assert line.pattern_edit.text() == ""
    assert session.history.undoText() == "rule for *.gate_proj"


def test_a_rule_that_could_not_apply_at_the_end_goes_before_what_would_shadow_it(
    qtbot: QtBot, card: RulesCard, session: Session
) -> None:
    planned(qtbot, session, C, B)
    card.line.pattern_edit.setText("*.down_proj")
    card.line.add_button.click()
    assert patterns(session) == ["*.down_proj", "*.mlp.*", "*.self_attn.*"]
    assert card.table.chosen() == (0,)


def test_what_is_no_pattern_or_no_scheme_is_refused_beside_it(qtbot: QtBot, card: RulesCard, session: Session) -> None:
    card.line.pattern_edit.setText("re:(")
    card.line.add_button.click()
    assert "not a regular expression" in card.faults.panel.text()
    card.line.pattern_edit.setText("*.mlp.*")
    card.line.scheme_combo.setEditText("four bits")
    card.line.add_button.click()
    assert "'four bits' is not a scheme" in card.faults.panel.text()
    assert session.recipe.rules == ()


def test_pattern_and_scheme_are_edited_in_place(qtbot: QtBot, card: RulesCard, session: Session) -> None:
    planned(qtbot, session, A, B)
    card.table.choose([0])
    card.table.setFocus()
    QTest.keyClick(card.table, Qt.Key.Key_F2)
    line = card.table.findChild(QLineEdit, "rulePatternEdit")
    line.selectAll()
    qtbot.keyClicks(line, "*.gate_proj")
    qtbot.keyClick(line, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: patterns(session) == ["*.gate_proj", "*.self_attn.*"])
    card.table.edit(card.model.index(1, 1))
    combo = card.table.findChild(QComboBox, "ruleSchemeEdit")
    assert combo.currentText() == "keep"
    combo.setEditText("W8 ch sym")
    qtbot.keyClick(combo, Qt.Key.Key_Return)
    qtbot.waitUntil(lambda: session.recipe.rules[1].scheme == Scheme(bits=8, strategy="channel", group_size=None))
    assert session.history.undoText() == "scheme of the rule for *.self_attn.*"


def test_a_plan_that_comes_meanwhile_leaves_an_open_editor_alone(
    qtbot: QtBot, card: RulesCard, session: Session
) -> None:
    planned(qtbot, session, A)
    card.table.edit(card.model.index(0, 0))
    line = card.table.findChild(QLineEdit, "rulePatternEdit")
    line.setText("*.half")
    with qtbot.waitSignal(session.plan_changed):
        session.set_device("cpu")
    assert card.table.findChild(QLineEdit, "rulePatternEdit") is line
    assert line.text() == "*.half"


def test_rules_are_moved_by_keys_and_stay_chosen(qtbot: QtBot, card: RulesCard, session: Session) -> None:
    planned(qtbot, session, A, B, Rule("*.gate_proj", W3))
    card.table.choose([2])
    card.table.setFocus()
    QTest.keyClick(card.table, Qt.Key.Key_Up, ALT)
    assert patterns(session) == ["*.down_proj", "*.gate_proj", "*.self_attn.*"]
    assert card.table.chosen() == (1,)
    QTest.keyClick(card.table, Qt.Key.Key_Up, ALT)
    QTest.keyClick(card.table, Qt.Key.Key_Up, ALT)
    assert patterns(session)[0] == "*.gate_proj"
    assert not card.up_button.isEnabled()
    QTest.keyClick(card.table, Qt.Key.Key_Down, ALT)
    assert patterns(session) == ["*.down_proj", "*.gate_proj", "*.self_attn.*"]
    assert session.history.undoText().startswith("moved rule for ")
    session.history.setIndex(1)
    assert patterns(session) == ["*.down_proj", "*.self_attn.*", "*.gate_proj"]


def test_rules_are_dragged_into_another_order(qtbot: QtBot, card: RulesCard, session: Session) -> None:
    planned(qtbot, session, A, B, Rule("*.gate_proj", W3))
    model = card.model
    data = model.mimeData([model.index(0, 0), model.index(0, 1)])
    assert not model.dropMimeData(data, Qt.DropAction.MoveAction, 2, 0, QModelIndex())
    assert patterns(session) == ["*.self_attn.*", "*.down_proj", "*.gate_proj"]
    assert card.table.chosen() == (1,)
    model.dropMimeData(model.mimeData([model.index(1, 0)]), Qt.DropAction.MoveAction, -1, -1, QModelIndex())
    assert patterns(session)[-1] == "*.down_proj"


@given(st.integers(1, 12).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1)), st.integers(0, n))))
def test_what_is_moved_keeps_its_order_and_nothing_is_lost(case: tuple[int, set[int], int]) -> None:
    count, rows, target = case
    order = rearranged(count, tuple(rows), target)
    assert sorted(order) == list(range(count))
    assert [at for at in order if at in rows] == sorted(rows)
    assert [at for at in order if at not in rows] == [at for at in range(count) if at not in rows]
    if target < count and target not in rows and rows:
        assert order.index(target) == order.index(max(rows)) + 1


def test_rules_are_removed_by_key_and_come_back_by_undo(qtbot: QtBot, card: RulesCard, session: Session) -> None:
    planned(qtbot, session, A, B, C)
    card.table.choose([0, 2])
    card.table.setFocus()
    QTest.keyClick(card.table, Qt.Key.Key_Delete)
    assert session.recipe.rules == (B,)
    session.history.undo()
    assert session.recipe.rules == (A, B, C)


def test_a_refusal_shows_at_the_rule_at_fault_with_its_mends(
    qtbot: QtBot, page: RecipePage, card: RulesCard, session: Session
) -> None:
    planned(qtbot, session, Rule("*.gate_prj", W3), C, Rule("*.layers.0.mlp.*", "keep"))
    assert isinstance(session.refusal, RuleError)
    assert [row[2] for row in cells(card)] == ["\u26a0 none", "\u2013", "\u26a0 shadowed"]
    assert "'*.gate_prj' matches no module" in card.faults.panel.text()
    assert "1 more rule refused" in card.faults.panel.text()
    assert not page.error_panel.isVisible() and not page.pattern_error.isVisible()
    assert [button.text() for button in card.faults.buttons] == ["Use *.gate_proj", "Remove it"]
    with qtbot.waitSignal(session.plan_changed):
        card.faults.buttons[0].click()
    assert "earlier rules take all it matches" in card.faults.panel.text()
    with qtbot.waitSignal(session.plan_changed):
        card.faults.buttons[0].click()
    assert patterns(session) == ["*.layers.0.mlp.*", "*.gate_proj", "*.mlp.*"]
    assert session.plan is not None
    with qtbot.waitSignal(session.plan_changed):
        session.set_recipe(Recipe(rules=(Rule("*.nothing", "keep"),)))
    assert card.faults.isVisible()
    session.history.undo()
    assert not card.faults.isVisible()


def test_an_ignore_pattern_at_fault_is_refused_beside_the_ignore_patterns(
    qtbot: QtBot, page: RecipePage, session: Session
) -> None:
    with qtbot.waitSignal(session.plan_changed):
        session.set_recipe(Recipe(ignore=("*.mpl.*",)))
    assert "did you mean *.mlp.*?" in page.pattern_error.text().lower()
    assert not page.rules_card.faults.isVisible()


def test_a_refusal_brings_the_rules_to_the_front(qtbot: QtBot, page: RecipePage, session: Session) -> None:
    page.tabs.setCurrentWidget(page.plan_table)
    planned(qtbot, session, Rule("*.nothing", "keep"))
    assert page.rules_card.isVisible()
