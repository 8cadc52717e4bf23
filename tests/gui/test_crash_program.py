"""The program as a whole, in a process of its own: faults, signals and strays, and what they leave in the log folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from qtquant_app.logs import LOG, log_folder


def saved() -> list[Path]:
    return sorted(log_folder().glob("crash-*.txt"))


PROGRAM = """
import ctypes, sys
from PySide6.QtCore import QTimer
from qtquant_app.gui import app
real = app.execute
def execute(found):
    QTimer.singleShot(100, lambda: {act})
    return real(found)
app.execute = execute
from qtquant_app.cli.main import main
sys.exit(main(["gui"]))
"""


def program(act: str) -> subprocess.Popen[str]:
    """The program itself, offscreen, with something that happens once its window shows."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(act=act)],
        env=environment | {"QT_QPA_PLATFORM": "offscreen"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_program_leaves_a_trace_where_native_code_faults() -> None:
    child = program("ctypes.string_at(0)")
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGSEGV
    (mark,) = log_folder().glob("session-*.txt")
    assert mark.read_text().startswith("window ") and "Segmentation fault" in mark.read_text()


def test_the_program_ends_at_sigterm_without_a_question_and_without_a_mark() -> None:
    child = program("print('ready', flush=True)")
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(0.2)
    child.terminate()
    _, said = child.communicate(timeout=60)
    assert child.returncode == 128 + signal.SIGTERM and "Traceback" not in said
    assert list(log_folder().glob("session-*")) == []
    assert "ended by signal 15" in (log_folder() / LOG).read_text()


def test_an_exception_in_a_slot_leaves_the_program_running_with_a_saved_report() -> None:
    child = program("1 / 0 or print()")
    deadline = time.monotonic() + 60
    while not saved():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert child.poll() is None
    child.terminate()
    child.communicate(timeout=60)
    assert "ZeroDivisionError" in saved()[0].read_text() and "ZeroDivisionError" in (log_folder() / LOG).read_text()
