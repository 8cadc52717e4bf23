"""What a budget may do, said before it measures: schemes to choose from, modules to leave alone, a text to run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from PySide6.QtCore import QSignalBlocker, Signal
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.budget import Treatment, treatment_label
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.pattern_writing import pattern_for
from qtquant_app.core.patterns import matches
from qtquant_app.core.quantities import plural
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.gui.budgeter import DOT, Wish
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.budget_readers_choice import ReadersChoice
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.lint_card import READERS as LINTED
from qtquant_app.gui.widgets.patterns_edit import PatternsEdit
from qtquant_app.gui.widgets.text import Elided, Text, tip_text
from qtquant_app.gui.widgets.treatments_choice import KEEP, TreatmentsChoice

ALONE, BUILT_IN, FILE = "", "default", "file"
_TEXTS = {
    ALONE: "the weights alone: no text, the quickest",
    BUILT_IN: "the weights and what the built-in text does in the model",
    FILE: "the weights and what a text file does in the model…",
}
_SHORT = {ALONE: "by the weights alone", BUILT_IN: "with the built-in text", FILE: "with a text file"}
_READERS = "budget/runtimes"
_TEXT_FILES = "Texts (*.txt *.md *.jsonl);;All files (*)"


class BudgetSetup(QWidget):
    """Emits `changed` when what the budget may do is another; what is allowed is remembered."""

    changed = Signal()
    readers_changed = Signal()
    """The readers are others; what a budget chooses from by itself may be, too."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.readers = ReadersChoice()
        self.treatments = TreatmentsChoice()
        self.locks = PatternsEdit("budgetLockEdit", "Patterns of modules that the budget must leave as they are")
        self.locks.setPlaceholderText("*.self_attn.v_proj\nlm_head")
        self.locks.setFixedHeight(self.locks.fontMetrics().lineSpacing() * 3 + 4 * GRID)
        self.lock_button = Button("Lock the selected tensor", name="lockSelectedButton")
        self._modules: tuple[str, ...] = ()
        """All that can be quantized, for patterns to be written among."""
        self.text_choice = ChoiceBox()
        self.text_choice.setObjectName("calibrationCombo")
        self.text_choice.setAccessibleName("What the errors are predicted from")
        self.file_button = Button("Choose the text…", name="calibrationFileButton", tip="A file of plain text")
        self.file_name = Elided(muted=True)
        self._file = ""
        self._chosen: tuple[str, ...] = ()
        self._lay_out()
        self._restore()
        self._connect()

    @property
    def wish(self) -> Wish:
        """What is chosen."""
        text = str(self.text_choice.currentData())
        calibration = self._file if text == FILE else text
        return Wish(self.treatments.chosen, self.locks.patterns(), calibration, self.readers.chosen)

    @property
    def summary(self) -> str:
        """What is chosen, in a line."""
        wish = self.wish
        schemes = sum(isinstance(treatment, Scheme) for treatment in wish.schemes)
        parts = [plural(schemes, "scheme") + (" or as it is" if KEEP in wish.schemes else "")]
        parts.append(f"{plural(len(wish.locked), 'pattern')} locked" if wish.locked else "nothing locked")
        if wish.runtimes:
            parts.append(f"for {plural(len(wish.runtimes), 'reader')}")
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
        """The schemes that a budget chooses from by itself; what was ticked otherwise stays so, last time's at first."""
        there = bool(self.treatments.boxes)
        changed = None if not there or self.treatments.as_usual else self.treatments.chosen
        self.treatments.offer(usual, changed if there else self._remembered())

    def select(self, chosen: Sequence[str], modules: Sequence[str] = ()) -> None:
        """The modules that the lock button locks, of all those that can be quantized."""
        self._chosen = tuple(dict.fromkeys(chosen))
        self._modules = tuple(modules) or self._chosen
        self._say_lock()

    def lock(self) -> None:
        """Leaves the selected modules as they are, with one pattern that names them and nothing else."""
        if self._chosen and not self._locked():
            pattern = pattern_for(self._chosen, self._modules)
            self.locks.setPlainText("\n".join([*self.locks.patterns(), pattern]))

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
            ("The mix must load in", self.readers),
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
        self.readers.changed.connect(self._remember)
        self.readers.changed.connect(self.readers_changed)
        self.locks.textChanged.connect(self.changed)
        self.locks.textChanged.connect(self._say_lock)
        self.lock_button.clicked.connect(self.lock)
        self.text_choice.currentIndexChanged.connect(self._on_text)
        self.file_button.clicked.connect(self.choose_file)

    def _restore(self) -> None:
        self._file = self._settings.text("budget/text_file")
        self.readers.tick(self._settings.text(_READERS, self._settings.text(LINTED)).split())
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
        self._settings.set("budget/schemes", json.dumps(None if self.treatments.as_usual else labels))
        self._settings.set(_READERS, " ".join(self.readers.ticked))
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

    def _locked(self) -> bool:
        patterns = self.locks.patterns()
        with suppress(QtQuantError):  # one that is being typed
            return all(any(matches(pattern, module) for pattern in patterns) for module in self._chosen)
        return False

    def _say_lock(self) -> None:
        many = len(self._chosen)
        subject = f"{many:,} modules" if many > 1 else self._chosen[0] if many else ""
        there = bool(many) and self._locked()
        self.lock_button.setEnabled(bool(many) and not there)
        self.lock_button.setText(f"Lock the {many:,} selected" if many > 1 else "Lock the selected tensor")
        why = (
            f"{subject} {'are' if many > 1 else 'is'} locked already"
            if there
            else f"Leaves {subject} as {'they are' if many > 1 else 'it is'}"
            if many
            else "Select tensors on the Inspect page first"
        )
        self.lock_button.setToolTip(tip_text(why))
        self.lock_button.setAccessibleDescription(why)
