"""Runs `engine/runtime_probes` in a fresh process, and takes nothing that comes back on trust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import IO, Any

from qtquant_app.core.errors import UsageError
from qtquant_app.core.escaping import shortened, visible
from qtquant_app.core.json_text import parse_json

PROBES = Path(__file__).with_name("runtime_probes")

_TICK = 0.1
"""Seconds between looks at the process; a cancelled check ends within one."""
_MOST_ANSWERED = 4 << 20
"""Bytes of answers that are kept: some tens of thousands of token ids."""
_MOST_SAID = 64 << 10
"""Bytes of stderr that are kept, the newest."""
_PIECE = 1 << 16
_WIDEST = 300
"""Characters of a foreign line that are shown."""

_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
_OF_ANOTHER = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
"""What of the environment is this Python's own affair."""


@dataclass(slots=True)
class Answer:
    """What came of a process: the entries of all its answers, and how it ended."""

    words: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why the answer is not whole, on one line; empty where it is."""
    peak_ram_bytes: int = 0


def ask(
    python: str | None, request: Mapping[str, Any], seconds: float, probes: Path = PROBES
) -> Generator[None, None, Answer]:
    """Hands `request` to a fresh `python` (this one's if None), and yields until it has answered.

    It is killed, with all processes that it started, after `seconds`, or when the generator is closed. Raises UsageError where
    `python` cannot be started.
    """
    with TemporaryDirectory(prefix="qtquant-") as nowhere:
        child = _started(python or sys.executable, probes, nowhere)
        answered, said = _Drain(child.stdout, _MOST_ANSWERED), _Drain(child.stderr, _MOST_SAID, newest=True)
        began, answer = monotonic(), Answer()
        try:
            _send(child, request)
            while (code := _ended(child)) is None and monotonic() - began < seconds:
                answer.peak_ram_bytes = max(answer.peak_ram_bytes, _resident(child.pid))
                yield
            late = code is None
        finally:
            _kill(child)
            answered.finish()
            said.finish()
    answer.words, fault = _words(answered)
    if late:
        fault = f"gave no answer within {seconds:g} s"
    elif not fault and "error" not in answer.words and not _whole(answer.words):
        fault = _end_of(code or 0)
    answer.error = _reason(answer.words, fault, said.data.decode("utf-8", "replace"))
    return answer


def _whole(words: Mapping[str, Any]) -> bool:
    return bool(words.get("done") or words.get("missing"))


def _started(python: str, probes: Path, folder: str) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER} | _OFFLINE
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            [python, str(probes)], cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=pipe
        )
    except OSError as error:
        raise UsageError(
            f"{visible(python)} cannot be started: {error.strerror or error}",
            hint="give --python the interpreter of an environment, such as venv/bin/python",
            code="python",
        ) from None


def _send(child: subprocess.Popen[bytes], request: Mapping[str, Any]) -> None:
    """Its stdin stays open: that it closes is how the process learns that we are gone."""
    assert child.stdin is not None
    with suppress(OSError):  # it ended at once; that shows in how
        child.stdin.write(json.dumps(request).encode() + b"\n")
        child.stdin.flush()


def _ended(child: subprocess.Popen[bytes]) -> int | None:
    try:
        return child.wait(_TICK)
    except subprocess.TimeoutExpired:
        return None


def _resident(pid: int) -> int:
    """Bytes of memory of the process and those it started; 0 where it is gone."""
    import psutil

    total = 0
    with suppress(psutil.Error):
        parent = psutil.Process(pid)
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                total += process.memory_info().rss
    return total


def _kill(child: subprocess.Popen[bytes]) -> None:
    import psutil

    started: list[psutil.Process] = []
    with suppress(psutil.Error):
        started = psutil.Process(child.pid).children(recursive=True)
    child.kill()
    for process in started:
        with suppress(psutil.Error):
            process.kill()
    child.wait()
    if child.stdin is not None:
        with suppress(OSError):
            child.stdin.close()


class _Drain:
    """Empties a pipe, so that the process never waits for us; keeps a bounded part of what came."""

    def __init__(self, pipe: IO[bytes] | None, most: int, *, newest: bool = False) -> None:
        assert pipe is not None
        self._pipe, self._most, self._newest = pipe, most, newest
        self.data = bytearray()
        self.cut = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with suppress(OSError, ValueError):
            while piece := os.read(self._pipe.fileno(), _PIECE):
                self._keep(piece)

    def _keep(self, piece: bytes) -> None:
        self.data += piece
        over = len(self.data) - self._most
        if over > 0:
            self.cut = True
            self.data = self.data[over:] if self._newest else self.data[: self._most]

    def finish(self) -> None:
        """Waits for the end of the pipe; a process that slipped away may hold it open, so not for long."""
        self._thread.join(2.0)
        with suppress(OSError):
            self._pipe.close()


def _words(answered: _Drain) -> tuple[dict[str, Any], str]:
    """The entries of every line, and what is wrong with the first that is none of ours."""
    words: dict[str, Any] = {}
    for line in bytes(answered.data).decode("utf-8", "replace").split("\n"):
        if not line.strip():
            continue
        try:
            found = parse_json(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            return words, f"answered with something else: {shortened(line, _WIDEST)}"
        words |= found
    return words, "answered more than there is to say" if answered.cut else ""


def _end_of(code: int) -> str:
    if code < 0:
        import signal

        with suppress(ValueError):
            return f"ended by {signal.Signals(-code).name}"
    return f"ended with status {code} before it answered"


def _reason(words: Mapping[str, Any], fault: str, said: str) -> str:
    """The fault, or the error that was answered, with the last line on stderr that tells more."""
    error = words.get("error")
    main = fault or (error if isinstance(error, str) else "")
    if not main:
        return ""
    more = [line.strip() for line in said.splitlines() if _tells(line) and line.strip() not in main]
    reason = f"{main} ({more[-1]})" if more else main
    return visible(shortened(reason, 2 * _WIDEST))


def _tells(line: str) -> bool:
    """Whether a line on stderr may say why: not those of a Python traceback, whose last line is the error answered."""
    low = line.lower()
    return "error" in low and "traceback" not in low and not line.startswith(("  ", "Traceback"))
