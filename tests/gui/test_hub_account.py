"""Signing in to the Hub from the window: tried first, told apart when refused, and the token nowhere but in the Hub's own store."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QApplication, QLabel, QLineEdit, QPlainTextEdit, QTextEdit, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import SourceError
from qtquant_app.core.trail import TRAIL
from qtquant_app.gui.failure_report import internal_report
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.sign_in_dialog import SignInDialog
from qtquant_app.jobs.job import internal
from tests.gui.conftest import MakeWindow
from tests.gui.hub_window import TOKEN, shown_hub, window_hub
from tests.hub.exchange import Fault
from tests.hub.server import HubServer

OTHER = "hf_not_the_one_that_is_known"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with window_hub(monkeypatch, tmp_path) as server:
        yield server


@pytest.fixture
def window(hub: HubServer, make_window: MakeWindow) -> MainWindow:
    return make_window(Verbs())


@pytest.fixture
def dialog(qtbot: QtBot, window: MainWindow) -> SignInDialog:
    panel = shown_hub(qtbot, window)
    qtbot.waitUntil(lambda: panel.account_bar.words.full_text() == "Not signed in", timeout=10_000)
    qtbot.mouseClick(panel.account_bar.sign_in_button, Qt.MouseButton.LeftButton)
    assert panel.account_bar.dialog is not None
    return panel.account_bar.dialog


def enter(qtbot: QtBot, dialog: SignInDialog, token: str) -> None:
    qtbot.keyClicks(dialog.token_edit, token)
    qtbot.mouseClick(dialog.enter_button, Qt.MouseButton.LeftButton)


def words_of(widget: QWidget) -> Iterator[str]:
    """Whatever a widget shows or tells."""
    yield from (widget.toolTip(), widget.accessibleName(), widget.accessibleDescription(), widget.windowTitle())
    if isinstance(widget, (QLabel, QLineEdit)):
        yield widget.text()
    if isinstance(widget, (QPlainTextEdit, QTextEdit)):
        yield widget.toPlainText()


def test_a_good_token_signs_in_and_is_nowhere_else_than_in_the_hubs_store(
    qtbot: QtBot,
    window: MainWindow,
    dialog: SignInDialog,
    tmp_path: Path,
    own_config: Path,
    own_cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    bar, account = window.source_page.hub_panel.account_bar, window.session.account
    enter(qtbot, dialog, TOKEN)
    assert dialog.token_edit.text() == ""
    qtbot.waitUntil(lambda: account.account is not None, timeout=10_000)
    assert bar.words.full_text() == "Signed in as someone" and account.names == ("someone", "org")
    window.close()
    texts = [text for widget in QApplication.allWidgets() for text in words_of(widget)]
    report = internal_report(internal(RuntimeError("made up")))
    stored = (tmp_path / "hub/token").read_text()
    assert TOKEN in stored
    folders = (own_config, own_cache, tmp_path / "settings")
    files = [path.read_bytes().decode(errors="replace") for f in folders for path in f.rglob("*") if path.is_file()]
    assert files, "settings were written"
    for text in (
        *texts,
        *files,
        *TRAIL.lines(),
        report,
        repr(vars(account)),
        *(r.getMessage() for r in caplog.records),
    ):
        assert TOKEN not in text


def test_a_bad_token_is_refused_and_not_stored(
    qtbot: QtBot, window: MainWindow, dialog: SignInDialog, tmp_path: Path
) -> None:
    enter(qtbot, dialog, OTHER)
    qtbot.waitUntil(lambda: window.session.account.error is not None, timeout=10_000)
    assert "expired or was revoked" in dialog.state.text() and dialog.isVisible()
    assert not (tmp_path / "hub/token").exists() and window.session.account.account is None
    assert all(OTHER not in text for widget in QApplication.allWidgets() for text in words_of(widget))


def test_signing_out_empties_the_store(qtbot: QtBot, window: MainWindow, dialog: SignInDialog, tmp_path: Path) -> None:
    account, bar = window.session.account, window.source_page.hub_panel.account_bar
    enter(qtbot, dialog, TOKEN)
    qtbot.waitUntil(lambda: account.account is not None, timeout=10_000)
    qtbot.mouseClick(bar.sign_out_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: account.account is None and not account.busy, timeout=10_000)
    assert bar.words.full_text() == "Not signed in" and bar.sign_in_button.isVisible()
    assert not (tmp_path / "hub/token").exists()


def test_the_browser_is_opened_by_a_press_alone_and_the_code_is_in_no_notes(
    qtbot: QtBot,
    window: MainWindow,
    dialog: SignInDialog,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    hub.answers = [{"error": "authorization_pending"}] * 100
    qtbot.mouseClick(dialog.browser_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(dialog.code.isVisible, timeout=10_000)
    code = dialog.code.text()
    assert code and opened == [] and all(code not in line for line in TRAIL.lines())
    qtbot.mouseClick(dialog.open_button, Qt.MouseButton.LeftButton)
    assert opened == [dialog.address.text()] and opened[0].startswith(hub.url)
    dialog.close()
    qtbot.waitUntil(lambda: not window.session.account.busy, timeout=2_000)
    assert window.session.account.account is None


def test_closing_the_dialog_stops_waiting_for_a_hub_that_stalls(
    qtbot: QtBot, window: MainWindow, dialog: SignInDialog, hub: HubServer
) -> None:
    hub.faults.append(Fault("whoami", times=-1, stall=30.0))
    enter(qtbot, dialog, TOKEN)
    qtbot.waitUntil(lambda: any("whoami" in path for _, path in hub.asked), timeout=10_000)
    dialog.close()
    qtbot.waitUntil(lambda: not window.session.account.busy, timeout=1_000)


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        (
            "log in with `hf auth login`, then accept h.co/a/b",
            "sign in under Hub on the Source page, then accept h.co/a/b",
        ),
        ("log in again with `hf auth login --force`", "sign in again under Hub on the Source page"),
        ("sign in with a token, or with `hf auth login`", "sign in with a token"),
        ("whoever is logged in (`hf auth login`) may ask more often", "whoever is logged in may ask more often"),
    ],
)
def test_hints_speak_of_the_window_and_not_of_commands(hint: str, shown: str) -> None:
    assert window_hint(SourceError("x", hint=hint, code="hub-x")) == shown
