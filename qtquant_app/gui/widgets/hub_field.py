"""A line for the name of a repository on the Hub, whose result's recipe is wanted."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QKeySequence, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QLineEdit

from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.text import Text

_ABOUT = (
    "Fetches the qtquant.json that a QtQuant result holds; what its recipe would change shows before anything does."
)


class HubField(Card):
    """Hidden until it is asked for; goes away by Escape, or once the recipe is there."""

    wanted = Signal(str)
    """`org/name`, or `org/name@revision`."""
    left = Signal()

    def __init__(self) -> None:
        super().__init__("Take the recipe of a repository on the Hub")
        self.setObjectName("hubField")
        self.edit = QLineEdit()
        self.edit.setObjectName("hubRecipeEdit")
        self.edit.setAccessibleName("Repository on the Hub")
        self.edit.setPlaceholderText("org/name, or org/name@revision")
        self.fetch_button = Button("Fetch", name="fetchHubRecipeButton", primary=True)
        self.fetch_button.setAccessibleName("Fetch the recipe")
        self.leave_button = Button("Close", name="leaveHubFieldButton", tip="Leaves the recipe as it is (Escape)")
        self.leave_button.setAccessibleName("Close the line for the Hub")
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.edit, 1)
        line.addWidget(self.leave_button)
        line.addWidget(self.fetch_button)
        self.add(line)
        self.state = Text(_ABOUT, muted=True, wrap=True)
        self.add(self.state)
        self.edit.textChanged.connect(self._offer)
        self.edit.returnPressed.connect(self.fetch_button.click)
        self.fetch_button.clicked.connect(self._want)
        self.leave_button.clicked.connect(self.leave)
        escape = QShortcut(QKeySequence("Escape"), self, context=Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(self.leave)
        self._offer()
        self.setVisible(False)

    def ask(self) -> None:
        """Shows the line, ready to be typed in."""
        self.set_busy(False)
        self.setVisible(True)
        self.edit.setFocus(Qt.FocusReason.OtherFocusReason)
        self.edit.selectAll()

    def set_busy(self, busy: bool) -> None:
        """Whether the Hub is being asked."""
        self.state.setText("Being fetched…" if busy else _ABOUT)
        self.fetch_button.setEnabled(not busy and self._named)

    def leave(self) -> None:
        """Goes away; nothing that was asked for counts any more."""
        self.setVisible(False)
        self.left.emit()

    @property
    def _named(self) -> bool:
        return "/" in self.edit.text().strip().strip("/")

    def _offer(self) -> None:
        self.fetch_button.setEnabled(self._named)

    def _want(self) -> None:
        self.wanted.emit(self.edit.text().strip())
