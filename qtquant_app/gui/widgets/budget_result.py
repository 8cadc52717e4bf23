"""The mix that was found: what it takes, beside one scheme for all, what each module gets and why, and what to do with it."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.budget import Budget
from qtquant_app.gui.budget_words import (
    basis_text,
    beside_uniform,
    in_its_place,
    memory_text,
    mix_text,
    price_text,
    proof_text,
)
from qtquant_app.gui.models.assignment_table import ASSIGNMENT_COLUMNS, PART_COLUMNS, parts
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.sentence import Sentence
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text

ROWS = 10
"""Of the table of assignments that show without scrolling."""


class BudgetResult(QWidget):
    """Shows a Budget; None takes it away."""

    apply_wanted = Signal()
    check_wanted = Signal()
    check_unwanted = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.budget: Budget | None = None
        self.mix = Text(bold=True, wrap=True).set_selectable()
        self.mix.setAccessibleName("The mix")
        self.memory = Text(wrap=True).set_selectable()
        self.memory.setAccessibleName("What the card holds")
        self.uniform = Text(wrap=True)
        self.basis = Text(muted=True, wrap=True)
        self.proof = Sentence(bold=True)
        self.proof.setVisible(False)
        self.apply_button = Button(
            "Apply as recipe",
            "check",
            name="applyBudgetButton",
            tip="Makes the mix the recipe; Undo takes it back",
            primary=True,
        )
        self.check_button = Button(
            "Check on held-out text",
            name="checkBudgetButton",
            tip="Runs the original, the mix and the uniform scheme beside it on text that had no part in the choice",
        )
        self.stop_button = Button("Stop", "stop", name="stopCheckButton", tip="Stops the check; the mix stays")
        self.stop_button.setAccessibleName("Stop the check")
        self.check_words = Text(muted=True)
        self.check_error = ErrorPanel("budgetCheckError")
        self.parts_model = RowsModel(PART_COLUMNS, self)
        self.parts_table = Table(self.parts_model, "budgetPartsTable", "The mix by scheme")
        self.model = RowsModel(ASSIGNMENT_COLUMNS, self)
        self.table = Table(self.model, "assignmentTable", "What each set of modules gets, and why")
        self._lay_out()
        self.apply_button.clicked.connect(self.apply_wanted)
        self.check_button.clicked.connect(self.check_wanted)
        self.stop_button.clicked.connect(self.check_unwanted)
        self.set_checking(False)
        self.show_budget(None)

    def show_budget(self, budget: Budget | None) -> None:
        """The mix, or none."""
        self.budget = budget
        self.setVisible(budget is not None)
        self.check_error.show_error(None)
        if budget is None:
            self.parts_model.set_rows(())
            self.model.set_rows(())
            return
        self.mix.setText(mix_text(budget))
        self.memory.setText(memory_text(budget))
        self.memory.setVisible(budget.memory is not None)
        mixed = in_its_place(budget) is None
        self.uniform.setText(f"{beside_uniform(budget)} {price_text(budget)}")
        for part in (self.uniform, self.basis, self.parts_table, self.table):
            part.setVisible(mixed)
        self.basis.setText(basis_text(budget))
        self.proof.setText(proof_text(budget))
        self.proof.setVisible(budget.proof is not None)
        self.parts_model.set_rows(parts(budget.assignments))
        self.model.set_rows(budget.assignments)

    def set_checking(self, running: bool, words: str = "") -> None:
        """What can be pressed while a check runs, and while none does."""
        self.check_button.setVisible(not running)
        self.stop_button.setVisible(running)
        self.check_words.setText(words)
        if running:
            self.check_error.show_error(None)

    def set_usable(self, why_not: str) -> None:
        """Whether the mix can be applied and checked; `why_not` says why it cannot."""
        for button in (self.apply_button, self.check_button):
            button.setEnabled(not why_not)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2 * GRID)
        buttons = QHBoxLayout()
        buttons.setSpacing(2 * GRID)
        for widget in (self.apply_button, self.check_button, self.stop_button, self.check_words):
            buttons.addWidget(widget)
        buttons.addStretch(1)
        for text in (self.mix, self.proof, self.memory, self.uniform, self.basis):
            column.addWidget(text)
        column.addLayout(buttons)
        column.addWidget(self.check_error)
        self.parts_table.fit_rows(2)
        height = self.table.verticalHeader().defaultSectionSize()
        self.table.setMinimumHeight(ROWS * height + self.table.horizontalHeader().sizeHint().height() + 4 * GRID)
        column.addWidget(self.parts_table)
        column.addWidget(self.table, 1)
