"""The Recipe page: knobs, their consequences, refusals beside their cause, recipes on disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QStandardItemModel, QTextCursor
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import Plan, PlanWarning, RulePlan
from qtquant_app.core.quantities import NOTHING
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.pages.recipe import RecipePage
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.jobs.job import Work, once
from tests.gui.inspect_samples import plan_for
from tests.gui.scripted import CATALOG, Script


class Planned(Script):
    """Plans with figures of its own."""

    def plan(self, checkpoint: Checkpoint, recipe: Recipe, *choices: Any, **more: Any) -> Work:  # type: ignore[override]
        if self.plan_error is not None:
            return super().plan(checkpoint, recipe)
        plan = replace(
            plan_for(checkpoint, recipe),
            output_bytes=1_000_000,
            bits_per_weight=4.125,
            peak_ram_bytes=233_000_000,
            disk_bytes=1_100_000,
            seconds_estimate=75.0,
            copied={"tokenizer.json": 100_000},
            warnings=(PlanWarning("odd", "some readers <b>refuse</b> this"),),
            rules=tuple(RulePlan(rule.pattern, 7, 70) for rule in recipe.rules),
        )
        return once(lambda: plan)


@pytest.fixture
def verbs() -> Planned:
    return Planned()


@pytest.fixture
def session(verbs: Planned, qtbot: QtBot) -> Session:
    return Session(verbs)


@pytest.fixture
def page(qtbot: QtBot, session: Session, settings: Settings) -> RecipePage:
    made = RecipePage(session, settings)
    qtbot.addWidget(made)
    made.resize(1100, 640)
    made.show()
    return made


def plan_after(qtbot: QtBot, session: Session, change: object) -> None:
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda outcome: outcome is not None):
        change()  # type: ignore[operator]


def open_one(qtbot: QtBot, session: Session) -> None:
    plan_after(qtbot, session, lambda: session.open("made up"))


def test_without_a_checkpoint_the_page_says_what_to_do(page: RecipePage) -> None:
    assert page.gives_card.facts.text("Size after") == NOTHING
    assert "open a checkpoint" in page.gives_card.state.text()
    assert not page.next_button.isEnabled()


def test_the_figures_of_the_plan_show(qtbot: QtBot, page: RecipePage, session: Session) -> None:
    open_one(qtbot, session)
    text = page.gives_card.facts.text
    assert text("Size after").startswith("1.00 MB, ")
    assert text("Bits per weight") == "4.12"
    assert text("Memory") == "233 MB"
    assert text("Time, about") == "1 min 15 s"
    assert text("Copied files") == "1, 100 kB"
    assert text("Quantized").startswith("72 of 99 tensors")
    assert page.plan_model.rowCount() == 99
    assert page.next_button.isEnabled()


def test_a_warning_shows_as_it_is_written(qtbot: QtBot, page: RecipePage, session: Session) -> None:
    open_one(qtbot, session)
    assert page.gives_card.warnings() == ["\u26a0  Some readers <b>refuse</b> this"]


def test_a_knob_changes_the_recipe_and_the_recipe_moves_the_knobs(
    qtbot: QtBot, page: RecipePage, session: Session
) -> None:
    bits = page.scheme_editor.bits_combo
    assert bits.objectName() == "bitsCombo"
    bits.setCurrentIndex(bits.findData(3))
    assert session.recipe.default.bits == 3
    session.set_recipe(Recipe(Scheme(bits=8, strategy="channel", group_size=None), format="qtquant"))
    assert page.scheme_editor.scheme.bits == 8
    assert page.format_choice.combo.currentData() == "qtquant"


def test_formats_come_from_the_registry_and_a_missing_one_is_disabled_with_its_reason(
    qtbot: QtBot, page: RecipePage, session: Session
) -> None:
    with qtbot.waitSignal(session.catalog_changed):
        session.load_catalog()
    combo = page.format_choice.combo
    model = combo.model()
    assert isinstance(model, QStandardItemModel)
    assert [combo.itemData(row) for row in range(combo.count())] == [choice.name for choice in CATALOG.formats]
    assert not model.item(2).isEnabled()
    assert "&lt;b&gt;other" in combo.itemData(2, Qt.ItemDataRole.ToolTipRole)
    combo.setCurrentIndex(1)
    assert session.recipe.format == "qtquant"


def test_ignore_patterns_are_taken_once_typing_rests(qtbot: QtBot, page: RecipePage, session: Session) -> None:
    page.ignore_edit.setPlainText("*.mlp.*\n\n  lm_head \n*.mlp.")
    page.ignore_edit.moveCursor(QTextCursor.MoveOperation.End)
    qtbot.keyClicks(page.ignore_edit, "*")
    assert session.recipe.ignore == ()
    qtbot.waitUntil(lambda: session.recipe.ignore == ("*.mlp.*", "lm_head"))
    assert page.ignore_edit.toPlainText().count("\n") == 3


def test_ignore_patterns_are_taken_when_the_focus_leaves(qtbot: QtBot, page: RecipePage, session: Session) -> None:
    page.ignore_edit.setFocus()
    page.ignore_edit.setPlainText("a.*")
    page.save_button.setFocus()
    assert session.recipe.ignore == ("a.*",)


@pytest.mark.parametrize(
    ("code", "place"),
    [
        ("format-constraint", "scheme_error"),
        ("method", "scheme_error"),
        ("dead-rule", "pattern_error"),
        ("pattern", "pattern_error"),
        ("already-quantized", "error_panel"),
    ],
)
def test_a_refusal_stands_beside_its_cause(
    qtbot: QtBot, page: RecipePage, session: Session, verbs: Planned, code: str, place: str
) -> None:
    verbs.plan_error = PlanError("group size 48 does not divide its 64 columns", hint="use --group-size 32", code=code)
    open_one(qtbot, session)
    shown = [name for name in ("scheme_error", "pattern_error", "error_panel") if getattr(page, name).isVisible()]
    assert shown == [place]
    assert getattr(page, place).text() == "Group size 48 does not divide its 64 columns\nUse group size 32"
    assert page.plan_model.rowCount() == 0
    assert not page.next_button.isEnabled()
    verbs.plan_error = None
    plan_after(qtbot, session, lambda: session.set_default_scheme(Scheme(bits=2)))
    assert not getattr(page, place).isVisible()


def test_rules_of_a_recipe_show_with_their_matches_and_can_be_removed(
    qtbot: QtBot, page: RecipePage, session: Session
) -> None:
    open_one(qtbot, session)
    assert not page.rules_card.isVisible()
    rules = (Rule("a.*", Scheme(bits=8)), Rule("b.*", "keep"))
    plan_after(qtbot, session, lambda: session.set_recipe(replace(session.recipe, rules=rules)))
    model = page.rules_card.model
    rows = [[model.index(row, column).data() for column in range(3)] for row in range(2)]
    assert rows == [["a.*", "W8 g128 sym", "7"], ["b.*", "keep", "7"]]
    page.rules_card.table.selectRow(0)
    page.rules_card.remove_button.click()
    assert session.recipe.rules == rules[1:]


def test_a_recipe_is_saved_and_opened_again(
    qtbot: QtBot, page: RecipePage, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.json"
    recipe = Recipe(Scheme(bits=3, group_size=32), (Rule("a.*", "keep"),), ("b.*",), "qtquant")
    session.set_recipe(recipe)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(file), ""))
    page.save_button.click()
    qtbot.waitUntil(file.is_file)
    assert Recipe.loads(file.read_text()) == recipe
    session.set_recipe(Recipe())
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(file), ""))
    page.open_button.click()
    qtbot.waitUntil(lambda: session.recipe == recipe)


def test_a_file_that_is_no_recipe_is_refused_on_the_page(qtbot: QtBot, page: RecipePage, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"default": {"bits": 9}}')
    page.read(str(tmp_path / "odd.json"))
    qtbot.waitUntil(page.error_panel.isVisible)
    assert "9 bits are outside 2 to 8" in page.error_panel.text()


def test_the_choices_are_kept_for_the_next_start(page: RecipePage, session: Session, settings: Settings) -> None:
    session.set_default_scheme(Scheme(bits=5, group_size=64))
    assert settings.recipe().default == Scheme(bits=5, group_size=64)


def test_a_plan_made_before_the_page_shows_at_once(qtbot: QtBot, session: Session, settings: Settings) -> None:
    open_one(qtbot, session)
    late = RecipePage(session, settings)
    qtbot.addWidget(late)
    assert late.plan_model.rowCount() == 99
    assert isinstance(session.plan, Plan)
