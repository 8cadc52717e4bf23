"""Nothing of the Hub is done on the GUI's thread: no engine, no client, no socket."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.steps import Step
from qtquant_app.gui.verbs import Verbs
from tests.gui.conftest import MakeWindow
from tests.gui.hub_window import BASE, TOKEN, chosen, shown_hub, window_hub
from tests.gui.test_flow import FOREIGN, PURE
from tests.hub.server import HubServer
from tests.unit.engine.publish.results import result

LAYER = "model.layers.0.mlp.down_proj.weight"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with window_hub(monkeypatch, tmp_path) as server:
        yield server


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return Path(shutil.copytree(result(tmp_path / "made")[1], tmp_path / "small-w4"))


def test_the_whole_way_to_the_hub_and_back_leaves_the_guis_thread_alone(
    qtbot: QtBot, hub: HubServer, make_window: MakeWindow, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = make_window(Verbs())
    seen: list[str] = []
    connected: set[int] = set()
    connect = socket.socket.connect

    def noted(self: socket.socket, address: object) -> None:
        connected.add(threading.get_ident())
        connect(self, address)  # type: ignore[arg-type]

    def note(frame: FrameType, what: str, _: object) -> None:
        file = frame.f_code.co_filename
        if what == "call" and any(part in file for part in FOREIGN) and not any(part in file for part in PURE):
            seen.append(f"{file}:{frame.f_code.co_name}")

    monkeypatch.setattr(socket.socket, "connect", noted)
    sys.setprofile(note)  # for this thread alone
    try:
        _walk(qtbot, window, hub, output)
    finally:
        sys.setprofile(None)
    assert seen == []
    assert connected and threading.get_ident() not in connected


def _walk(qtbot: QtBot, window: MainWindow, hub: HubServer, output: Path) -> None:
    """Signs in, searches, looks, opens, fetches a tensor, and publishes."""
    panel, account = shown_hub(qtbot, window), window.session.account
    qtbot.waitUntil(lambda: not account.busy, timeout=20_000)
    account.sign_in(TOKEN)
    qtbot.waitUntil(lambda: account.account is not None, timeout=20_000)
    chosen(qtbot, panel, BASE)
    panel.view.tabs.setCurrentWidget(panel.view.quantized_table)
    qtbot.waitUntil(lambda: panel.view.quantized.rowCount() == 1, timeout=20_000)
    qtbot.mouseClick(panel.view.open_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: window.session.plan is not None, timeout=60_000)
    window.source_page.tabs.setCurrentWidget(window.source_page.downloaded_panel)
    window.go(Step.INSPECT)
    window.session.select(LAYER)
    qtbot.waitUntil(lambda: window.inspect_page.inspection.preview is not None, timeout=60_000)
    window.go(Step.PUBLISH)
    page = window.publish_page
    page.read(str(output))
    qtbot.waitUntil(page.proof_card.isVisible, timeout=20_000)
    page.tabs.setCurrentWidget(page.upload_panel)
    qtbot.waitUntil(page.upload_panel.start_button.isEnabled, timeout=60_000)
    qtbot.mouseClick(page.upload_panel.start_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: page.upload_panel.uploader.state is RunState.DONE, timeout=60_000)
    assert "someone/small-w4" in hub.repos
