"""The computer stays awake while a run is under way, and no longer: with a stand-in for the system's command."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from qtquant_app.gui import awake as module
from qtquant_app.gui.awake import Awake, inhibitor

INHIBIT = """#!/bin/sh
echo "begun $*" >> {log}
while [ "${{1#--}}" != "$1" ]; do shift; done
"$@"
echo ended >> {log}
"""


def until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not ready():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-in for systemd-inhibit, first on PATH, writes what became of it."""
    log = tmp_path / "log"
    log.touch()
    command = tmp_path / "bin" / "systemd-inhibit"
    command.parent.mkdir()
    command.write_text(INHIBIT.format(log=log))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{command.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(module.sys, "platform", "linux")
    return log


def lives(log: Path) -> list[str]:
    return [line.split(" ", 1)[0] for line in log.read_text().splitlines()]


def test_it_holds_from_the_start_to_the_release(log: Path) -> None:
    awake = Awake("a run of five hours")
    awake.hold()
    until(lambda: lives(log) == ["begun"])
    assert "--what=sleep:idle" in log.read_text() and "--why=a run of five hours" in log.read_text()
    assert awake.details == "The computer is kept awake"
    time.sleep(0.2)
    assert lives(log) == ["begun"]
    awake.release()
    until(lambda: lives(log) == ["begun", "ended"])
    assert not awake.held


def test_holding_twice_is_holding_once_and_releasing_twice_is_no_failure(log: Path) -> None:
    awake = Awake()
    awake.hold()
    awake.hold()
    awake.release()
    awake.release()
    until(lambda: lives(log) == ["begun", "ended"])


def test_a_pause_lets_go_and_going_on_holds_again(log: Path) -> None:
    awake = Awake()
    for times in (1, 2):
        awake.hold()
        until(lambda: len(lives(log)) == 2 * times - 1)  # noqa: B023
        awake.release()
        until(lambda: len(lives(log)) == 2 * times)  # noqa: B023
    assert lives(log) == ["begun", "ended"] * 2


def test_a_program_that_is_killed_does_not_keep_the_computer_awake(log: Path) -> None:
    code = "import time; from qtquant_app.gui.awake import Awake; Awake().hold(); time.sleep(60)"
    child = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: lives(log) == ["begun"])
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    until(lambda: lives(log) == ["begun", "ended"])


def test_a_command_that_refuses_is_told_in_the_details_and_nowhere_else(
    log: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bin" / "systemd-inhibit").write_text("#!/bin/sh\necho 'Failed to inhibit: no bus' >&2\nexit 1\n")
    awake = Awake()
    awake.hold()
    until(lambda: "no bus" in awake.details)
    assert awake.details == "The computer may go to sleep: systemd-inhibit: Failed to inhibit: no bus"
    awake.release()
    assert capfd.readouterr().err == ""


def test_a_system_without_the_command_is_told_in_the_details(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "linux")
    monkeypatch.setenv("PATH", str(tmp_path))
    awake = Awake()
    awake.hold()
    assert awake.held and "systemd-inhibit is not installed" in awake.details
    awake.release()


def test_a_command_that_cannot_start_is_no_failure(log: Path, tmp_path: Path) -> None:
    (tmp_path / "bin" / "systemd-inhibit").write_bytes(b"\x7fELF but not really")
    awake = Awake()
    awake.hold()
    assert "did not start" in awake.details
    awake.release()


def test_a_mac_is_kept_awake_by_a_command_that_watches_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.sys, "platform", "darwin")
    assert inhibitor("why") == ["/usr/bin/caffeinate", "-i", "-w", str(os.getpid())]


def test_windows_is_told_that_it_is_needed_and_then_that_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    kernel = SimpleNamespace(SetThreadExecutionState=lambda flags: told.append(flags) or 1)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    monkeypatch.setattr(module.sys, "platform", "win32")
    awake = Awake()
    awake.hold()
    awake.release()
    assert told == [0x80000001, 0x80000000]
