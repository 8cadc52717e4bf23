"""Who is signed in to the Hub, in one line, and the buttons that change it."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QWidget

from qtquant_app.gui.account import Account
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.sign_in_dialog import SignInDialog
from qtquant_app.gui.widgets.text import Elided


class AccountBar(QWidget):
    """Follows the account; asks who it is when it is first seen."""

    def __init__(self, account: Account, name: str) -> None:
        super().__init__()
        self.setObjectName(name)
        self._account = account
        self.words = Elided(mode=Qt.TextElideMode.ElideRight, muted=True)
        self.sign_in_button = Button("Sign in…", name=f"{name}SignIn", tip="By a token, or in the browser")
        self.sign_out_button = Button(
            "Sign out", name=f"{name}SignOut", tip="Removes the token from the Hub's own store"
        )
        self.dialog: SignInDialog | None = None
        line = QHBoxLayout(self)
        line.setContentsMargins(0, 0, 0, 0)
        line.setSpacing(2 * GRID)
        line.addWidget(self.words, 1)
        line.addWidget(self.sign_in_button)
        line.addWidget(self.sign_out_button)
        self.sign_in_button.clicked.connect(self.ask)
        self.sign_out_button.clicked.connect(account.sign_out)
        account.changed.connect(self._refresh)
        self._refresh()

    def ask(self) -> None:
        """Opens the dialog beside the window, which stays usable."""
        if self.dialog is None:
            self.dialog = SignInDialog(self._account, self.window())
            self.dialog.finished.connect(self._forget)
        self.dialog.show()
        self.dialog.raise_()

    def _forget(self) -> None:
        self.dialog = None

    def _refresh(self) -> None:
        account = self._account
        self.words.setText(account.words)
        self.sign_in_button.setVisible(account.account is None)
        self.sign_out_button.setVisible(account.account is not None)
        self.sign_out_button.setEnabled(account.account is None or not account.account.from_environment)
