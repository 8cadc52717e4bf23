"""The Recipe page: which scheme the weights get, in which format, and what that comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.gui.models.plan_table import PLAN_COLUMNS
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.format_choice import FormatChoice
from qtquant_app.gui.widgets.gives_card import GivesCard
from qtquant_app.gui.widgets.page import Page, scrolled
from qtquant_app.gui.widgets.patterns_edit import PatternsEdit
from qtquant_app.gui.widgets.rules_card import RulesCard
from qtquant_app.gui.widgets.scheme_editor import SchemeEditor
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest

RECIPES = "Recipes (*.json);;All files (*)"
SCHEME_CODES = frozenset({"scheme", "method", "format-constraint", "scale-overflow"})
PATTERN_CODES = frozenset({"pattern", "dead-rule", "shadowed-rule", "tied-head"})


class RecipePage(Page):
    """Knobs at the left, their consequences at the right; a refusal stands beside what caused it."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__("recipePage", "Recipe", "the scheme of every tensor; nothing is read or written yet")
        self._session = session
        self._settings = settings
        self._files = Latest(self)
        self.open_button = Button("&Open recipe…", "open", name="openRecipeButton")
        self.save_button = Button("&Save recipe…", "save", name="saveRecipeButton", tip="Ctrl+S")
        self.scheme_editor = SchemeEditor()
        self.format_choice = FormatChoice()
        self.ignore_edit = PatternsEdit("ignoreEdit", "Patterns of modules to leave as they are")
        self.rules_card = RulesCard()
        self.scheme_error = ErrorPanel("schemeErrorPanel")
        self.pattern_error = ErrorPanel("patternErrorPanel")
        self.error_panel = ErrorPanel("recipeErrorPanel")
        self.gives_card = GivesCard()
        self.plan_model = RowsModel(PLAN_COLUMNS, self)
        self.plan_table = Table(self.plan_model, "planTable", "What becomes of each tensor")
        self.plan_table.set_empty_text("What becomes of each tensor shows here, once there is a plan.")
        self.next_button = Button("Go to R&un", name="toRunButton", primary=True)
        self._lay_out()
        self._connect()
        self._on_recipe(session.recipe)
        self._on_plan(session.plan or session.refusal)

    def choose_recipe(self) -> None:
        """Asks for a recipe file and reads it in a worker."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a recipe", self._settings.text("recipe/file"), RECIPES)
        if path:
            self.read(path)

    def read(self, path: str) -> None:
        """Reads the recipe in `path`, or inside a result's qtquant.json, in a worker."""
        self._files.submit(once(lambda: _read(path)))

    def save_as(self) -> None:
        """Asks where to, and writes the recipe in a worker."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the recipe", self._settings.text("recipe/file"), RECIPES)
        if path:
            recipe = self._session.recipe
            self._files.submit(once(lambda: _save(recipe, path)))

    def _lay_out(self) -> None:
        self.tools.addWidget(self.open_button)
        self.tools.addWidget(self.save_button)
        left = QVBoxLayout()
        left.setContentsMargins(0, 0, 3 * GRID, 0)
        left.setSpacing(2 * GRID)
        for title, widgets in (
            ("Scheme", (self.scheme_editor, self.scheme_error)),
            ("Format", (self.format_choice,)),
            ("Leave as they are", (*self._ignore_widgets(), self.pattern_error)),
        ):
            card = Card(title)
            for widget in widgets:
                card.add(widget)
            left.addWidget(card)
        left.addWidget(self.rules_card)
        left.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(2 * GRID)
        right.addWidget(self.error_panel)
        right.addWidget(self.gives_card)
        right.addWidget(self.plan_table, 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.next_button)
        right.addLayout(foot)
        columns = QHBoxLayout()
        columns.setSpacing(2 * GRID)
        self._knobs = scrolled(left, 84 * GRID)
        columns.addWidget(self._knobs)
        columns.addLayout(right, 1)
        self.content.addLayout(columns, 1)

    def _ignore_widgets(self) -> Iterable[PatternsEdit | Text]:
        self.ignore_edit.setPlaceholderText("*.mlp.down_proj\nre:.*\\.layers\\.0\\..*")
        return self.ignore_edit, Text(
            "One pattern a line: a glob, or re: and a regular expression.", muted=True, wrap=True
        )

    def _connect(self) -> None:
        session = self._session
        self.open_button.clicked.connect(self.choose_recipe)
        self.save_button.clicked.connect(self.save_as)
        self.scheme_editor.scheme_changed.connect(session.set_default_scheme)
        self.format_choice.format_changed.connect(self._on_format)
        self.ignore_edit.patterns_changed.connect(self._on_ignore)
        self.rules_card.rules_changed.connect(self._on_rules)
        self._files.result.connect(self._on_file)
        self._files.failed.connect(self.error_panel.show_error)
        session.recipe_changed.connect(self._on_recipe)
        session.plan_changed.connect(self._on_plan)
        session.planning_changed.connect(self._on_planning)
        session.catalog_changed.connect(self.format_choice.set_catalog)

    def _on_format(self, name: str) -> None:
        self._session.set_recipe(replace(self._session.recipe, format=name))

    def _on_ignore(self, patterns: tuple[str, ...]) -> None:
        self._session.set_recipe(replace(self._session.recipe, ignore=patterns))

    def _on_rules(self, rules: tuple[Rule, ...]) -> None:
        self._session.set_recipe(replace(self._session.recipe, rules=rules))

    def _on_recipe(self, recipe: Recipe) -> None:
        if recipe.default != self.scheme_editor.scheme:
            self.scheme_editor.set_scheme(recipe.default)
        self.format_choice.set_format(recipe.format)
        self.ignore_edit.set_patterns(recipe.ignore)
        self.rules_card.set_rules(recipe.rules, ())
        self._settings.set_recipe(recipe)

    def _on_planning(self, busy: bool) -> None:
        self.gives_card.state.setText("planning…" if busy else "")

    def _on_plan(self, outcome: Plan | QtQuantError | None) -> None:
        refusal = outcome if isinstance(outcome, QtQuantError) else None
        plan = outcome if isinstance(outcome, Plan) else None
        code = refusal.code if refusal else ""
        self.scheme_error.show_error(refusal if code in SCHEME_CODES else None)
        self.pattern_error.show_error(refusal if code in PATTERN_CODES else None)
        self.error_panel.show_error(None if code in SCHEME_CODES | PATTERN_CODES else refusal)
        if code in PATTERN_CODES:
            QTimer.singleShot(0, self._bring_pattern_error_into_view)
        self.gives_card.set_plan(plan)
        self.gives_card.state.setText(self._state(plan, refusal))
        self.plan_model.set_rows(plan.tensors if plan else ())
        self.rules_card.set_rules(self._session.recipe.rules, plan.rules if plan else ())
        self.next_button.setEnabled(plan is not None)

    def _bring_pattern_error_into_view(self) -> None:
        self._knobs.ensureWidgetVisible(self.pattern_error)

    def _state(self, plan: Plan | None, refusal: QtQuantError | None) -> str:
        if refusal is not None:
            return "refused: see the message"
        return "" if plan or self._session.checkpoint else "open a checkpoint on the Source page to see it"

    def _on_file(self, outcome: Recipe | str) -> None:
        self.error_panel.show_error(None)
        if isinstance(outcome, Recipe):
            self._session.set_recipe(outcome)
            self._session.message.emit("Recipe opened", "")
        else:
            self._settings.set("recipe/file", outcome)
            self._session.message.emit(f"Recipe saved to {outcome}", "")


def _read(path: str) -> Recipe:
    from qtquant_app.engine.recipes import read_recipe

    return read_recipe(path)


def _save(recipe: Recipe, path: str) -> str:
    from qtquant_app.engine.recipes import save_recipe

    file = Path(path)
    save_recipe(recipe, file if file.suffix else file.with_suffix(".json"))
    return path
