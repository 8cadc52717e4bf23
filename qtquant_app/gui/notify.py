"""Tells that a run has ended to somebody who looks elsewhere: a desktop notification, or whatever comes closest.

if worth_telling(seconds, window):
    notify("Saved smol-W4", "291 tensors in 12 s, verified", window)
"""

from __future__ import annotations

import shutil
import subprocess
import sys

from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QSystemTrayIcon, QWidget

LONG_SECONDS = 20.0
"""Who waited so long is no longer looking, even where the window is in front."""
_SHOWN_MS = 10_000
_NO_MARKUP = str.maketrans("<>&", "\u2039\u203a\uff06")
"""Many desktops read markup in a notification; names from a checkpoint must not be any."""

_UNSEEN = frozenset({"offscreen", "minimal", "vnc"})
"""Platforms of Qt behind which there is no desktop."""

_sending: list[subprocess.Popen[bytes]] = []
"""Commands under way; held until they have ended."""
_tray: list[QSystemTrayIcon] = []
"""The icon a message hangs on, once there was one; it goes with the program."""


def worth_telling(seconds: float, window: QWidget) -> bool:
    """Whether the end of a run of so many seconds should be told: it was long, or another window is in front."""
    return seconds >= LONG_SECONDS or not window.isActiveWindow()


def notify(title: str, text: str, window: QWidget | None = None) -> str:
    """Shows `title` and `text` where the desktop shows such things, and marks `window` in the task bar.

    Never raises. Returns the way it went: "notify-send", "tray", or "alert" where only the task bar (and a beep) could tell.
    """
    title, text = title.translate(_NO_MARKUP), text.translate(_NO_MARKUP)
    way = _way(title, text)
    if window is not None and not window.isActiveWindow():
        QApplication.alert(window)
    if way == "alert":
        QApplication.beep()
    return way


def _way(title: str, text: str) -> str:
    if QGuiApplication.platformName() in _UNSEEN:
        return "alert"
    if _sent(title, text):
        return "notify-send"
    return "tray" if _hung_on_tray(title, text) else "alert"


def _sent(title: str, text: str) -> bool:
    """Through the desktop's own command, which needs no icon in a tray; it is not waited for."""
    command = shutil.which("notify-send") if sys.platform.startswith("linux") else None
    if command is None:
        return False
    words = [command, "--app-name=QtQuant", "--icon=qtquant", "--", title, text]
    quiet = subprocess.DEVNULL
    try:
        _sending[:] = [child for child in _sending if child.poll() is None]
        _sending.append(subprocess.Popen(words, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True))
    except OSError:
        return False
    return True


def _hung_on_tray(title: str, text: str) -> bool:
    if not QSystemTrayIcon.isSystemTrayAvailable() or not QSystemTrayIcon.supportsMessages():
        return False
    if not _tray:
        _tray.append(QSystemTrayIcon(QApplication.windowIcon()))
    _tray[0].show()
    _tray[0].showMessage(title, text, QApplication.windowIcon(), _SHOWN_MS)
    return True
