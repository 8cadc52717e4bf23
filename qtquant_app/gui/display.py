"""Whether a window can be shown here, found out before Qt is asked: Qt ends the process where it cannot."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from qtquant_app.core.errors import DeviceError

PACKAGES = "libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1"


def has_display() -> bool:
    """Whether there is anything to show a window on."""
    if not sys.platform.startswith("linux"):
        return True
    named = os.environ.get("QT_QPA_PLATFORM", "")
    return bool(named or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display() -> None:
    """Raises DeviceError where there is no display, or Qt's plug-in for it cannot load."""
    if not has_display():
        raise DeviceError(
            "there is no display to open a window on",
            hint="set DISPLAY, or run `qtquant demo --headless`, or use the command line",
            code="no-display",
        )
    missing = missing_library()
    if missing:
        raise DeviceError(
            f"the window cannot open: Qt's xcb plug-in needs {missing}, which is not installed",
            hint=f"on Debian and Ubuntu: apt install {PACKAGES}",
            code="no-xcb",
        )
    if _wants_xcb() and not _answers():
        raise DeviceError(
            f"the display {os.environ.get('DISPLAY')!r} does not answer",
            hint="set DISPLAY to one that runs, or run `qtquant demo --headless`",
            code="no-display",
        )


def missing_library() -> str:
    """The library that keeps Qt's plug-in for X11 from loading; empty where it loads or is not wanted."""
    if not _wants_xcb():
        return ""
    import PySide6

    plugin = Path(PySide6.__path__[0]) / "Qt" / "plugins" / "platforms" / "libqxcb.so"
    if not plugin.is_file():  # a Qt of the system: it looks after its own libraries
        return ""
    try:
        ctypes.CDLL(str(plugin))
    except OSError as error:
        return str(error).partition(":")[0]
    return ""


def _wants_xcb() -> bool:
    """Whether Qt will show its windows through X11."""
    if not sys.platform.startswith("linux") or os.environ.get("WAYLAND_DISPLAY"):
        return False
    named = os.environ.get("QT_QPA_PLATFORM", "")
    return named.startswith("xcb") if named else bool(os.environ.get("DISPLAY"))


def _answers() -> bool:
    """Whether an X server takes a connection; True where there is no library to ask with."""
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return True
    xcb.xcb_connect.restype = ctypes.c_void_p
    for function in (xcb.xcb_connection_has_error, xcb.xcb_disconnect):
        function.argtypes = (ctypes.c_void_p,)
    connection = xcb.xcb_connect(None, None)
    broken = bool(xcb.xcb_connection_has_error(connection))
    xcb.xcb_disconnect(connection)
    return not broken
