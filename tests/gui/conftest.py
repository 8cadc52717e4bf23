"""GUI tests run offscreen, with settings of their own, and leave no thread behind."""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QCoreApplication, QEvent, QSettings
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import ThemeName, apply_theme
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import stop_all

MakeWindow = Callable[[Verbs], MainWindow]


@pytest.fixture(autouse=True)
def own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the settings or the home of whoever runs it."""
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(tmp_path / "settings"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("QTQUANT_THEME", raising=False)


@pytest.fixture(autouse=True)
def no_thread_left() -> Iterator[None]:
    yield
    assert stop_all(), "a job did not end"


@pytest.fixture
def settings() -> Settings:
    return Settings()


@pytest.fixture
def make_window(qtbot: QtBot, qapp: QApplication, settings: Settings) -> MakeWindow:
    """Makes the real window over a session with the given verbs, shown at 1280x720."""

    def make(verbs: Verbs) -> MainWindow:
        # Windows of earlier tests wait to be deleted, and a new style would be given to all that is in them.
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        apply_theme(qapp, ThemeName.LIGHT)
        window = MainWindow(Session(verbs), settings)
        window.may_stop = lambda: True  # type: ignore[method-assign]
        qtbot.addWidget(window)
        window.resize(1280, 720)
        window.show()
        qtbot.waitExposed(window)
        return window

    return make
