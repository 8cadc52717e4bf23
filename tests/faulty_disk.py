"""A disk that fails at the k-th call: once with an error, or for good, as at a power cut or a SIGKILL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from qtquant_app.engine import filesystem

CALLS = (
    "open_for_reading",
    "read_into",
    "open_for_writing",
    "write",
    "write_at",
    "truncate",
    "reserve",
    "fsync",
    "fsync_folder",
    "make_folder",
    "rename",
    "remove",
)
"""Every function of `filesystem` but `close`."""

_WRITES = {"write": 1, "write_at": 2}
"""Where a call has its data."""


class Stopped(BaseException):
    """The process is gone: nothing that it does after this reaches the disk."""


class FaultyDisk:
    """Counts the calls and lets one fail. `errno` is that of the error; None stops the process there, a write half done."""

    def __init__(self, fail_at: int, errno: int | None, only: Iterable[str] = CALLS) -> None:
        self.calls = 0
        self.failed = ""
        """The call that failed."""
        self._fail_at, self._errno, self._only = fail_at, errno, frozenset(only)
        self._lock = threading.Lock()

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        """`real`, failing when its turn comes."""

        def call(*args: Any, **kwargs: Any) -> Any:
            if not self._fails(name):
                return real(*args, **kwargs)
            if name in _WRITES and self._errno is None:
                at = _WRITES[name]
                data = memoryview(args[at])
                real(*args[:at], data[: len(data) // 2], *args[at + 1 :])
            if self._errno is None:
                raise Stopped(name)
            raise OSError(self._errno, os.strerror(self._errno))

        return call

    def _fails(self, name: str) -> bool:
        with self._lock:
            if self.failed and self._errno is None:
                raise Stopped(name)
            if name not in self._only:
                return False
            self.calls += 1
            if self.calls == self._fail_at:
                self.failed = name
            return self.calls == self._fail_at


@contextmanager
def faulty(disk: FaultyDisk) -> Iterator[FaultyDisk]:
    """Puts `disk` in the place of the real one."""
    real = {name: getattr(filesystem, name) for name in CALLS}
    try:
        for name, function in real.items():
            setattr(filesystem, name, disk.wrapped(name, function))
        yield disk
    finally:
        for name, function in real.items():
            setattr(filesystem, name, function)
