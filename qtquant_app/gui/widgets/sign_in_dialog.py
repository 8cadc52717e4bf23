"""Signs in to the Hub: by a token, which is tried before it is taken, or by a code in the browser."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QDialog, QHBoxLayout, QLineEdit, QVBoxLayout, QWidget

from qtquant_app.core.masking import masked
from qtquant_app.gui.account import Account
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.hub_notice import open_address
from qtquant_app.gui.widgets.text import Text, sentence_case

_ABOUT = (
    "A token comes from the settings of your account on the Hub. It is tried, then kept in the Hub's own store on this "
    "computer, where the Hub's other tools find it too; this program keeps none."
)
_BROWSER = "Or say yes in the browser: no token to copy."


class SignInDialog(QDialog):
    """Goes away by itself once somebody is signed in."""

    def __init__(self, account: Account, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("signInDialog")
        self.setWindowTitle("Sign in to the Hub")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(460, 240)
        self._account = account
        self._began = False
        self._address = ""
        self.token_edit = QLineEdit()
        self.token_edit.setObjectName("tokenEdit")
        self.token_edit.setAccessibleName("Token")
        self.token_edit.setPlaceholderText("hf_…")
        self.token_edit.setEchoMode(QLineEdit.EchoMode.Password)
        self.enter_button = Button("Sign in with the token", name="enterTokenButton", primary=True)
        self.browser_button = Button("Sign in by the browser…", name="browserSignInButton")
        self.code = Text(bold=True, size=4).set_selectable()
        self.code.setAccessibleName("The code")
        self.address = Text(wrap=True).set_selectable()
        self.address.setAccessibleName("Where to type the code")
        self.copy_button = Button("Copy the code", "copy", name="copySignInCodeButton")
        self.open_button = Button("Open in the browser", "open", name="openSignInButton")
        self.state = Text(wrap=True)
        self.close_button = Button("Close", name="leaveSignInButton")
        self._lay_out()
        self._connect()
        self._show_code("", "")
        self._refresh()

    def enter(self) -> None:
        """Tries what was typed; the line is empty from then on."""
        token = self.token_edit.text()
        self.token_edit.setText("")
        self._began = True
        self._show_code("", "")
        self._account.sign_in(token)

    def ask_browser(self) -> None:
        """Asks for a code to type in the browser."""
        self._began = True
        self._show_code("", "")
        self._account.sign_in_by_browser()

    def done(self, result: int) -> None:
        """Whatever is waited for is left."""
        self.token_edit.setText("")
        if self._began and self._account.busy:
            self._account.cancel()
        super().done(result)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(4 * GRID, 4 * GRID, 4 * GRID, 4 * GRID)
        column.setSpacing(2 * GRID)
        column.addWidget(Text(_ABOUT, muted=True, wrap=True))
        column.addLayout(_row(self.token_edit, self.enter_button))
        column.addWidget(Text(_BROWSER, muted=True, wrap=True))
        column.addLayout(_row(self.code, self.copy_button, self.open_button, self.browser_button))
        column.addWidget(self.address)
        column.addWidget(self.state)
        column.addStretch(1)
        column.addWidget(self.close_button, 0, Qt.AlignmentFlag.AlignRight)

    def _connect(self) -> None:
        self.token_edit.returnPressed.connect(self.enter_button.click)
        self.token_edit.textChanged.connect(self._refresh)
        self.enter_button.clicked.connect(self.enter)
        self.browser_button.clicked.connect(self.ask_browser)
        self.copy_button.clicked.connect(lambda: QGuiApplication.clipboard().setText(self.code.text()))
        self.open_button.clicked.connect(lambda: open_address(self._address))
        self.close_button.clicked.connect(self.close)
        self._account.changed.connect(self._refresh)
        self._account.browser_asked.connect(self._on_asked)

    def _on_asked(self, address: str, code: str) -> None:
        self._show_code(address, code)
        self._refresh()

    def _show_code(self, address: str, code: str) -> None:
        self._address = address
        self.code.setText(code)
        self.address.setText(address)
        for widget in (self.code, self.address, self.copy_button, self.open_button):
            widget.setVisible(bool(code))
        self.browser_button.setVisible(not code)

    def _refresh(self) -> None:
        account = self._account
        self.enter_button.setEnabled(bool(self.token_edit.text().strip()))
        if not self._began:
            return
        if account.busy:
            self.state.set_tone("muted")
            self.state.setText("Waiting for somebody to say yes there…" if self._address else "Asking the Hub…")
        elif account.error is not None:
            self._show_code("", "")
            self.state.set_tone("warn")
            hint = sentence_case(window_hint(account.error))
            self.state.setText(masked(f"{sentence_case(account.error.message)}. {hint}").strip())
        elif account.account is not None:
            self.accept()


def _row(*widgets: QWidget) -> QHBoxLayout:
    line = QHBoxLayout()
    line.setSpacing(2 * GRID)
    for at, widget in enumerate(widgets):
        line.addWidget(widget, 0 if at else 1)
    return line
