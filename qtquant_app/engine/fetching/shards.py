"""A source whose weight files come and go: read from the folder that they are fetched into as long as they are there."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.core.remote import Remote
from qtquant_app.engine import filesystem
from qtquant_app.engine.fetching.fetcher import Fetcher

if TYPE_CHECKING:
    from typing_extensions import Buffer


class Shards:
    """Implements `core.remote.Remote` on top of another one."""

    def __init__(self, remote: Remote, folder: Path, fetcher: Fetcher) -> None:
        self._remote, self._folder, self._fetcher = remote, folder, fetcher
        self._lock = threading.Lock()
        self._open: dict[str, list[ShardFile]] = {}

    @property
    def name(self) -> str:
        return self._remote.name

    def size(self, file: str) -> int:
        return self._remote.size(file)

    def mark(self, file: str) -> str:
        return self._remote.mark(file)

    def fetch(self, file: str) -> Path:
        return self._remote.fetch(file)

    def has(self, file: str) -> bool:
        return self._fetcher.whole(file) or self._remote.has(file)

    def part(self, file: str, start: int, stop: int, given_up: threading.Event, *, anew: bool = False) -> bytes:
        return self._remote.part(file, start, stop, given_up, anew=anew)

    def download(self, file: str, given_up: threading.Event, progress: Callable[[int], None]) -> Path:
        return self._remote.download(file, given_up, progress)

    def missing(self, file: str, start: int, stop: int) -> int:
        return 0 if self._fetcher.whole(file) else self._remote.missing(file, start, stop)

    def prefetch(self, file: str, ranges: Iterable[tuple[int, int]]) -> None:
        if not self._fetcher.whole(file):
            self._remote.prefetch(file, ranges)

    def open(self, file: str) -> io.RawIOBase:
        made = ShardFile(self, file)
        with self._lock:
            self._open.setdefault(file, []).append(made)
        return made

    def opened(self, file: str) -> io.RawIOBase:
        """The file where it is now."""
        if self._fetcher.whole(file):
            return filesystem.open_for_reading(self._folder / file)
        return self._remote.open(file)

    def let_go(self, file: str) -> None:
        """Closes the file in all threads, none of which reads it now: an open file cannot be removed, or keeps its room."""
        with self._lock:
            handles = list(self._open.get(file, ()))
        for handle in handles:
            handle.let_go()


class ShardFile(io.RawIOBase):
    """One file, opened where it is when it is next read. A handle belongs to one thread."""

    def __init__(self, shards: Shards, file: str) -> None:
        super().__init__()
        self._shards, self._file = shards, file
        self._inner: io.RawIOBase | None = None
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._shards.size(self._file)}[whence]
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Buffer, /) -> int:  # type: ignore[override]
        if self._inner is None:
            self._inner = self._shards.opened(self._file)
        count = filesystem.read_into(self._inner, self._at, memoryview(buffer).cast("B"))
        self._at += count
        return count

    def let_go(self) -> None:
        """Closes what is open; the next read opens it anew."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None

    def close(self) -> None:
        self.let_go()
        super().close()
