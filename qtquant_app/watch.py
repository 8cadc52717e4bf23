"""Watches over this process: a fault in native code leaves a trace, and a session that ended without a goodbye is noticed later.

Each session has a file of its own in the log folder, locked while it lives and removed at its end. A lock ends with its
process however that ends, so that a file without one is what a crash left. Python's fault handler writes into the same file.
"""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Literal

from qtquant_app.logs import log_folder, logging_to_file

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Kind = Literal["window", "command"]

MOST_MARKS = 20
_NEWBORN_SECONDS = 60
_LOCKED_BYTE = 1 << 30
"""Windows keeps others from reading what is locked: so lock where nothing stands."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that did not end by itself."""

    kind: str
    process: int
    started: str
    trace: str
    """What the fault handler wrote; empty where the process was killed from outside, or the power went."""


@contextmanager
def watching(kind: Kind) -> Iterator[None]:
    """While it lasts, the log is written, this session has its mark, and a fault in native code leaves a trace."""
    with logging_to_file():
        mark = _new_mark(kind)
        ours = mark is not None and not faulthandler.is_enabled()  # who has it on already wants it elsewhere
        try:
            if mark is not None and ours:
                faulthandler.enable(mark)
            yield
        finally:
            if ours:
                faulthandler.disable()
            if mark is not None:
                _remove(mark)


def ended_badly() -> list[Ended]:
    """Sessions that left their mark behind, oldest first; each is told of once. Those that still live are not among them."""
    try:
        files = sorted(log_folder().glob("session-*.txt"))
    except (OSError, RuntimeError):
        return []
    return [ended for file in files if (ended := _ended(file)) is not None]


def _ended(file: Path) -> Ended | None:
    """What a mark says, once its process is gone; the mark goes too."""
    with suppress(OSError, ValueError):
        with file.open("r+b") as mark:
            if not _lock(mark, wait=False):
                return None
            text = mark.read().decode(errors="replace")
            if not text and time.time() - file.stat().st_mtime < _NEWBORN_SECONDS:
                return None  # made a moment ago, and not locked yet
        file.unlink(missing_ok=True)
        head, _, trace = text.partition("\n")
        kind, process, started = head.split(" ", 2)
        return Ended(kind, int(process), started, trace.strip())
    return None


def _new_mark(kind: Kind) -> BinaryIO | None:
    try:
        folder = log_folder()
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("session-*.txt"))[
            :-MOST_MARKS
        ]:  # killed commands, where no window opens to read them
            _ended(old)
        mark = (folder / f"session-{time.time_ns()}-{os.getpid()}.txt").open("w+b", buffering=0)
        _lock(mark, wait=True)
        mark.write(f"{kind} {os.getpid()} {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode())
    except (OSError, RuntimeError):
        return None
    return mark  # type: ignore[return-value]


def _remove(mark: BinaryIO) -> None:
    with suppress(OSError):
        if sys.platform != "win32":  # gone before the lock is, so that no other window can take it for a crash
            Path(mark.name).unlink(missing_ok=True)
        mark.close()
        Path(mark.name).unlink(missing_ok=True)


def _lock(mark: BinaryIO, *, wait: bool) -> bool:
    try:
        if sys.platform == "win32":
            mark.seek(_LOCKED_BYTE)
            msvcrt.locking(mark.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
            mark.seek(0)
        else:
            fcntl.flock(mark, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
