"""The line that a rule is written in: a pattern, what it matches as it is typed, and a scheme."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QEvent, QSignalBlocker, Signal
from PySide6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from qtquant_app.core.errors import UsageError
from qtquant_app.core.patterns import compiled, matches
from qtquant_app.core.quantities import plural
from qtquant_app.core.recipe import Rule
from qtquant_app.core.suggestions import nearest
from qtquant_app.gui.models.rule_table import KEEP, scheme_of
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Elided

COMMON = ("W8 ch sym", "W8 g128 sym", "W6 g64 sym", "W5 g64 sym", "W4 g64 sym", "W4 g32 sym", "W3 g32 sym", KEEP)
HINT = "A glob such as *.down_proj, or re: and a regular expression."


def fill_schemes(combo: QComboBox, more: Iterable[str] = ()) -> None:
    """Lists the schemes that rules often give, and those of `more`, keeping the text."""
    text = combo.currentText()
    with QSignalBlocker(combo):
        combo.clear()
        combo.addItems(list(dict.fromkeys((*more, *COMMON))))
        combo.setEditText(text or COMMON[0])


class RuleLine(QWidget):
    """Says `written` with a whole Rule, or `refused` with why what stands there is none."""

    written = Signal(object)
    """Rule"""
    refused = Signal(object)
    """UsageError"""

    def __init__(self) -> None:
        super().__init__()
        self.pattern_edit = QLineEdit()
        self.scheme_combo = ChoiceBox()
        self.add_button = Button(
            "A&dd rule", name="addRecipeRuleButton", tip="Adds the rule that is written here (Enter)"
        )
        self.about = Elided(HINT, muted=True)
        self._modules: tuple[str, ...] = ()
        self._set_up()
        line = QHBoxLayout()
        line.setSpacing(GRID)
        line.addWidget(self.pattern_edit, 3)
        line.addWidget(self.scheme_combo, 2)
        line.addWidget(self.add_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        column.addWidget(self.about)

    def set_modules(self, modules: tuple[str, ...]) -> None:
        """The modules that patterns are counted over, each once: those that can be quantized."""
        self._modules = modules
        self._count()

    def set_schemes(self, labels: Iterable[str]) -> None:
        """Schemes to offer besides the common ones."""
        fill_schemes(self.scheme_combo, labels)

    def add(self) -> None:
        """Says the rule that is written, and makes room for the next."""
        pattern = self.pattern_edit.text().strip()
        try:
            compiled(pattern)
            rule = Rule(pattern, scheme_of(self.scheme_combo.currentText()))
        except UsageError as error:
            self.refused.emit(error)
            return
        self.pattern_edit.clear()
        self.written.emit(rule)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.EnabledChange:
            self._count()

    def _set_up(self) -> None:
        self.pattern_edit.setObjectName("newRulePattern")
        self.pattern_edit.setAccessibleName("Pattern of the new rule")
        self.pattern_edit.setPlaceholderText("*.down_proj")
        self.scheme_combo.setObjectName("newRuleScheme")
        self.scheme_combo.setAccessibleName("Scheme of the new rule")
        self.scheme_combo.setToolTip("keep, or bits, groups, symmetry and method, such as W4 g64 sym mse")
        self.scheme_combo.setEditable(True)
        self.scheme_combo.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        fill_schemes(self.scheme_combo)
        self.pattern_edit.textChanged.connect(self._count)
        self.pattern_edit.returnPressed.connect(self.add)
        self.add_button.clicked.connect(self.add)

    def _count(self) -> None:
        self.about.setText(self._words())

    def _words(self) -> str:
        pattern = self.pattern_edit.text().strip()
        if not pattern or not self._modules:
            return HINT
        try:
            count = sum(matches(pattern, module) for module in self._modules)
        except UsageError as error:
            return error.message
        if count:
            return f"Matches {plural(count, 'module')}"
        near = nearest(pattern, self._modules)
        return f"Matches nothing; did you mean {' or '.join(near)}?" if near else "Matches nothing"
