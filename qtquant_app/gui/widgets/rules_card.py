"""The rules a recipe brought along: which modules get another scheme, and how many each rule names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PySide6.QtCore import Signal

from qtquant_app.core.plan import RulePlan
from qtquant_app.core.quantities import NOTHING
from qtquant_app.core.recipe import Rule
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text


@dataclass(frozen=True, slots=True)
class RuleRow:
    at: int
    pattern: str
    scheme: str
    matches: int | None


COLUMNS = (
    Column("Pattern", lambda r: r.pattern, lambda r: r.at, "*.mlp.*"),
    Column("Scheme", lambda r: r.scheme, lambda r: r.scheme, "W4 g128 sym"),
    Column(
        "Tensors", lambda r: NOTHING if r.matches is None else f"{r.matches:,}", lambda r: r.matches or 0, "888", True
    ),
)


class RulesCard(Card):
    """Shows only where there are rules. The first matching rule wins, so their order is kept."""

    rules_changed = Signal(tuple)
    """tuple[Rule, ...]"""

    def __init__(self) -> None:
        super().__init__("Rules of the recipe")
        self._rules: tuple[Rule, ...] = ()
        self.model = RowsModel(COLUMNS, self)
        self.table = Table(self.model, "rulesTable", "Rules of the recipe")
        self.table.setSortingEnabled(False)
        self.table.setFixedHeight(32 * GRID)
        self.remove_button = Button("Re&move", name="removeRuleButton", tip="Removes the chosen rules")
        self.remove_button.clicked.connect(self._remove)
        self.header.addWidget(self.remove_button)
        self.add(self.table)
        self.add(
            Text(
                "The first rule that names a module decides it; the scheme above is for the rest.",
                muted=True,
                wrap=True,
            )
        )
        self.setVisible(False)

    def set_rules(self, rules: tuple[Rule, ...], found: Iterable[RulePlan]) -> None:
        """Shows `rules` with what the plan found for each, where there is a plan."""
        counts = {plan.pattern: plan for plan in found}
        self._rules = rules
        self.model.set_rows(_row(i, rule, counts.get(rule.pattern)) for i, rule in enumerate(rules))
        self.setVisible(bool(rules))

    def _remove(self) -> None:
        chosen = {index.row() for index in self.table.selectionModel().selectedRows()}
        if chosen:
            self.rules_changed.emit(tuple(rule for i, rule in enumerate(self._rules) if i not in chosen))


def _row(at: int, rule: Rule, plan: RulePlan | None) -> RuleRow:
    scheme = "keep" if rule.scheme == "keep" else rule.scheme.label
    return RuleRow(at, rule.pattern, scheme, None if plan is None else plan.matches)
