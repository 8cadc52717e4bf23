"""The end of a run is told where somebody sees it, and names from a checkpoint stay names."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QSystemTrayIcon, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.gui import notify as module
from qtquant_app.gui.notify import LONG_SECONDS, notify, worth_telling


class Desktop:
    """What the desktop was asked for."""

    def __init__(self) -> None:
        self.alerts: list[QWidget] = []
        self.beeps = 0
        self.shown: list[tuple[str, str]] = []


@pytest.fixture
def desktop(qapp: QApplication, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Desktop:
    """A desktop that shows notifications in its tray, and has no notify-send."""
    found = Desktop()

    def beep() -> None:
        found.beeps += 1

    monkeypatch.setattr(QApplication, "alert", found.alerts.append)
    monkeypatch.setattr(QApplication, "beep", beep)
    monkeypatch.setattr(QGuiApplication, "platformName", lambda: "xcb")
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: True)
    monkeypatch.setattr(QSystemTrayIcon, "showMessage", lambda _, title, text, *__: found.shown.append((title, text)))
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "_tray", [])
    return found


@pytest.fixture
def window(qtbot: QtBot) -> QWidget:
    found = QWidget()
    qtbot.addWidget(found)
    found.show()
    return found


def command(folder: Path, body: str) -> Path:
    """A stand-in for notify-send, first and alone on PATH."""
    file = folder / "bin" / "notify-send"
    file.parent.mkdir()
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(0o755)
    return file


def test_a_long_run_is_told_and_a_short_one_only_to_who_looks_elsewhere(
    window: QWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "isActiveWindow", lambda: True)
    assert worth_telling(LONG_SECONDS, window) and not worth_telling(1.0, window)
    monkeypatch.setattr(window, "isActiveWindow", lambda: False)
    assert worth_telling(1.0, window)


def test_the_desktop_s_own_command_is_used_where_there_is_one(
    desktop: Desktop, tmp_path: Path, window: QWidget
) -> None:
    command(tmp_path, f'for word in "$@"; do echo "$word" >> {tmp_path}/words; done; echo end >> {tmp_path}/words')
    window.isActiveWindow = lambda: False  # type: ignore[method-assign]
    assert notify("--title", "a text", window) == "notify-send"
    words = tmp_path / "words"
    deadline = time.monotonic() + 20
    while not (words.exists() and words.read_text().endswith("end\n")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert words.read_text().splitlines()[-4:] == ["--", "--title", "a text", "end"]
    assert desktop.alerts == [window] and desktop.shown == [] and desktop.beeps == 0


def test_the_tray_is_used_where_there_is_no_command_and_no_name_becomes_markup(desktop: Desktop) -> None:
    assert notify("Saved <b>a</b>", "R&D", None) == "tray"
    ((title, text),) = desktop.shown
    assert not set("<>&") & set(title + text) and title.startswith("Saved ")
    assert desktop.beeps == 0 and len(module._tray) == 1
    notify("again", "", None)
    assert len(module._tray) == 1


def test_without_both_the_task_bar_and_a_beep_tell(
    desktop: Desktop, window: QWidget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QSystemTrayIcon, "isSystemTrayAvailable", lambda: False)
    window.isActiveWindow = lambda: False  # type: ignore[method-assign]
    assert notify("a", "b", window) == "alert"
    assert desktop.alerts == [window] and desktop.beeps == 1


def test_a_command_that_cannot_start_falls_back(desktop: Desktop, tmp_path: Path) -> None:
    command(tmp_path, "").write_bytes(b"\x7fELF but not really")
    assert notify("a", "b", None) == "tray"


def test_where_nobody_sees_the_screen_nothing_is_sent(
    desktop: Desktop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command(tmp_path, f"touch {tmp_path}/sent")
    monkeypatch.setattr(QGuiApplication, "platformName", lambda: "offscreen")
    assert notify("a", "b", None) == "alert"
    time.sleep(0.1)
    assert not (tmp_path / "sent").exists() and desktop.shown == []
    assert os.environ["PATH"].startswith(str(tmp_path))
