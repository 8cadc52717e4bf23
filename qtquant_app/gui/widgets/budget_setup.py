"""What a budget may do, said before it measures: schemes to choose from, modules to leave alone, a text to run."""

from __future__ import annotations

import json
from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.budget import Treatment, treatment_label
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import plural
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.gui.budgeter import DOT, Wish
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.patterns_edit import PatternsEdit
from qtquant_app.gui.widgets.text import Elided, Text
from qtquant_app.gui.widgets.treatments_choice import KEEP, TreatmentsChoice

ALONE, BUILT_IN, FILE = "", "default", "file"
_TEXTS = {
    ALONE: "the weights alone: no text, the quickest",
    BUILT_IN: "the weights and what the built-in text does in the model",
    FILE: "the weights and what a text file does in the model…",
}
_SHORT = {ALONE: "by the weights alone", BUILT_IN: "with the built-in text", FILE: "with a text file"}
_TEXT_FILES = "Texts (*.txt *.md *.jsonl);;All files (*)"


class BudgetSetup(QWidget):
    """Emits `changed` when what the budget may do is another; what is allowed is remembered."""

    changed = Signal()

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.treatments = TreatmentsChoice()
        self.locks = PatternsEdit("budgetLockEdit", "Patterns of modules that the budget must leave as they are")
        self.locks.setPlaceholderText("*.self_attn.v_proj\nlm_head")
        self.locks.setFixedHeight(self.locks.fontMetrics().lineSpacing() * 3 + 4 * GRID)
        self.lock_button = Button("Lock the selected tensor", name="lockSelectedButton")
        self.text_choice = ChoiceBox()
        self.text_choice.setObjectName("calibrationCombo")
        self.text_choice.setAccessibleName("What the errors are predicted from")
        self.file_button = Button("Choose the text…", name="calibrationFileButton", tip="A file of plain text")
        self.file_name = Elided(muted=True)
        self._file = ""
        self._module = ""
        self._lay_out()
        self._restore()
        self._connect()

    @property
    def wish(self) -> Wish:
        """What is chosen."""
        text = str(self.text_choice.currentData())
        return Wish(self.treatments.chosen, self.locks.patterns(), self._file if text == FILE else text)

    @property
    def summary(self) -> str:
        """What is chosen, in a line."""
        wish = self.wish
        schemes = sum(isinstance(treatment, Scheme) for treatment in wish.schemes)
        parts = [plural(schemes, "scheme") + (" or as it is" if KEEP in wish.schemes else "")]
        parts.append(f"{plural(len(wish.locked), 'pattern')} locked" if wish.locked else "nothing locked")
        return DOT.join([*parts, _SHORT[str(self.text_choice.currentData())]])

    @property
    def why_not(self) -> str:
        """Why nothing can be measured with these choices; empty where it can."""
        if not any(isinstance(treatment, Scheme) for treatment in self.wish.schemes):
            return "Tick a scheme that the budget may use."
        if self.text_choice.currentData() == FILE and not self._file:
            return "Choose the text file, or another way to predict the errors."
        return ""

    def offer(self, usual: Sequence[Scheme]) -> None:
        """The schemes that a budget chooses from by itself; those that were ticked last time are ticked again."""
        self.treatments.offer(usual, self._remembered())

    def select(self, module: str) -> None:
        """The module that the lock button locks; none where `module` is empty."""
        self._module = module
        self._say_lock()

    def lock(self) -> None:
        """Leaves the selected module as it is."""
        if self._module and self._module not in self.locks.patterns():
            self.locks.setPlainText("\n".join([*self.locks.patterns(), self._module]))

    def choose_file(self) -> None:
        """Asks for a text."""
        path, _ = QFileDialog.getOpenFileName(self, "Choose a text", self._file, _TEXT_FILES)
        if path:
            self._file = path
            self._say_text()
            self._remember()

    def _lay_out(self) -> None:
        for data, words in _TEXTS.items():
            self.text_choice.addItem(words, data)
        self.text_choice.setMinimumContentsLength(24)
        locks = QHBoxLayout()
        locks.setSpacing(2 * GRID)
        locks.addWidget(self.locks, 1)
        side = QVBoxLayout()
        side.addWidget(self.lock_button)
        side.addStretch(1)
        locks.addLayout(side)
        text = QHBoxLayout()
        text.setSpacing(2 * GRID)
        text.addWidget(self.text_choice, 2)
        text.addWidget(self.file_button)
        text.addWidget(self.file_name, 1)
        form = QVBoxLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(GRID)
        for title, part in (
            ("It may use", self.treatments),
            ("It must leave alone, one pattern a line", locks),
            ("It predicts errors from", text),
        ):
            form.addWidget(Text(title, bold=True))
            if isinstance(part, QWidget):
                form.addWidget(part)
            else:
                form.addLayout(part)
            form.addSpacing(GRID)

    def _connect(self) -> None:
        self.treatments.changed.connect(self._remember)
        self.locks.textChanged.connect(self.changed)
        self.locks.textChanged.connect(self._say_lock)
        self.lock_button.clicked.connect(self.lock)
        self.text_choice.currentIndexChanged.connect(self._on_text)
        self.file_button.clicked.connect(self.choose_file)

    def _restore(self) -> None:
        self._file = self._settings.text("budget/text_file")
        with QSignalBlocker(self.text_choice):
            self.text_choice.setCurrentIndex(max(0, self.text_choice.findData(self._settings.text("budget/text"))))
        self._say_text()
        self._say_lock()

    def _remembered(self) -> list[Treatment] | None:
        """What was ticked last; None where nothing is remembered, or nothing that can be read."""
        try:
            labels = json.loads(self._settings.text("budget/schemes", "null"))
            found = [KEEP if label == KEEP else parse_label(label) for label in labels] if labels else None
        except (ValueError, TypeError, AttributeError, QtQuantError):
            return None
        return found

    def _remember(self) -> None:
        labels = [treatment_label(treatment) for treatment in self.treatments.chosen]
        self._settings.set("budget/schemes", json.dumps(labels))
        self._settings.set("budget/text", str(self.text_choice.currentData()))
        self._settings.set("budget/text_file", self._file)
        self.changed.emit()

    def _on_text(self) -> None:
        if self.text_choice.currentData() == FILE and not self._file:
            self.choose_file()
        self._say_text()
        self._remember()

    def _say_text(self) -> None:
        by_file = self.text_choice.currentData() == FILE
        self.file_button.setVisible(by_file)
        self.file_name.setVisible(by_file)
        self.file_name.setText(self._file or "no file chosen")

    def _say_lock(self) -> None:
        there = self._module in self.locks.patterns()
        self.lock_button.setEnabled(bool(self._module) and not there)
        why = (
            f"{self._module} is locked already"
            if self._module and there
            else f"Leaves {self._module} as it is"
            if self._module
            else "Select a tensor on the Inspect page first"
        )
        self.lock_button.setToolTip(why)
        self.lock_button.setAccessibleDescription(why)
