"""Pieces of files that were fetched, kept on disk with a checksum each, so that nothing is fetched twice.

A piece is a file of its own, `FIRST-LAST` in hexadecimal, in a folder for the file that it is of; its last bytes are its checksum.
What is damaged is thrown away and fetched again; a folder that cannot be written to is done without; beyond `limit` bytes the
pieces that were not asked for longest go.
"""

from __future__ import annotations

import hashlib
import os
import re
import threading
from bisect import bisect_right
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

PIECE = 1 << 20
"""Bytes of a piece, at most."""
LIMIT = 4 << 30
"""Bytes of all pieces of all models."""

_CHECK = 16
_NAME = re.compile(r"([0-9a-f]{1,15})-([0-9a-f]{1,15})")
_HELD = 24
"""Pieces kept in memory, so that rows read one after the other do not read a piece anew each."""


class Pieces:
    """The pieces of one file. Everything may be called by several threads at once."""

    def __init__(self, folder: Path, limit: int = LIMIT) -> None:
        self._folder = folder
        self._limit = limit
        self._lock = threading.Lock()
        self._stops: dict[int, int] = {}
        self._starts: list[int] = []
        self._held: OrderedDict[int, bytes] = OrderedDict()
        with suppress(OSError):
            for path in folder.iterdir():
                found = _NAME.fullmatch(path.name)
                if found:
                    self._note(int(found[1], 16), int(found[2], 16))

    def read(self, at: int, stop: int) -> bytes:
        """What is known of the bytes from `at` on, as far as one piece goes and no further than `stop`; nothing where none is."""
        with self._lock:
            start = self._before(at)
            end = self._stops.get(start, 0)
        if end <= at:
            return b""
        data = self._data(start, end)
        return data[at - start : stop - start]

    def next(self, at: int, stop: int) -> int:
        """Where the first piece at or after `at` begins; `stop` where none does before it."""
        with self._lock:
            place = bisect_right(self._starts, at - 1)
            return min(stop, self._starts[place]) if place < len(self._starts) else stop

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The ranges of `start` to `stop` of which nothing is known, in order."""
        found, at = [], start
        while at < stop:
            with self._lock:
                end = self._stops.get(self._before(at), 0)
            if end <= at:
                end = self.next(at, stop)
                found.append((at, end))
            at = min(end, stop)
        return found

    def keep(self, start: int, data: bytes) -> None:
        """Keeps bytes of the file, from `start` on."""
        for at in range(0, len(data), PIECE):
            part = data[at : at + PIECE]
            if self._written(start + at, part):
                with self._lock:
                    self._note(start + at, start + at + len(part))
        room_within(self._folder.parent.parent, len(data), self._limit)

    def _before(self, at: int) -> int:
        """Where the last piece that begins at or before `at` does; -1 where none does."""
        place = bisect_right(self._starts, at)
        return self._starts[place - 1] if place else -1

    def _note(self, start: int, stop: int) -> None:
        if start not in self._stops:
            self._starts.insert(bisect_right(self._starts, start), start)
        self._stops[start] = max(stop, self._stops.get(start, 0))

    def _forget(self, start: int) -> None:
        with self._lock:
            if self._stops.pop(start, None) is not None:
                self._starts.remove(start)

    def _path(self, start: int, stop: int) -> Path:
        return self._folder / f"{start:x}-{stop:x}"

    def _written(self, start: int, data: bytes) -> bool:
        path = self._path(start, start + len(data))
        beside = path.with_name(f"{path.name}.{uuid4().hex[:8]}.part")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(data + _checksum(data))
            beside.replace(path)
        except OSError:
            with suppress(OSError):
                beside.unlink(missing_ok=True)
            return False
        return True

    def _data(self, start: int, stop: int) -> bytes:
        """The bytes of a piece; none, and none known any more, where it is gone or damaged."""
        with self._lock:
            held = self._held.get(start)
        if held is not None and len(held) == stop - start:
            return held
        path = self._path(start, stop)
        try:
            data = path.read_bytes() if path.stat().st_size == stop - start + _CHECK else b""
            os.utime(path)
        except OSError:
            data = b""
        if len(data) != stop - start + _CHECK or _checksum(data[:-_CHECK]) != data[-_CHECK:]:
            self._forget(start)
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return b""
        with self._lock:
            self._held[start] = data[:-_CHECK]
            while len(self._held) > _HELD:
                self._held.popitem(last=False)
        return data[:-_CHECK]


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECK]


_taken: dict[Path, int] = {}
_taking = threading.Lock()


def room_within(folder: Path, more: int, limit: int) -> None:
    """Counts `more` bytes that were written below `folder`; beyond `limit` removes the oldest until three quarters are left."""
    with _taking:
        taken = _taken[folder] + more if folder in _taken else sum(size for _, size, _ in _all(folder))
        if taken > limit:
            taken = _remove_oldest(folder, limit * 3 // 4)
        _taken[folder] = taken


def _remove_oldest(folder: Path, limit: int) -> int:
    """The bytes that are left."""
    found = sorted(_all(folder))
    taken = sum(size for _, size, _ in found)
    for _, size, path in found:
        if taken <= limit:
            break
        with suppress(OSError):
            Path(path).unlink()
        taken -= size
    return taken


def _all(folder: Path) -> list[tuple[float, int, str]]:
    """When each piece was last asked for, its bytes, and its path."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                path = os.path.join(place, name)  # noqa: PTH118 - many thousands of them
                state = os.stat(path)  # noqa: PTH116
                found.append((state.st_mtime, state.st_size, path))
    return found
