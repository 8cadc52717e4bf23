"""A session that ends without a goodbye is noticed, a fault in native code leaves a trace, and a lively one is left alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qtquant_app import watch
from qtquant_app.logs import log_folder
from qtquant_app.watch import ended_badly, watching

WATCHED = """
import ctypes, os, signal, sys, time
from qtquant_app.watch import watching
with watching({kind!r}):
    print("ready", flush=True)
    {act}
"""


def session(act: str, kind: str = "window") -> subprocess.Popen[str]:
    """Another process with a session of its own, once it has begun."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONFAULTHANDLER"}
    child = subprocess.Popen(
        [sys.executable, "-c", WATCHED.format(kind=kind, act=act)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    return child


def ended(act: str, kind: str = "window") -> int:
    child = session(act, kind)
    child.communicate(timeout=30)
    return child.returncode


def test_a_session_that_ends_by_itself_leaves_nothing() -> None:
    assert ended("pass") == 0
    assert ended("sys.exit(3)") == 3
    assert ended_badly() == [] and list(log_folder().iterdir()) == []


def test_an_exception_is_no_crash() -> None:
    with pytest.raises(ValueError, match="a"), watching("window"):
        raise ValueError("a")
    assert ended_badly() == []


@pytest.mark.parametrize(("act", "says"), [("ctypes.string_at(0)", "Segmentation fault"), ("os.abort()", "Aborted")])
def test_a_fault_in_native_code_leaves_a_trace_that_names_the_line(act: str, says: str) -> None:
    assert ended(act) < 0
    (found,) = ended_badly()
    assert found.kind == "window" and says in found.trace and 'File "<string>", line 6' in found.trace
    assert ended_badly() == []  # it is told once


def test_a_killed_session_is_noticed_without_a_trace() -> None:
    child = session("time.sleep(60)")
    child.kill()
    child.communicate(timeout=30)
    (found,) = ended_badly()
    assert found.process == child.pid and found.trace == ""


def test_a_session_that_lives_is_no_crash_and_keeps_its_mark() -> None:
    child = session("sys.stdin.read() if sys.stdin else None; time.sleep(60)")
    try:
        with watching("window"):
            assert ended_badly() == []
            assert len(list(log_folder().glob("session-*"))) == 2
    finally:
        child.kill()
        child.communicate(timeout=30)
    assert len(ended_badly()) == 1


def test_a_mark_that_was_made_a_moment_ago_is_left_until_it_is_old() -> None:
    log_folder().mkdir(parents=True)
    mark = log_folder() / "session-1-1.txt"
    mark.touch()
    assert ended_badly() == [] and mark.exists()
    os.utime(mark, (0, time.time() - 1000))
    assert ended_badly() == [] and not mark.exists()


@pytest.mark.parametrize("content", [b"\xff\xfe", b"window", b"window x y\n", b"\n\n\n"])
def test_a_mark_that_holds_nonsense_is_swept_away(content: bytes) -> None:
    log_folder().mkdir(parents=True)
    (log_folder() / "session-1-1.txt").write_bytes(content)
    assert ended_badly() == [] and list(log_folder().iterdir()) == []


def test_marks_of_killed_commands_do_not_pile_up() -> None:
    log_folder().mkdir(parents=True)
    for number in range(watch.MOST_MARKS + 5):
        (log_folder() / f"session-{number:03d}-1.txt").write_text("command 1 2026-01-01 00:00:00\n")
    with watching("command"):
        assert len(list(log_folder().glob("session-*"))) <= watch.MOST_MARKS + 1


def test_a_folder_that_cannot_be_written_costs_the_watch_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QTQUANT_CACHE", str(tmp_path / "file"))
    with watching("window"):
        assert ended_badly() == []
