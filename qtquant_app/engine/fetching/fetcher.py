"""Fetches weight files one after the other, in a thread of its own, into a folder from which they go again.

A file comes by ranges over a few connections and is written in order, so that what is there is its beginning: a run that was cut
off goes on from the end of that. It counts as here only when all of it has the hash that it was listed with.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.remote import GivenUp, Remote
from qtquant_app.engine import filesystem
from qtquant_app.engine.faults import DISK_FULL, naming
from qtquant_app.engine.fetching import pieces
from qtquant_app.engine.fetching.connections import Connections
from qtquant_app.engine.hub.downloading import wrong_hash
from qtquant_app.engine.hub.hashes import hasher, take_in

if TYPE_CHECKING:
    import hashlib

_FULL_SECONDS = 0.2


@dataclass(frozen=True)
class Order:
    """What is to be fetched: `small` files first, then `files` in their order, no more than `limit` bytes of them at once, save
    what is waited for. `cache`: into the cache that is shared with others, and not into the folder."""

    files: Sequence[str]
    small: Sequence[str] = ()
    limit: int | None = None
    cache: bool = False


@dataclass
class _Known:
    """What both sides know, under the lock."""

    bytes: dict[str, int] = field(default_factory=dict)
    """Of each file in the folder."""
    whole: set[str] = field(default_factory=set)
    wanted: frozenset[str] = frozenset()
    leaving: set[str] = field(default_factory=set)
    """Files that are to be dropped in a moment."""
    small: bool = False
    """Whether the small files are here."""
    done: int = 0
    latest: str = ""
    error: BaseException | None = None
    trouble: QtQuantError | None = None
    """What it waits for the end of."""


class Fetcher:
    """Begins at once. All that is public returns at once too, or after a moment."""

    def __init__(self, remote: Remote, folder: Path, order: Order) -> None:
        self._remote, self._folder, self._order = remote, folder, order
        self._given_up = threading.Event()
        self._changed = threading.Condition()
        self._known = _Known()
        self._lines = Connections(pieces.CONNECTIONS, self._given_up)
        self.files = frozenset(order.files)
        self.total = sum(remote.size(file) for file in order.files)
        self._thread = threading.Thread(target=self._work, name="fetcher", daemon=True)
        self._thread.start()

    def want(self, files: Collection[str]) -> None:
        """These are waited for, whatever room they take; those that were before are not."""
        with self._changed:
            self._known.wanted = frozenset(files)
            self._changed.notify_all()

    def ready(self, files: Collection[str], *, small: bool = False) -> bool:
        """Whether they are here, and the small files where asked. Raises what keeps them from coming."""
        with self._changed:
            known = self._known
            if known.whole.issuperset(files) and (known.small or not small):
                return True
            if known.error is not None:
                raise known.error
            return False

    def wait(self, seconds: float) -> None:
        """Returns when something has come, or after so many seconds."""
        with self._changed:
            self._changed.wait(seconds)

    def whole(self, file: str) -> bool:
        """Whether all of a file is in the folder."""
        with self._changed:
            return file in self._known.whole and not self._order.cache

    def leave(self, files: Collection[str]) -> None:
        """These will be dropped: even what is waited for waits for the room that they take."""
        with self._changed:
            self._known.leaving |= set(files) & set(self._known.bytes)

    def drop(self, file: str) -> None:
        """Removes a file from the folder. Raises WriteError."""
        if self._order.cache:
            return
        with naming(self._folder / file, "cannot be removed"):
            filesystem.remove(self._folder / file)
        with self._changed:
            self._known.whole.discard(file)
            self._known.leaving.discard(file)
            self._known.bytes.pop(file, None)
            self._changed.notify_all()

    def progress(self) -> tuple[str, int, QtQuantError | None]:
        """The file that came in last, the bytes that are here or were, and what is waited for, if anything is."""
        with self._changed:
            return self._known.latest, self._known.done, self._known.trouble

    def close(self) -> None:
        """Stops at once; what is on its way is lost, what was written is not."""
        self._given_up.set()
        with self._changed:
            self._changed.notify_all()
        self._lines.close()
        self._thread.join()

    def _work(self) -> None:
        try:
            for file in self._order.small:
                self._lines.result(self._lines.submit(partial(self._remote.fetch, file)))
            with self._changed:
                self._known.small = True
                self._changed.notify_all()
            for file in self._order.files:
                self._into_cache(file) if self._order.cache else self._into_folder(file)
                with self._changed:
                    self._known.whole.add(file)
                    self._changed.notify_all()
        except GivenUp:
            return
        except BaseException as error:
            with self._changed:
                self._known.error = error
                self._changed.notify_all()

    def _into_cache(self, file: str) -> None:
        work = partial(self._remote.download, file, self._given_up, partial(self.note, file))
        self._lines.result(self._lines.submit(work))
        self.note(file, self._remote.size(file))

    def _into_folder(self, file: str) -> None:
        """Raises SourceError where it cannot be had or is not what it should be."""
        path, wanted = self._folder / file, self._remote.mark(file)
        with naming(path):
            filesystem.make_folder(path.parent)
            handle = filesystem.open_for_writing(path, create=True)
        try:
            for anew in (False, True):
                if self._written(handle, path, file, anew=anew) == wanted:
                    return
            with naming(path):
                filesystem.truncate(handle, 0)
        finally:
            filesystem.close(handle)
        raise wrong_hash(self._remote.name, file)

    def _written(self, handle: int, path: Path, file: str, *, anew: bool) -> str:
        """Goes on with the file where it ends, or from its beginning; the hash of all of it."""
        size = self._remote.size(file)
        digest: hashlib._Hash = hasher(self._remote.mark(file), size)
        with naming(path):
            at = 0 if anew else take_in(path, size, digest.update, self._given_up)
            filesystem.truncate(handle, at)
        self.note(file, at)
        for data in pieces.pieces(_Asked(self, file, anew), at, size):
            self._write(handle, path, at, data)
            digest.update(data)
            at += len(data)
            self.note(file, at)
        return digest.hexdigest()

    def _write(self, handle: int, path: Path, at: int, data: bytes) -> None:
        """Writes all of `data`, as soon as there is room for it."""
        view = memoryview(data)
        while view:
            try:
                with naming(path):
                    count = filesystem.write_at(handle, at, view)
            except QtQuantError as error:
                if error.code != DISK_FULL:
                    raise
                self.pause(error, _FULL_SECONDS)
                continue
            view, at = view[count:], at + count
        with self._changed:
            self._known.trouble = None

    def ask(self, file: str, start: int, stop: int, *, anew: bool) -> Future[bytes]:
        """Asks for a part of a file."""
        return self._lines.submit(partial(self._remote.part, file, start, stop, self._given_up, anew=anew))

    def result(self, future: Future[bytes]) -> bytes:
        """What came. Raises what kept it from coming, and GivenUp."""
        return self._lines.result(future)

    def pause(self, trouble: QtQuantError, seconds: float) -> None:
        """Waits, and says what for. Raises GivenUp."""
        with self._changed:
            self._known.trouble = trouble
            self._changed.notify_all()
        if self._given_up.wait(seconds):
            raise GivenUp

    def note(self, file: str, nbytes: int) -> None:
        """So many bytes of a file are here."""
        with self._changed:
            known = self._known
            known.done += nbytes - known.bytes.get(file, 0)
            known.bytes[file], known.latest = nbytes, file
            self._changed.notify_all()

    def has_room(self, file: str, stop: int) -> bool:
        """Whether `file` may grow to `stop` bytes now."""
        with self._changed:
            known, limit = self._known, self._order.limit
            others = sum(known.bytes.values()) - known.bytes.get(file, 0)
            waited_for = file in known.wanted and not known.leaving
            return limit is None or waited_for or others + stop <= limit

    def wait_for_room(self) -> None:
        """Returns when there may be more. Raises GivenUp."""
        with self._changed:
            if not self._given_up.is_set():
                self._changed.wait(1.0)
        if self._given_up.is_set():
            raise GivenUp


@dataclass(frozen=True, slots=True)
class _Asked:
    """The fetcher, asked for the parts of one file."""

    fetcher: Fetcher
    file: str
    anew: bool

    def submit(self, start: int, stop: int) -> Future[bytes]:
        return self.fetcher.ask(self.file, start, stop, anew=self.anew)

    def result(self, future: Future[bytes]) -> bytes:
        return self.fetcher.result(future)

    def has_room(self, stop: int) -> bool:
        return self.fetcher.has_room(self.file, stop)

    def wait_for_room(self) -> None:
        self.fetcher.wait_for_room()

    def pause(self, trouble: QtQuantError, seconds: float) -> None:
        self.fetcher.pause(trouble, seconds)
