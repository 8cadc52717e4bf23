"""The budget planner: what may be used, what was measured, what the mix may take, and the best mix for that."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from PySide6.QtCore import QEvent, QObject
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.core.budget import Budget, Point
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.matrix import part_of
from qtquant_app.core.target import Target
from qtquant_app.gui.budget_gauge import LIKE
from qtquant_app.gui.budget_words import in_its_place
from qtquant_app.gui.budgeter import Budgeter
from qtquant_app.gui.layer_rules import subjects_of
from qtquant_app.gui.models.budget_reach import Reach
from qtquant_app.gui.plots.frontier_plot import FrontierPlot
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.budget_result import BudgetResult
from qtquant_app.gui.widgets.budget_setup import BudgetSetup
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.measure_bar import MeasureBar
from qtquant_app.gui.widgets.target_bar import TargetBar
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest

LOWEST_PLOT, HIGHEST_PLOT = 56 * GRID, 120 * GRID
BELOW_PLOT = 44 * GRID
"""Pixels for what has to be seen together with the plot."""
WHAT_IT_DOES = (
    "Finds which modules deserve more bits and which can do with fewer: it measures each one under every scheme that it "
    "may use, and mixes them so that the whole takes what you say and loses as little as it can."
)
NO_CHECKPOINT = "Open a checkpoint on the Source page first."
NO_CHOICE = (
    "The recipe's rules and ignore patterns decide everything: remove some of them to leave the budget a choice."
)


class BudgetCard(QWidget):
    """Puts the parts together over one Budgeter."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__()
        self.setObjectName("budgetCard")
        self._session = session
        self._asked_for_schemes = False
        self._names: tuple[str, ...] = ()
        self.budgeter = Budgeter(session.verbs, self)
        self._schemes = Latest(self)
        self.explanation = Text(WHAT_IT_DOES, muted=True, wrap=True)
        self.bar = MeasureBar()
        self.setup = BudgetSetup(settings)
        self.error_panel = ErrorPanel("budgetErrorPanel")
        self.plot = FrontierPlot()
        self.target_bar = TargetBar(settings)
        self.target_error = ErrorPanel("budgetTargetError")
        self.result = BudgetResult()
        self._lay_out()
        self._connect()
        self._show_measured(None)
        self._on_recipe()
        self._on_selection(session.selection)

    def measure(self) -> None:
        """Measures the open checkpoint with the choices as they are."""
        checkpoint = self._session.checkpoint
        if checkpoint is not None and not self.setup.why_not:
            self.error_panel.show_error(None)
            self.budgeter.measure(checkpoint, self._session.recipe, self.setup.wish, self._session.device)

    def apply(self) -> None:
        """Makes the mix the recipe, as a step that can be undone."""
        budget = self.budgeter.budget
        if budget is not None and self.result.apply_button.isEnabled():
            self.budgeter.applied(budget.recipe)
            self._session.set_recipe(budget.recipe, "budget mix")
            self._session.message.emit("The budget's mix is the recipe now; Undo takes it back", "")

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._fit_plot()
        self._on_selection(self._session.selection)
        around = self.parentWidget()
        if around is not None:
            around.installEventFilter(self)  # installed twice it still filters once
        if not self._asked_for_schemes:
            self._ask_for_schemes()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize and watched is self.parentWidget():
            self._fit_plot()
        return super().eventFilter(watched, event)

    def _fit_plot(self) -> None:
        """The plot as high as leaves the slider and the mix in sight below it."""
        around = self.parentWidget()
        height = around.height() if around is not None else self.height()
        self.plot.setFixedHeight(min(max(height - BELOW_PLOT, LOWEST_PLOT), HIGHEST_PLOT))

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(3 * GRID, 2 * GRID, 3 * GRID, 3 * GRID)
        column.setSpacing(2 * GRID)
        self._stack(column, self.explanation, self.setup, self.bar, self.error_panel)
        self.measured = QWidget()
        inner = QVBoxLayout(self.measured)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(GRID)
        self._stack(inner, self.plot, self.target_bar, self.target_error, self.result)
        column.addWidget(self.measured, 1)
        column.addStretch(0)

    @staticmethod
    def _stack(column: QVBoxLayout, *widgets: QWidget) -> None:
        for widget in widgets:
            column.addWidget(widget)

    def _connect(self) -> None:
        session, budgeter, bar = self._session, self.budgeter, self.bar
        session.checkpoint_changed.connect(self._on_checkpoint)
        session.statistics_changed.connect(self._on_checkpoint)
        session.recipe_changed.connect(self._on_recipe)
        session.selection_changed.connect(self._on_selection)
        self._schemes.result.connect(self.setup.offer)
        self._schemes.failed.connect(self._on_no_schemes)
        self.setup.readers_changed.connect(self._ask_for_schemes)
        self.setup.changed.connect(self._refresh)
        bar.measure_button.clicked.connect(self.measure)
        bar.cancel_button.clicked.connect(budgeter.cancel)
        bar.choices_toggled.connect(self._refresh)
        budgeter.measuring_changed.connect(self._on_measuring)
        budgeter.progressed.connect(bar.set_progress)
        budgeter.measured.connect(self._show_measured)
        budgeter.dropped.connect(lambda: self._show_measured(None))
        budgeter.failed.connect(self.error_panel.show_error)
        budgeter.solved.connect(self._on_solved)
        budgeter.refused.connect(self._on_refused)
        budgeter.checking_changed.connect(self.result.set_checking)
        budgeter.check_progressed.connect(lambda _, words: self.result.set_checking(True, words))
        budgeter.check_failed.connect(self.result.check_error.show_error)
        self.target_bar.aimed.connect(self._on_aimed)
        self.target_bar.kind.currentIndexChanged.connect(self._refresh)
        self.plot.aimed.connect(self.target_bar.take_bytes)
        self.plot.stepped.connect(self.target_bar.step)
        self.plot.pointed.connect(self.target_bar.point_at)
        self.result.apply_wanted.connect(self.apply)
        self.result.check_wanted.connect(budgeter.check)
        self.result.check_unwanted.connect(budgeter.cancel_check)

    def _ask_for_schemes(self) -> None:
        self._asked_for_schemes = True
        self._schemes.submit(self._session.verbs.budget_schemes(self.setup.readers.chosen))

    def _on_no_schemes(self, error: QtQuantError) -> None:
        self._asked_for_schemes = False
        self._session.report_error(error)

    def _on_recipe(self) -> None:
        self.setup.readers.set_format(self._session.recipe.format)
        self._refresh()

    def _on_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        self.error_panel.show_error(None)
        self.budgeter.forget()

    def choose(self, names: Sequence[str]) -> None:
        """The tensors and parts chosen in the tree, which can be locked together; with none, it is the one looked at."""
        self._names = tuple(names)
        self._on_selection(self._session.selection)

    def _on_selection(self, name: str) -> None:
        checkpoint = self._session.checkpoint
        if not self.isVisible():
            return  # as it shows it looks again
        if checkpoint is None:
            self.setup.select(())
        else:
            chosen = subjects_of(self._known(checkpoint, self._names), checkpoint)
            chosen = chosen or subjects_of(self._known(checkpoint, (name,)), checkpoint)
            self.setup.select([tensor.module for tensor in chosen], checkpoint.quantizable_modules)

    @staticmethod
    def _known(checkpoint: Checkpoint, names: Iterable[str]) -> list[str]:
        """Those of `names` that are tensors of this checkpoint, or parts of one."""
        known = checkpoint.by_name
        return [name for name in names if name in known or part_of(name)[0] in known]

    def _on_measuring(self, running: bool) -> None:
        self.setup.setEnabled(not running)
        self._refresh()

    def _show_measured(self, reach: Reach | None) -> None:
        self.measured.setVisible(reach is not None)
        self.target_error.show_error(None)
        self.result.show_budget(None)
        self.plot.draw(reach)
        self.plot.subject = self._session.checkpoint.label if self._session.checkpoint is not None else ""
        self.bar.show_choices(reach is None)
        self._refresh()
        self.target_bar.set_reach(reach)

    def _on_aimed(self, target: Target, size: float) -> None:
        self.target_error.show_error(None)
        self.plot.set_target(size)
        self.target_bar.keep()
        self.budgeter.aim(target)

    def _on_solved(self, budget: Budget) -> None:
        self.target_error.show_error(None)
        self.plot.set_mix(in_its_place(budget) or Point(budget.plan.output_bytes, budget.error))
        self.result.show_budget(budget)

    def _on_refused(self, error: QtQuantError) -> None:
        self.plot.set_mix(None)
        self.result.show_budget(None)
        self.target_error.show_error(error)

    def _refresh(self) -> None:
        """Whether to measure, measure again, or neither; and what there is to say about it."""
        session, budgeter = self._session, self.budgeter
        why_not = NO_CHECKPOINT if session.checkpoint is None else self.setup.why_not
        stale = budgeter.why_stale(session.recipe, self.setup.wish)
        reach = budgeter.reach
        self.setup.setVisible(self.bar.choices_shown)
        self.explanation.setVisible(reach is None)
        more = stale or self._unmeasured(reach)
        self.bar.set_state(measured=reach is not None, running=budgeter.measuring, why_not=why_not, stale=more)
        none_free = reach is not None and not reach.free
        self.bar.say(why_not or more or (NO_CHOICE if none_free else self.setup.summary), warn=bool(stale) or none_free)
        self.result.set_usable(stale)

    def _unmeasured(self, reach: Reach | None) -> str:
        """That the recipe's own scheme is none a mix can be held against yet; empty where nobody wants that, or it is."""
        default = self.budgeter.base(self._session.recipe).default
        if reach is None or self.target_bar.asks != LIKE or default in (scheme for scheme, _ in reach.likes):
            return ""
        if default in reach.unfit:
            return ""
        return f"The recipe's scheme, {default.label}, was not measured: no mix can be held against it yet."
