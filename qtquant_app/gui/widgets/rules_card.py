"""The rules of the recipe: which modules get another scheme, in which order, and what each comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError, RuleError, RuleFault
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.recipe_diff import scheme_text
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.layer_rules import add_rule
from qtquant_app.gui.models.rule_table import RuleRow, RuleTable, rearranged, scheme_of
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.rule_faults import RuleFaults
from qtquant_app.gui.widgets.rule_line import RuleLine
from qtquant_app.gui.widgets.rules_table import RulesTable
from qtquant_app.gui.widgets.text import Elided

Known = Callable[[str, Scheme], ErrorSums | None]
"""What is known of a tensor under a scheme."""
ERRORS_DELAY_MS = 200
WHICH_WINS = "The first rule that names a module decides it; the scheme at the left is for the rest."


class RulesCard(QWidget):
    """Shows the rules with what the plan found for each; every change of theirs is asked for by `rules_changed`."""

    rules_changed = Signal(tuple)
    """tuple[Rule, ...]"""
    titled = Signal(str)
    """What to call the rules now: `Rules (3)`."""

    def __init__(self) -> None:
        super().__init__()
        self._recipe = Recipe()
        self._plan: Plan | None = None
        self._faults: dict[int, RuleFault] = {}
        self._modules: tuple[str, ...] = ()
        self._tensors: dict[int, list[str]] = {}
        """The tensors that each rule quantizes."""
        self._known: Known = lambda name, scheme: None
        self.model = RuleTable(self)
        self.table = RulesTable(self.model)
        self.faults = RuleFaults()
        self.line = RuleLine()
        self.up_button = Button("Up", name="ruleUpButton", tip="Moves the chosen rules up (Alt+Up)")
        self.down_button = Button("Down", name="ruleDownButton", tip="Moves the chosen rules down (Alt+Down)")
        self.remove_button = Button("Re&move", name="removeRuleButton", tip="Removes the chosen rules (Delete)")
        self._later = QTimer(self, singleShot=True, interval=ERRORS_DELAY_MS)
        self._lay_out()
        self._connect()
        self._refresh()

    @property
    def title(self) -> str:
        count = len(self._recipe.rules)
        return f"Rules ({count:,})" if count else "Rules"

    def set_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        """Patterns are counted over the modules of `checkpoint` that can be quantized."""
        self._modules = checkpoint.quantizable_modules if checkpoint else ()
        self.line.set_modules(self._modules)

    def set_recipe(self, recipe: Recipe) -> None:
        """Shows the rules of `recipe`, of which nothing is known yet."""
        self._recipe = recipe
        labels = [scheme_text(rule) for rule in recipe.rules] + [recipe.default.label]
        self.line.set_schemes(dict.fromkeys(labels))
        self.table.set_schemes(labels)
        self.set_outcome(None)
        self.titled.emit(self.title)

    def set_outcome(self, outcome: Plan | QtQuantError | None) -> None:
        """Shows what the planner says of the rules: what they come to, or what is wrong with them."""
        self._plan = outcome if isinstance(outcome, Plan) and outcome.recipe == self._recipe else None
        found = outcome.faults if isinstance(outcome, RuleError) else ()
        self._faults = {fault.rule: fault for fault in found if fault.rule is not None}
        self._tensors = {}
        for tensor in self._plan.tensors if self._plan else ():
            if tensor.rule is not None and tensor.scheme is not None:
                self._tensors.setdefault(tensor.rule, []).append(tensor.name)
        self._refresh()

    def set_known_errors(self, known: Known) -> None:
        """Where the errors of tensors are asked for; `look_again` says that more of them are known."""
        self._known = known
        self._refresh()

    def look_again(self) -> None:
        """Soon asks for the errors anew."""
        if not self._later.isActive():
            self._later.start()

    def put(self, rows: Sequence[int], target: int) -> None:
        """Has the rules in `rows` stand before the one that is now at `target`."""
        order = rearranged(len(self._recipe.rules), rows, target)
        self._change(tuple(self._recipe.rules[at] for at in order))
        self.table.choose([place for place, at in enumerate(order) if at in rows])

    def remove(self) -> None:
        """Removes the rules that are chosen."""
        chosen = self.table.chosen()
        self._remove(chosen)
        if chosen:
            self.table.choose([min(chosen[0], len(self._recipe.rules) - 1)])

    def _lay_out(self) -> None:
        foot = QHBoxLayout()
        foot.setSpacing(GRID)
        foot.addWidget(Elided(WHICH_WINS, muted=True), 1)
        for button in (self.up_button, self.down_button, self.remove_button):
            foot.addWidget(button)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(GRID)
        column.addWidget(self.table, 1)
        column.addWidget(self.faults)
        column.addLayout(foot)
        column.addWidget(self.line)

    def _connect(self) -> None:
        self.model.edited.connect(self._replace)
        self.model.moved.connect(self.put)
        self.model.refused.connect(self.faults.show_error)
        self.line.refused.connect(self.faults.show_error)
        self.line.written.connect(self._add)
        self.table.removal_wanted.connect(self.remove)
        self.table.step_wanted.connect(self._step)
        self.table.selectionModel().selectionChanged.connect(self._show_fault)
        self.up_button.clicked.connect(lambda: self._step(-1))
        self.down_button.clicked.connect(lambda: self._step(1))
        self.remove_button.clicked.connect(self.remove)
        self.faults.pattern_wanted.connect(
            lambda at, text: self._replace(at, Rule(text, self._recipe.rules[at].scheme))
        )
        self.faults.scheme_wanted.connect(
            lambda at, label: self._replace(at, Rule(self._recipe.rules[at].pattern, scheme_of(label)))
        )
        self.faults.place_wanted.connect(lambda at, before: self.put((at,), before))
        self.faults.removal_wanted.connect(lambda at: self._remove((at,)))
        self._later.timeout.connect(self._refresh)

    def _step(self, by: int) -> None:
        rows = self.table.chosen()
        if rows:
            target = rows[0] - 1 if by < 0 else rows[-1] + 2
            self.put(rows, min(max(target, 0), len(self._recipe.rules)))

    def _add(self, rule: Rule) -> None:
        rules = add_rule(self._recipe, rule, self._modules).rules
        self._change(rules)
        self.table.choose([next(at for at, other in enumerate(rules) if other is rule)])

    def _replace(self, at: int, rule: Rule) -> None:
        rules = self._recipe.rules
        self._change((*rules[:at], rule, *rules[at + 1 :]))

    def _remove(self, rows: Iterable[int]) -> None:
        gone = set(rows)
        self._change(tuple(rule for at, rule in enumerate(self._recipe.rules) if at not in gone))

    def _change(self, rules: tuple[Rule, ...]) -> None:
        if rules != self._recipe.rules:
            self.rules_changed.emit(rules)

    def _refresh(self) -> None:
        self.model.show([self._row(at, rule) for at, rule in enumerate(self._recipe.rules)])
        self._show_fault()

    def _row(self, at: int, rule: Rule) -> RuleRow:
        fault = self._faults.get(at)
        if self._plan is None:
            return RuleRow(at, rule, fault=fault)
        found = self._plan.rules[at] if at < len(self._plan.rules) else None
        scheme, names = rule.scheme, self._tensors.get(at, ())
        sums = [] if isinstance(scheme, str) else [s for name in names if (s := self._known(name, scheme)) is not None]
        return RuleRow(
            at,
            rule,
            found.matches if found else None,
            found.bytes if found else None,
            fault,
            ErrorSums.added(sums) if sums else None,
            len(sums),
        )

    def _show_fault(self) -> None:
        """The fault of the rule chosen, else the first; and which buttons have something to do."""
        chosen, count = self.table.chosen(), len(self._recipe.rules)
        at = next((at for at in chosen if at in self._faults), min(self._faults, default=None))
        self.faults.show_fault(None if at is None else self._faults[at], len(self._faults) - 1)
        self.remove_button.setEnabled(bool(chosen))
        self.up_button.setEnabled(bool(chosen) and chosen != tuple(range(len(chosen))))
        self.down_button.setEnabled(bool(chosen) and chosen != tuple(range(count - len(chosen), count)))
