"""Who is signed in to the Hub: looked up when a page wants to know, changed by signing in and out. No token is kept here."""

from __future__ import annotations

import queue

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.hub import HubAccount
from qtquant_app.gui.hub_verbs import HubVerbs
from qtquant_app.jobs.job import Work
from qtquant_app.jobs.latest import Latest


class Account(QObject):
    """The newest request wins: signing in, signing out, looking who it is."""

    changed = Signal()
    """`known`, `account`, `error` or `busy` are others now."""
    browser_asked = Signal(str, str)
    """The address that a person is to go to, and the code that stands there."""

    def __init__(self, verbs: HubVerbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._latest = Latest(self)
        self._asked: queue.SimpleQueue[tuple[str, str, float]] = queue.SimpleQueue()
        self.known = False
        """Whether anybody has looked yet."""
        self.account: HubAccount | None = None
        self.error: QtQuantError | None = None
        """Why it is not known, or why signing in failed."""
        self._latest.batch.connect(self._on_batch)
        self._latest.result.connect(self._on_result)
        self._latest.failed.connect(self._on_failed)
        self._latest.busy_changed.connect(lambda _: self.changed.emit())

    @property
    def busy(self) -> bool:
        return self._latest.busy

    @property
    def words(self) -> str:
        """One line on who it is."""
        if self.account is None:
            if self.busy:
                return "Asking the Hub who is signed in…"
            return "Not signed in" if self.error is None else f"Not signed in: {self.error.message}"
        role = {"read": ", may only read"}.get(self.account.role, "")
        return f"Signed in as {self.account.name}{role}" + (", by HF_TOKEN" if self.account.from_environment else "")

    @property
    def names(self) -> tuple[str, ...]:
        """Under which repositories may be made: the user's own, then the organisations'."""
        return () if self.account is None else (self.account.name, *self.account.organisations)

    def look(self, *, again: bool = False) -> None:
        """Asks who it is, once; `again` asks anew."""
        if again or not (self.known or self.busy):
            self._submit(self._verbs.who())

    def sign_in(self, token: str) -> None:
        """Tries `token`, and leaves it with the Hub's own store where it is good."""
        self._submit(self._verbs.sign_in(token))

    def sign_in_by_browser(self) -> None:
        """Asks for a code; `browser_asked` says where it is to be typed."""
        self._asked = queue.SimpleQueue()
        self._submit(self._verbs.sign_in_by_browser(self._asked))

    def sign_out(self) -> None:
        self._submit(self._verbs.sign_out())

    def cancel(self) -> None:
        """Waits for nobody any longer."""
        self._latest.cancel()

    def _submit(self, work: Work) -> None:
        self.error = None
        self._latest.submit(work)
        self.changed.emit()

    def _on_batch(self, _: list[object]) -> None:
        while not self._asked.empty():
            address, code, _seconds = self._asked.get_nowait()
            self.browser_asked.emit(address, code)

    def _on_result(self, account: HubAccount | None) -> None:
        self.known, self.account, self.error = True, account, None
        self.changed.emit()

    def _on_failed(self, error: QtQuantError) -> None:
        self.known, self.error = True, error
        if error.code == "hub-token":
            self.account = None
        self.changed.emit()
