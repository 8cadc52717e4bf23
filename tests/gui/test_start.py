"""Starting: quickly, without the engine, and with a sentence where there is no display."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from qtquant_app.core.errors import DeviceError
from qtquant_app.gui import display
from qtquant_app.gui.display import PACKAGES, check_display, missing_library

HEAVY = ("torch", "transformers", "safetensors", "numba", "huggingface_hub")


def fresh(code: str) -> str:
    """What a new interpreter prints for `code`."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_window_loads_neither_torch_nor_the_engine() -> None:
    code = f"import sys, qtquant_app.gui.main_window; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert fresh(code) == "[]"
    code = "import sys, qtquant_app.gui.app; print([m for m in sys.modules if m.startswith('qtquant_app.engine')])"
    assert fresh(code) == "[]"


def test_the_window_itself_opens_without_torch() -> None:
    code = (
        "import sys\n"
        "from qtquant_app.gui.app import make_app, Session, Settings, MainWindow\n"
        "from pathlib import Path\n"
        "from tempfile import mkdtemp\n"
        "app = make_app()\n"
        "window = MainWindow(Session(), Settings(Path(mkdtemp()) / 's.ini'))\n"
        "window.show()\n"
        "app.processEvents()\n"
        "print('torch' in sys.modules)\n"
        "window.close()\n"
    )
    assert fresh(code) == "False"


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(display.sys, "platform", "linux")
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_no_display_is_a_sentence_with_a_way_out(linux: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match="there is no display") as caught:
        check_display()
    assert "--headless" in caught.value.hint


def test_a_missing_library_is_named_with_the_line_that_installs_it(linux: pytest.MonkeyPatch) -> None:
    linux.setenv("DISPLAY", ":7")

    def refuse(_: str) -> None:
        raise OSError("libxcb-cursor.so.0: cannot open shared object file: No such file or directory")

    linux.setattr(ctypes, "CDLL", refuse)
    with pytest.raises(DeviceError, match=r"needs libxcb-cursor\.so\.0") as caught:
        check_display()
    assert caught.value.hint.endswith(f"apt install {PACKAGES}")


def test_a_display_that_does_not_answer_is_said(linux: pytest.MonkeyPatch) -> None:
    linux.setenv("DISPLAY", ":4711")
    linux.setattr(display, "missing_library", lambda: "")
    linux.setattr(display, "_answers", lambda: False)
    with pytest.raises(DeviceError, match="':4711' does not answer"):
        check_display()


def test_the_library_is_not_asked_for_where_x11_is_not_used(linux: pytest.MonkeyPatch) -> None:
    linux.setattr(ctypes, "CDLL", lambda _: pytest.fail("nothing to load"))
    linux.setenv("QT_QPA_PLATFORM", "offscreen")
    assert missing_library() == ""
    check_display()
    linux.delenv("QT_QPA_PLATFORM")
    linux.setenv("DISPLAY", ":7")
    linux.setenv("WAYLAND_DISPLAY", "wayland-0")
    assert missing_library() == ""


def test_other_systems_always_have_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display.sys, "platform", "darwin")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("QT_QPA_PLATFORM", raising=False)
    check_display()
