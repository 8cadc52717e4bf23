"""What the planner has against a rule, with what would mend it one click away."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.core.errors import PlanError, QtQuantError, RuleFault
from qtquant_app.core.quantities import plural
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.flow import Flow
from qtquant_app.gui.widgets.text import mnemonic_safe

MOST_HEIGHT = 32 * GRID


class RuleFaults(QWidget):
    """Shows one fault, and buttons for its mends. Hidden where there is none."""

    pattern_wanted = Signal(int, str)
    """Which rule, and the pattern that it is to have."""
    scheme_wanted = Signal(int, str)
    """Which rule, and the label of the scheme that it is to give."""
    place_wanted = Signal(int, int)
    """Which rule, and which other it is to stand before."""
    removal_wanted = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.panel = ErrorPanel("ruleErrorPanel")
        self.fault: RuleFault | None = None
        self.buttons: list[Button] = []
        self._mends = QWidget()
        self._flow = Flow(self._mends)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addWidget(self.panel)
        column.addWidget(self._mends)
        self.setVisible(False)

    def show_fault(self, fault: RuleFault | None, others: int = 0) -> None:
        """Shows `fault`, and how many other rules are at fault; None hides it."""
        more = f" ({plural(others, 'more rule')} refused)" if others else ""
        error = PlanError(fault.text + more, hint=fault.hint, code=fault.code) if fault else None
        self._show(error)
        if fault == self.fault:
            return
        self.fault = fault
        self._clear()
        for text, do in self._offers(fault) if fault and fault.rule is not None else ():
            self._add(text, do)
        self._mends.setVisible(bool(self.buttons))
        self._keep_readable()

    def show_error(self, error: QtQuantError) -> None:
        """Shows what was wrong with something typed."""
        self.fault = None
        self._clear()
        self._mends.setVisible(False)
        self._show(error)

    def _show(self, error: QtQuantError | None) -> None:
        self.panel.show_error(error)
        self.setVisible(error is not None)
        self._keep_readable()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._keep_readable()

    def _keep_readable(self) -> None:
        """The words need their lines, also where the table above has to give them up."""
        layout = self.layout()
        wanted = layout.totalHeightForWidth(self.width()) if layout is not None and self.panel.error else 0
        self.setMinimumHeight(min(MOST_HEIGHT, wanted))

    def _offers(self, fault: RuleFault) -> Sequence[tuple[str, Callable[[], object]]]:
        at = fault.rule
        assert at is not None
        found: list[tuple[str, Callable[[], object]]] = []
        for pattern in fault.patterns:
            found.append((f"Use {pattern}", lambda pattern=pattern: self.pattern_wanted.emit(at, pattern)))  # type: ignore[misc]
        for label in fault.schemes:
            found.append((f"Give it {label}", lambda label=label: self.scheme_wanted.emit(at, label)))  # type: ignore[misc]
        before = fault.before
        if before is not None:
            found.append(("Move it up", lambda: self.place_wanted.emit(at, before)))
        return [*found, ("Remove it", lambda: self.removal_wanted.emit(at))]

    def _add(self, text: str, do: Callable[[], object]) -> None:
        button = Button(mnemonic_safe(text), name=f"mendRuleButton{len(self.buttons) or ''}")
        button.setAccessibleName(text)
        button.clicked.connect(lambda _checked=False: do())
        self.buttons.append(button)
        self._flow.addWidget(button)
        button.show()

    def _clear(self) -> None:
        for button in self.buttons:
            self._flow.removeWidget(button)
            button.setParent(None)
            button.deleteLater()
        self.buttons = []
