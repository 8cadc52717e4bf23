"""The demo: the main job in a fresh process, and what it says when it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import SourceError
from qtquant_app.gui.demo import Walk, Walker
from tests.gui.conftest import MakeWindow
from tests.gui.scripted import Script


def demo(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY")}
    command = [sys.executable, "-m", "qtquant_app", "demo", "--headless", "-o", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=environment)


def test_the_demo_leaves_a_verified_checkpoint_and_a_picture_and_can_be_repeated(tmp_path: Path) -> None:
    for _ in range(2):
        done = demo(tmp_path)
        assert done.returncode == 0, done.stderr
        lines = dict(line.split(": ", 1) for line in done.stdout.splitlines()[:2])
        record = json.loads((Path(lines["checkpoint"]) / "qtquant.json").read_text())
        scheme = record["recipe"]["default"]
        assert (scheme["bits"], scheme["group_size"], scheme["symmetric"]) == (4, 64, True)
        picture = QImage(lines["screenshot"])
        assert (picture.width(), picture.height()) == (1440, 900)
        assert "verified" in done.stdout.splitlines()[2]
        assert not list(tmp_path.glob("*.partial"))


class Ending:
    """Stands in for the application: notes with what it was asked to end."""

    def __init__(self) -> None:
        self.status: int | None = None

    def exit(self, status: int) -> None:
        self.status = status


def walk_with(qtbot: QtBot, make_window: MakeWindow, verbs: Script, steps: Walk) -> tuple[Walker, Ending]:
    window, ending = make_window(verbs), Ending()
    walker = Walker(ending, window, steps, stay=False)  # type: ignore[arg-type]
    window.session.open("made up")
    walker.start()
    qtbot.waitUntil(lambda: walker.status is not None)
    return walker, ending


def test_an_error_in_the_window_ends_the_demo_with_its_sentence(
    qtbot: QtBot, make_window: MakeWindow, capsys: object
) -> None:
    verbs = Script()
    verbs.open_error = SourceError("the sample is gone", hint="install again")
    walker, ending = walk_with(qtbot, make_window, verbs, iter([("never", lambda: False)]))  # type: ignore[arg-type]
    assert (walker.status, ending.status) == (1, 1)
    assert "the sample is gone" in capsys.readouterr().err  # type: ignore[attr-defined]


def test_a_step_that_breaks_ends_the_demo(
    qtbot: QtBot, make_window: MakeWindow, qapp: QApplication, capsys: object
) -> None:
    def steps() -> Walk:
        yield "a moment", lambda: True
        raise ValueError("odd")

    walker, _ = walk_with(qtbot, make_window, Script(), steps())
    assert walker.status == 1
    assert "ValueError: odd" in capsys.readouterr().err  # type: ignore[attr-defined]
