"""The Recipe page: which scheme the weights get, in which format, and what that comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QGuiApplication, QKeySequence, QShortcut
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QMenu, QTabWidget, QVBoxLayout

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, QtQuantError, RuleError
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import NonFinitePolicy, Recipe, Rule
from qtquant_app.core.recipe_diff import diff
from qtquant_app.core.usual import suited
from qtquant_app.gui.models.plan_table import PLAN_COLUMNS
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.output_state import default_parent, suggest
from qtquant_app.gui.recipe_files import RecipeFiles
from qtquant_app.gui.sample_needs import sampling_methods
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import FLOATS
from qtquant_app.gui.summary import lasting_name
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.budget_card import BudgetCard
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.calibration_card import CalibrationCard
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.command_panel import CommandPanel
from qtquant_app.gui.widgets.decode_offer import DecodeOffer
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.format_choice import FormatChoice
from qtquant_app.gui.widgets.gives_card import GivesCard
from qtquant_app.gui.widgets.hub_field import HubField
from qtquant_app.gui.widgets.lint_card import LintCard
from qtquant_app.gui.widgets.nonfinite_choice import NonFiniteChoice
from qtquant_app.gui.widgets.page import Page, scrolled
from qtquant_app.gui.widgets.patterns_edit import PatternsEdit
from qtquant_app.gui.widgets.presets_button import PresetsButton
from qtquant_app.gui.widgets.readers_card import ReadersCard
from qtquant_app.gui.widgets.recipe_offer import RecipeOffer
from qtquant_app.gui.widgets.rules_card import RulesCard
from qtquant_app.gui.widgets.scheme_editor import SchemeEditor
from qtquant_app.gui.widgets.statistics_card import StatisticsCard
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text

RECIPES = "Recipes (*.json);;All files (*)"
CLIPBOARD = "the clipboard"
SCHEME_CODES = frozenset({"scheme", "method", "format-constraint", "scale-overflow"})
PATTERN_CODES = frozenset({"pattern", "dead-rule"})


class RecipePage(Page):
    """Knobs at the left, their consequences at the right; a refusal stands beside what caused it."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__("recipePage", "Recipe", "the scheme of every tensor; nothing is read or written yet")
        self._session = session
        self._settings = settings
        self._files = RecipeFiles(self)
        self._kept: tuple[Recipe, str] | None = None
        """The recipe as it is in a file, and the file."""
        self.presets_button = PresetsButton(session)
        self.lint_card = LintCard(session, settings)
        self.readers_card = ReadersCard(session)
        self.open_button = Button("&Open recipe…", "open", name="openRecipeButton")
        self.result_button = Button(
            "&Result's recipe…",
            "open",
            name="openResultRecipeButton",
            tip="Takes the recipe of a result: of a folder that a run wrote, or of a repository on the Hub",
        )
        self.hub_field = HubField()
        self._hub = ""
        """The repository whose recipe was asked for last."""
        self.save_button = Button("&Save recipe…", "save", name="saveRecipeButton", tip="Ctrl+S")
        self.scheme_editor = SchemeEditor()
        self.calibration_card = CalibrationCard(session)
        self.statistics_card = StatisticsCard(session)
        self.decode_offer = DecodeOffer(session)
        self.format_choice = FormatChoice()
        self.nonfinite_choice = NonFiniteChoice()
        self.ignore_edit = PatternsEdit("ignoreEdit", "Patterns of modules to leave as they are")
        self.rules_card = RulesCard()
        self.budget_card = BudgetCard(session, settings)
        self.scheme_error = ErrorPanel("schemeErrorPanel")
        self.pattern_error = ErrorPanel("patternErrorPanel")
        self.error_panel = ErrorPanel("recipeErrorPanel")
        self.offer = RecipeOffer()
        self.command = CommandPanel()
        self.tabs = QTabWidget()
        self.gives_card = GivesCard()
        self.plan_model = RowsModel(PLAN_COLUMNS, self)
        self.plan_table = Table(self.plan_model, "planTable", "What becomes of each tensor")
        self.plan_table.set_empty_text("What becomes of each tensor shows here, once there is a plan.")
        self.next_button = Button("Go to R&un", name="toRunButton", primary=True)
        self._lay_out()
        self._connect()
        self._on_checkpoint(session.checkpoint)
        self._on_recipe(session.recipe)
        self._on_plan(session.plan or session.refusal)

    def choose_recipe(self) -> None:
        """Asks for a recipe file, and shows what it would change."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a recipe", self._settings.text("recipe/file"), RECIPES)
        if path:
            self.consider(path)

    def choose_result(self) -> None:
        """Asks for a folder that a run wrote, and shows what its recipe would change."""
        path = QFileDialog.getExistingDirectory(
            self, "Take the recipe of a result", self._settings.text("output/parent")
        )
        if path:
            self.consider(path)

    def ask_hub(self) -> None:
        """Asks for a repository on the Hub, to show what the recipe of its result would change."""
        self.offer.leave()
        self.hub_field.ask()

    def consider(self, path: str) -> None:
        """Shows what the recipe of a file or of a result's folder would change; a click then applies it."""
        self._files.open(path)

    def read(self, path: str) -> None:
        """Applies the recipe in `path`, or inside a result's qtquant.json, as soon as it is read."""
        self._files.open(path, at_once=True)

    def save_as(self) -> None:
        """Asks where to, and writes the recipe in a worker."""
        path, _ = QFileDialog.getSaveFileName(self, "Save the recipe", self._settings.text("recipe/file"), RECIPES)
        if path:
            self._files.save(self._session.recipe, path)

    def paste(self) -> None:
        """Shows what the recipe on the clipboard would change."""
        self._files.parse(QGuiApplication.clipboard().text(), CLIPBOARD)

    def copy(self) -> None:
        """Puts the recipe on the clipboard, as the JSON that a file would hold."""
        QGuiApplication.clipboard().setText(self._session.recipe.dumps())
        self._session.message.emit("Recipe copied", "")

    def _lay_out(self) -> None:
        self.tools.addWidget(self.presets_button)
        self.tools.addWidget(self.open_button)
        self.tools.addWidget(self.result_button)
        self.tools.addWidget(self.save_button)
        left = QVBoxLayout()
        left.setContentsMargins(0, 0, 3 * GRID, 0)
        left.setSpacing(2 * GRID)
        for title, widgets in (
            ("Scheme", (self.scheme_editor, self.scheme_error)),
            ("Format", (self.format_choice,)),
            ("Leave as they are", (*self._ignore_widgets(), self.pattern_error)),
            ("Weights that are not finite", (self.nonfinite_choice,)),
        ):
            card = Card(title)
            for widget in widgets:
                card.add(widget)
            left.addWidget(card)
        left.insertWidget(1, self.calibration_card)
        left.insertWidget(2, self.statistics_card)
        left.addStretch(1)
        right = QVBoxLayout()
        right.setSpacing(2 * GRID)
        right.addWidget(self.error_panel)
        right.addWidget(self.gives_card)
        right.addWidget(self._tabs(), 1)
        foot = QHBoxLayout()
        foot.addStretch(1)
        foot.addWidget(self.next_button)
        right.addLayout(foot)
        columns = QHBoxLayout()
        columns.setSpacing(2 * GRID)
        self._knobs = scrolled(left, 84 * GRID)
        columns.addWidget(self._knobs)
        columns.addLayout(right, 1)
        self.content.addWidget(self.hub_field)
        self.content.addWidget(self.offer)
        self.content.addWidget(self.decode_offer)
        self.content.addLayout(columns, 1)

    def _tabs(self) -> QTabWidget:
        self.tabs.setObjectName("recipeTabs")
        self.tabs.setAccessibleName("What the recipe says and gives")
        self._rules_area = scrolled(self.rules_card)
        self.tabs.addTab(self._rules_area, self.rules_card.title)
        self.tabs.addTab(scrolled(self.budget_card), "Budget")
        self.tabs.addTab(self.plan_table, "Tensors")
        readers = QVBoxLayout()
        readers.addWidget(self.lint_card)
        readers.addWidget(self.readers_card)
        readers.addStretch(1)
        self.tabs.addTab(scrolled(readers), "Will it load?")
        self.tabs.addTab(self.command, "As a command")
        self.tabs.setCurrentWidget(self.plan_table)
        return self.tabs

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
        self.nonfinite_choice.policy_changed.connect(self._on_nonfinite)
        self.ignore_edit.patterns_changed.connect(self._on_ignore)
        self.rules_card.rules_changed.connect(self._on_rules)
        self.rules_card.titled.connect(lambda title: self.tabs.setTabText(0, title))
        menu = QMenu("The recipe of a result", self.result_button)
        menu.setObjectName("resultRecipeMenu")
        menu.addAction("Of a &folder…").triggered.connect(self.choose_result)
        menu.addAction("From the &Hub…").triggered.connect(self.ask_hub)
        self.result_button.setMenu(menu)
        self.hub_field.wanted.connect(self._fetch)
        self.hub_field.left.connect(self._files.cancel)
        self.offer.taken.connect(self._on_taken)
        self.command.copied.connect(lambda: session.message.emit("Command line copied", ""))
        self._files.read.connect(self._on_read)
        self._files.saved.connect(self._on_saved)
        self._files.failed.connect(self.error_panel.show_error)
        self._files.failed.connect(lambda _: self.hub_field.set_busy(False))
        paste = QShortcut(QKeySequence.StandardKey.Paste, self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        paste.activated.connect(self.paste)
        session.checkpoint_changed.connect(self._on_checkpoint)
        session.device_changed.connect(self._show_command)
        session.statistics_changed.connect(self._show_command)
        session.calibration_changed.connect(self._show_command)
        session.recipe_changed.connect(self._on_recipe)
        session.plan_changed.connect(self._on_plan)
        session.planning_changed.connect(self._on_planning)
        session.catalog_changed.connect(self.format_choice.set_catalog)

    def _on_format(self, name: str) -> None:
        recipe = self._session.recipe
        self._session.set_recipe(replace(recipe, format=name, default=suited(recipe.default, name)))

    def _on_nonfinite(self, policy: NonFinitePolicy) -> None:
        self._session.set_recipe(replace(self._session.recipe, nonfinite=policy))

    def _on_ignore(self, patterns: tuple[str, ...]) -> None:
        self._session.set_recipe(replace(self._session.recipe, ignore=patterns))

    def _on_rules(self, rules: tuple[Rule, ...]) -> None:
        self._session.set_recipe(replace(self._session.recipe, rules=rules))

    def _on_recipe(self, recipe: Recipe) -> None:
        if recipe.default != self.scheme_editor.scheme:
            self.scheme_editor.set_scheme(recipe.default)
        self.scheme_editor.setEnabled(recipe.format != FLOATS)
        self.format_choice.set_format(recipe.format)
        self.nonfinite_choice.set_policy(recipe.nonfinite)
        self.ignore_edit.set_patterns(recipe.ignore)
        self.rules_card.set_recipe(recipe)
        self._settings.set_recipe(recipe)
        self._show_command()

    def _on_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        self.rules_card.set_checkpoint(checkpoint)
        self._show_command()

    def _show_command(self) -> None:
        recipe, checkpoint = self._session.recipe, self._session.checkpoint
        output = (
            suggest(checkpoint, recipe, self._settings.text("output/parent") or default_parent()) if checkpoint else ""
        )
        file = self._kept[1] if self._kept and self._kept[0] == recipe else ""
        self.command.show_command(
            lasting_name(checkpoint) if checkpoint else "",
            output,
            recipe,
            file,
            self._session.device,
            checkpoint.statistics.path if checkpoint else "",
            self._session.calibration if sampling_methods(recipe) else None,
        )

    def _on_planning(self, busy: bool) -> None:
        self.gives_card.state.setText("planning…" if busy else "")

    def _on_plan(self, outcome: Plan | QtQuantError | None) -> None:
        refusal = outcome if isinstance(outcome, QtQuantError) else None
        plan = outcome if isinstance(outcome, Plan) else None
        self._show_refusal(refusal)
        self.gives_card.set_plan(plan)
        self.gives_card.state.setText(self._state(plan, refusal))
        self.plan_model.set_rows(plan.tensors if plan else ())
        self.rules_card.set_outcome(outcome)
        self.next_button.setEnabled(plan is not None)

    def _show_refusal(self, refusal: QtQuantError | None) -> None:
        """Each refusal beside what caused it: a rule, an ignore pattern, the scheme, or none of them."""
        code = refusal.code if refusal else ""
        ruled = isinstance(refusal, RuleError) and any(fault.rule is not None for fault in refusal.faults)
        ignored = _of_ignored(refusal)
        self.scheme_error.show_error(refusal if code in SCHEME_CODES and not ruled else None)
        self.pattern_error.show_error(ignored)
        self.error_panel.show_error(None if ruled or ignored or code in SCHEME_CODES else refusal)
        if ruled:
            self.show_rules()
            QTimer.singleShot(0, self._bring_rule_error_into_view)
        if ignored:
            QTimer.singleShot(0, self._bring_pattern_error_into_view)

    def show_rules(self) -> None:
        """Brings the rules to the front."""
        self.tabs.setCurrentWidget(self._rules_area)

    def _bring_pattern_error_into_view(self) -> None:
        self._knobs.ensureWidgetVisible(self.pattern_error)

    def _bring_rule_error_into_view(self) -> None:
        self._rules_area.ensureWidgetVisible(self.rules_card.faults)

    def _state(self, plan: Plan | None, refusal: QtQuantError | None) -> str:
        if refusal is not None:
            return "refused: see the message"
        return "" if plan or self._session.checkpoint else "open a checkpoint on the Source page to see it"

    def _fetch(self, repository: str) -> None:
        self._hub = repository
        self.error_panel.show_error(None)
        self.hub_field.set_busy(True)
        self._files.open(repository)

    def _on_read(self, recipe: Recipe, origin: str, at_once: bool) -> None:
        self.error_panel.show_error(None)
        self.hub_field.setVisible(False)
        difference = diff(self._session.recipe, recipe)
        if origin != CLIPBOARD and (Path(origin).suffix or origin == self._hub):
            self._kept = recipe, origin
        if at_once or not difference:
            self.offer.leave()
            self._session.set_recipe(recipe, f"recipe from {self._place(origin)}")
            self._session.message.emit("Recipe opened" if difference else f"{self._place(origin)}: the same recipe", "")
            self._show_command()
        else:
            self.offer.offer(recipe, difference, self._place(origin))

    def _place(self, origin: str) -> str:
        """What to call the place that a recipe comes from."""
        return origin if origin == self._hub else _short(origin)

    def _on_taken(self, recipe: Recipe, origin: str) -> None:
        self._session.set_recipe(recipe, f"recipe from {origin}")
        self._session.message.emit(f"Recipe from {origin} applied", "")

    def _on_saved(self, recipe: Recipe, file: str) -> None:
        self.error_panel.show_error(None)
        self._kept = recipe, file
        self._settings.set("recipe/file", file)
        self._session.message.emit(f"Recipe saved to {file}", "")
        self._show_command()


def _short(origin: str) -> str:
    """A place by its name alone; a result's record by that of its folder."""
    place = Path(origin)
    if origin == CLIPBOARD:
        return origin
    return (place.parent.name if place.name == "qtquant.json" else place.name) or origin


def _of_ignored(refusal: QtQuantError | None) -> QtQuantError | None:
    """What of a refusal is about the ignore patterns."""
    if isinstance(refusal, RuleError):
        faults = [fault for fault in refusal.faults if fault.rule is None]
        return PlanError(faults[0].text, hint=faults[0].hint, code=faults[0].code) if faults else None
    return refusal if refusal is not None and refusal.code in PATTERN_CODES else None
