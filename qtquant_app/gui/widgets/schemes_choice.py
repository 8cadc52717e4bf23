"""Which schemes a scan tries."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QSizePolicy, QWidget

from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.flow import Flow

CROSS = "\u00d7"


class SchemesChoice(QWidget):
    """A button for each scheme, which takes it out; one that adds the scheme of the knobs, one that starts over."""

    changed = Signal(object)
    """tuple[Scheme, ...]."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("schemesChoice")
        self._schemes: tuple[Scheme, ...] = DEFAULT_SCHEMES
        self._offered: Scheme | None = None
        self._enabled = True
        self._chips: list[Button] = []
        self._flow = Flow(self)
        self.add_button = Button("", name="addSchemeButton")
        self.reset_button = Button(
            "Usual schemes", name="usualSchemesButton", tip="Goes back to the schemes that a scan tries by itself"
        )
        self.reset_button.setProperty("flat", True)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Minimum)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        self.add_button.clicked.connect(self._add)
        self.reset_button.clicked.connect(lambda: self.set_schemes(DEFAULT_SCHEMES))
        self._rebuild()

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """In the order in which they show."""
        return self._schemes

    @property
    def chips(self) -> list[Button]:
        """The buttons that take a scheme out, in order."""
        return self._chips

    def set_schemes(self, schemes: Sequence[Scheme]) -> None:
        """Replaces all of them."""
        if tuple(schemes) != self._schemes:
            self._schemes = tuple(schemes)
            self._rebuild()
            self.changed.emit(self._schemes)

    def offer(self, scheme: Scheme) -> None:
        """The scheme that the add button adds."""
        self._offered = scheme
        self._say()

    def lock(self, locked: bool) -> None:
        """While a scan runs its schemes stay."""
        self._enabled = not locked
        self._say()

    def _add(self) -> None:
        if self._offered is not None and self._offered not in self._schemes:
            self.set_schemes((*self._schemes, self._offered))
            self._chips[-1].setFocus()  # the button has nothing more to do, and is gone

    def _remove(self, scheme: Scheme) -> None:
        at = self._schemes.index(scheme)
        self.set_schemes([other for other in self._schemes if other != scheme])
        (self._chips[min(at, len(self._chips) - 1)] if self._chips else self.add_button).setFocus()

    def _rebuild(self) -> None:
        while self._flow.count():
            self._flow.takeAt(0)
        for chip in self._chips:
            chip.hide()
            chip.deleteLater()
        self._chips = [self._chip(scheme) for scheme in self._schemes]
        before: QWidget | None = None
        for button in (*self._chips, self.add_button, self.reset_button):
            self._flow.addWidget(button)
            button.show()
            if before is not None:
                QWidget.setTabOrder(before, button)
            before = button
        self._say()
        self.updateGeometry()

    def _chip(self, scheme: Scheme) -> Button:
        chip = Button(f"{scheme.label}  {CROSS}", tip=f"Takes {scheme.label} out of the scan")
        chip.setObjectName(f"scheme {scheme.label}")
        chip.setAccessibleName(f"Remove {scheme.label}")
        chip.clicked.connect(lambda: self._remove(scheme))
        return chip

    def _say(self) -> None:
        """What the add button would add, and which buttons have something to do."""
        label = self._offered.label if self._offered else ""
        there = self._offered in self._schemes
        self.add_button.setText(f"+ {label}" if label else "+")
        self.add_button.setAccessibleName(f"Add the scheme of the knobs, {label}, to the scan")
        why = "The scan has the scheme of the knobs already" if there else "Adds the scheme of the knobs to the scan"
        self.add_button.setToolTip(why)
        self.add_button.setAccessibleDescription(why)
        self.add_button.setEnabled(self._enabled and self._offered is not None and not there)
        self.add_button.setVisible(not there)
        self.reset_button.setVisible(self._schemes != DEFAULT_SCHEMES)
        self.reset_button.setEnabled(self._enabled)
        for chip in self._chips:
            chip.setEnabled(self._enabled and len(self._chips) > 1)
