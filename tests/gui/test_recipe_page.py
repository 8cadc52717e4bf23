"""The Recipe page: knobs, their consequences, refusals beside their cause, recipes on disk."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QStandardItemModel, QTextCursor
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
    qtbot.waitUntil(page.offer.isVisible)
    assert session.recipe == Recipe()
    page.offer.take_button.click()
    assert session.recipe == recipe
    assert not page.offer.isVisible()
    assert session.history.undoText() == "recipe from mine.json"
    session.history.undo()
    assert session.recipe == Recipe()


def test_a_file_that_is_no_recipe_is_refused_on_the_page(qtbot: QtBot, page: RecipePage, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_text('{"default": {"bits": 9}}')
    page.read(str(tmp_path / "odd.json"))
    qtbot.waitUntil(page.error_panel.isVisible)
    assert "9 bits are outside 2 to 8" in page.error_panel.text()


def test_what_a_recipe_would_change_shows_before_it_is_applied(
    qtbot: QtBot, page: RecipePage, session: Session
) -> None:
    mine = Recipe(Scheme(), (Rule("a.*", "keep"),))
    session.set_recipe(mine)
    theirs = Recipe(Scheme(bits=3), (Rule("a.*", Scheme(bits=8)),), ("b.*",))
    QGuiApplication.clipboard().setText(theirs.dumps())
    page.next_button.setFocus()
    qtbot.keyClick(page, Qt.Key.Key_V, Qt.KeyboardModifier.ControlModifier)
    qtbot.waitUntil(page.offer.isVisible)
    rows = [page.offer.model.row(at) for at in range(page.offer.model.rowCount())]
    assert rows == [
        ("default", "W4 g128 sym \u2192 W3 g128 sym"),
        ("rule changed", "a.*: keep \u2192 W8 g128 sym"),
        ("ignored", "b.*"),
    ]
    qtbot.keyClick(page.offer.take_button, Qt.Key.Key_Escape)
    assert not page.offer.isVisible()
    assert session.recipe == mine


def test_a_recipe_that_changes_nothing_asks_nothing(qtbot: QtBot, page: RecipePage, session: Session) -> None:
    page.copy()
    said: list[str] = []
    session.message.connect(lambda text, _: said.append(text))
    page.paste()
    qtbot.waitUntil(lambda: bool(said))
    assert "the same recipe" in said[0]
    assert not page.offer.isVisible()


def test_what_is_pasted_and_is_no_recipe_is_refused(qtbot: QtBot, page: RecipePage) -> None:
    QGuiApplication.clipboard().setText("not a recipe")
    page.paste()
    qtbot.waitUntil(page.error_panel.isVisible)
    assert "not JSON" in page.error_panel.text()


def test_the_recipe_of_a_result_is_offered(
    qtbot: QtBot, page: RecipePage, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(Scheme(bits=2))
    (tmp_path / "qtquant.json").write_text(f'{{"recipe": {recipe.dumps()}}}')
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(tmp_path))
    page.result_button.menu().actions()[0].trigger()
    qtbot.waitUntil(page.offer.isVisible)
    assert tmp_path.name in page.offer.title.text()
    page.offer.take_button.click()
    assert session.recipe == recipe


def test_the_command_that_does_the_same_can_be_copied(
    qtbot: QtBot, page: RecipePage, session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_one(qtbot, session)
    session.set_recipe(Recipe(Scheme(bits=3, group_size=64), ignore=("*.mlp.*",)))
    page.command.copy_button.click()
    words = shlex.split(QGuiApplication.clipboard().text())
    assert words[:2] == ["qtquant", "quantize"]
    assert words[5:] == ["--bits", "3", "--group-size", "64", "--ignore", "*.mlp.*"]
    session.set_recipe(Recipe(rules=(Rule("*.down_proj", "keep"),)))
    assert page.command.code.toPlainText().endswith("--recipe recipe.json")
    assert "Save the recipe" in page.command.note.text()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    page.save_button.click()
    qtbot.waitUntil(lambda: page.command.code.toPlainText().endswith("mine.json"))
    assert "Save the recipe" not in page.command.note.text()


def test_the_choices_are_kept_for_the_next_start(page: RecipePage, session: Session, settings: Settings) -> None:
    session.set_default_scheme(Scheme(bits=5, group_size=64))
    assert settings.recipe().default == Scheme(bits=5, group_size=64)


def test_a_plan_made_before_the_page_shows_at_once(qtbot: QtBot, session: Session, settings: Settings) -> None:
    open_one(qtbot, session)
    late = RecipePage(session, settings)
    qtbot.addWidget(late)
    assert late.plan_model.rowCount() == 99
    assert isinstance(session.plan, Plan)
