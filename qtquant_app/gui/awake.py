"""Keeps the computer from going to sleep by itself while a run is under way, where the system allows it.

    awake = Awake("QtQuant is quantizing")
    awake.hold()       # at the start of a run, and when a paused one goes on; holding twice is holding once
    awake.release()    # at its end, at a pause, and when the program ends
    awake.details      # a sentence for whoever asks why the computer slept

A closed lid still sends a laptop to sleep: that is a wish. The run goes on when it is opened again.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from contextlib import suppress

_REAP_SECONDS = 0.03
_CONTINUOUS, _SYSTEM_REQUIRED = 0x8000_0000, 0x0000_0001
"""Flags of SetThreadExecutionState."""


class Awake:
    """One wish to stay awake. Nothing here raises: where the wish cannot be made, the run goes on without it.

    What holds it ends with this process, however that ends: a pipe that closes, a command that watches the process, a
    thread that is gone.
    """

    def __init__(self, why: str = "QtQuant is quantizing") -> None:
        self._why = why
        self._child: subprocess.Popen[bytes] | None = None
        self._trouble = ""
        self.held = False
        """Whether `hold` was called last, whatever came of it."""

    def hold(self) -> None:
        """Asks the system to stay awake. Takes milliseconds; GUI thread."""
        if self.held:
            return
        self.held, self._trouble = True, ""
        if sys.platform == "win32":
            self._trouble = "" if _windows_stays_awake(True) else "Windows refused the wish to stay awake"
        else:
            self._start(inhibitor(self._why))

    def release(self) -> None:
        """Lets the system sleep again. Takes milliseconds; GUI thread, the one that held."""
        if not self.held:
            return
        self.held = False
        if sys.platform == "win32":
            _windows_stays_awake(False)
        elif self._child is not None:
            self._note_failure()
            _end(self._child)
            self._child = None

    @property
    def details(self) -> str:
        """Whether the computer is kept awake, and why not where it cannot be."""
        self._note_failure()
        if self._trouble:
            return f"The computer may go to sleep: {self._trouble}"
        return "The computer is kept awake" if self.held else "The computer may go to sleep: nothing is running"

    def _start(self, command: list[str]) -> None:
        if not command:
            self._trouble = "systemd-inhibit is not installed"
            return
        quiet = subprocess.DEVNULL
        try:
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=quiet, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            self._trouble = f"{command[0]} did not start: {error.strerror or error}"

    def _note_failure(self) -> None:
        """What the command said, where it has ended by itself."""
        child = self._child
        if child is None or child.poll() is None or child.stderr is None or child.stderr.closed:
            return
        said = child.stderr.read().decode(errors="replace").split("\n", 1)[0].strip()
        self._trouble = f"{os.path.basename(str(child.args[0]))}: {said or 'it ended at once'}"  # type: ignore[index]  # noqa: PTH119
        _end(child)


def inhibitor(why: str) -> list[str]:
    """The command that keeps this system awake for as long as it runs; empty where there is none.

    `cat` ends when its standard input does, and that is a pipe from this process.
    """
    if sys.platform == "darwin":
        return ["/usr/bin/caffeinate", "-i", "-w", str(os.getpid())]
    found = shutil.which("systemd-inhibit")
    return [found, "--what=sleep:idle", "--who=QtQuant", f"--why={why}", "--mode=block", "cat"] if found else []


def _end(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stderr):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()
    if sys.platform == "darwin":
        child.terminate()
    with suppress(subprocess.TimeoutExpired):  # it is on its way; the next command that starts collects it
        child.wait(_REAP_SECONDS)


def _windows_stays_awake(awake: bool) -> bool:
    kernel = getattr(ctypes, "windll").kernel32  # noqa: B009
    return bool(kernel.SetThreadExecutionState(_CONTINUOUS | (_SYSTEM_REQUIRED if awake else 0)))
