"""The window is killed, or told to end, in the middle of a run: the next window has all of it, and goes on to the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.plan import RunOptions
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import Step
from qtquant_app.gui.widgets.leave_dialog import Leave
from tests.checkpoints import small_llama
from tests.gui.window_to_kill import RECIPE

WAIT_MS = 60_000


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def undisturbed(model: Path, output: Path) -> dict[str, bytes]:
    for _ in run(make_plan(open_checkpoint(str(model)), RECIPE), RunOptions(str(output))):
        pass
    return contents(output)


def start_window(model: Path, *outputs: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "tests.gui.window_to_kill", str(model), *map(str, outputs)]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, cwd=Path(__file__).parents[2])


def run_until(window: subprocess.Popen[str], journal: Path) -> None:
    """Returns when a few tensors of the run are done, and some of them safely."""
    assert window.stdout is not None
    for line in window.stdout:
        if int(line) >= 5 and journal.read_bytes().count(b"\n") > 3:
            return
    raise AssertionError("the window ended before its run was that far")


def new_window(qtbot: QtBot, qapp: QApplication, tmp_path: Path) -> MainWindow:
    window = MainWindow(Session(), Settings(tmp_path / "other.ini"))
    window.may_stop = lambda: True  # type: ignore[method-assign]
    qtbot.addWidget(window)
    window.show()
    window.go(Step.RUN)
    qtbot.waitUntil(lambda: len(window.session.queue.records) == 3, timeout=WAIT_MS)
    return window


@pytest.mark.parametrize(
    ("number", "state"), [(signal.SIGKILL, "interrupted"), (signal.SIGTERM, "paused"), (signal.SIGINT, "paused")]
)
def test_a_window_that_ends_in_a_run_is_gone_on_with_by_the_next_one(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path, number: signal.Signals, state: str
) -> None:
    model = small_llama(tmp_path / "model", shards=3, blocks=4)
    outputs = [tmp_path / name for name in ("first", "second", "third")]
    expected = undisturbed(model, tmp_path / "expected")
    ended = start_window(model, *outputs)
    journal = tmp_path / "first.partial" / "journal.jsonl"
    run_until(ended, journal)
    ended.send_signal(number)
    ended.communicate(timeout=60)
    assert not outputs[0].exists()
    assert journal.exists()

    window = new_window(qtbot, qapp, tmp_path)
    queue, panel = window.session.queue, window.run_page.jobs_panel
    assert [(record.output, str(record.state)) for record in queue.records] == [
        (str(outputs[0]), state),
        (str(outputs[1]), "waiting"),
        (str(outputs[2]), "waiting"),
    ]
    qtbot.wait(100)
    assert not window.session.runner.state.active, "nothing starts by itself"
    assert panel.note.full_text() == "2 jobs wait for you to start the queue."

    panel.resume_button.click()
    qtbot.waitUntil(lambda: str(queue.records[-1].state) == "done", timeout=WAIT_MS)
    assert queue.records[-1].output == str(outputs[0])
    assert queue.records[-1].options.resume
    assert contents(outputs[0]) == expected
    qtbot.waitUntil(lambda: bool(queue.records[-1].result), timeout=WAIT_MS)
    assert any("done before" in line for line in queue.records[-1].log)
    assert len(queue.waiting) == 2

    panel.queue_button.click()
    qtbot.waitUntil(lambda: all(record.state.over for record in queue.records), timeout=WAIT_MS)
    assert contents(outputs[2]) == expected
    ends = {record.output: record.ended for record in queue.records}
    assert ends[str(outputs[1])] < ends[str(outputs[2])]  # type: ignore[operator]


def test_a_paused_run_is_gone_on_with_after_the_window_was_closed_and_opened_again(
    qtbot: QtBot, qapp: QApplication, tmp_path: Path
) -> None:
    model = small_llama(tmp_path / "model", shards=2, blocks=4)
    expected = undisturbed(model, tmp_path / "expected")
    first = MainWindow(Session(), Settings(tmp_path / "settings.ini"))
    qtbot.addWidget(first)
    first.show()
    session, page = first.session, first.run_page
    session.set_recipe(RECIPE)
    session.open(str(model))
    qtbot.waitUntil(lambda: session.plan is not None, timeout=WAIT_MS)
    page.output_field.set_path(str(tmp_path / "out"))
    qtbot.waitUntil(page.start_button.isEnabled, timeout=WAIT_MS)
    page.start_button.click()
    session.runner.pause()
    assert not first.close()
    dialog = first.leaving.dialog
    assert dialog is not None
    dialog.buttons[Leave.PAUSE].click()
    qtbot.waitUntil(lambda: not first.isVisible(), timeout=WAIT_MS)
    assert not (tmp_path / "out").exists()

    second = MainWindow(Session(), Settings(tmp_path / "settings.ini"))
    qtbot.addWidget(second)
    queue = second.session.queue
    qtbot.waitUntil(lambda: bool(queue.records), timeout=WAIT_MS)
    assert str(queue.records[0].state) == "paused"
    second.run_page.jobs_panel.resume_button.click()
    qtbot.waitUntil(lambda: str(queue.records[0].state) == "done", timeout=WAIT_MS)
    assert contents(tmp_path / "out") == expected
