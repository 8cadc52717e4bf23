"""Makes finished work durable behind the run's back: sync the file, then say so in the journal, in that order."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.report import ErrorSums
from qtquant_app.engine import filesystem
from qtquant_app.engine.faults import DISK_FULL, naming
from qtquant_app.engine.journal import Journal
from qtquant_app.engine.output import OutputFolder

SECONDS_BETWEEN_COMMITS = 2.0
"""What a power cut costs at most; more often would make the disk the bottleneck."""

_HASH_BLOCK = 1 << 20

Done = tuple[str, str, ErrorSums | None]
"""A file, a tensor that is wholly in it, and the tensor's errors."""

Compared = tuple[Sequence[str], str, Callable[[], None]]
"""Tensors that were compared with their source, how, and what may be done when the journal says so."""


class Committer:
    """Collects finished tensors and commits them in a thread of its own.

    Every method may raise what an earlier commit ran into. After a WriteError of code "disk-full" all is kept and is said with the
    next commit. Any other error is final: of a file whose sync has failed nobody knows what is on the disk, and a second sync that
    succeeds says nothing about it, so nothing more is journalled.
    """

    def __init__(self, out: OutputFolder, journal: Journal) -> None:
        self._out = out
        self._journal = journal
        self._pool = ThreadPoolExecutor(1, "commit")
        self._waiting: list[Done] = []
        self._synced: list[Done] = []
        """Safely in their files, and not yet in the journal; the thread's own."""
        self._compared: list[Compared] = []
        """Not yet in the journal; the thread's own."""
        self._last = monotonic()
        self._under_way: list[Future[None]] = []
        self._shards: list[tuple[str, Future[str]]] = []
        self._broken: BaseException | None = None

    def tensor_done(self, file: str, name: str, errors: ErrorSums | None) -> None:
        """`name` is wholly written to `file`."""
        self._waiting.append((file, name, errors))
        if monotonic() - self._last >= SECONDS_BETWEEN_COMMITS and all(f.done() for f in self._under_way):
            self._flush()
            self._look()

    def shard_done(self, file: str) -> None:
        """Every tensor of `file` is written: commit them, then hash the file."""
        self._flush()
        self._shards.append((file, self._pool.submit(self._finish, file)))
        self._look()

    def compared(self, tensors: Sequence[str], how: str, then: Callable[[], None]) -> None:
        """`tensors`, all done before, were compared with their source; calls `then` in the thread when the journal says so."""
        self._flush()
        self._under_way.append(self._pool.submit(self._compare, (tensors, how, then)))

    def finished_shards(self, *, wait: bool = False) -> Iterable[tuple[str, str]]:
        """Files hashed and committed since the last call, with their sha256; all of them, and all tensors, where `wait` is set."""
        if wait:
            self._flush()
        while self._shards and (wait or self._shards[0][1].done()):
            file, future = self._shards[0]
            try:
                digest = future.result()
            except QtQuantError as error:
                if error.code == DISK_FULL:
                    self._shards[0] = file, self._pool.submit(self._finish, file)
                raise
            del self._shards[0]
            yield file, digest
        self._look(wait=wait)

    def retry(self) -> None:
        """Says in the journal what a full disk has kept from it; returns when it is there."""
        self._under_way.append(self._pool.submit(self._commit, []))
        self._look(wait=True)

    def undone(self, tensors: Sequence[tuple[str, Sequence[str]]]) -> None:
        """These tensors, each with the files it lies in, are to be done again; returns when the journal says so.

        It comes after all that was said of them before. Can be called again after a WriteError of code "disk-full".
        """
        self._flush()
        self._pool.submit(self._undo, tensors).result()

    def close(self) -> None:
        """Commits what is waiting, so that a cancelled run loses nothing, and ends the thread.

        Raises nothing: a run that ends well has waited for all, and of one that does not, what is not in the journal is done again.
        """
        self._flush()
        self._pool.shutdown(wait=True)
        self._journal.close()

    def _flush(self) -> None:
        if self._waiting:
            self._under_way.append(self._pool.submit(self._commit, self._waiting))
            self._waiting = []
        self._last = monotonic()

    def _look(self, *, wait: bool = False) -> None:
        """Raises what a commit that has ended ran into."""
        while self._under_way and (wait or self._under_way[0].done()):
            self._under_way.pop(0).result()
        if wait and self._pool.submit(self._said).result():
            self._pool.submit(self._commit, []).result()

    def _said(self) -> bool:
        """Whether something is still to be said in the journal."""
        return bool(self._synced or self._compared)

    def _commit(self, tensors: list[Done]) -> None:
        if self._broken is not None:
            raise self._broken
        try:
            for file in sorted({file for file, _, _ in tensors}):
                self._out.sync(file)
            self._synced += tensors
            self._journal.tensors_done((name, errors) for _, name, errors in self._synced)
            self._synced = []
            while self._compared:
                names, how, then = self._compared[0]
                self._journal.verified(names, how)
                del self._compared[0]
                then()
        except BaseException as error:
            if not (isinstance(error, QtQuantError) and error.code == DISK_FULL):
                self._broken = error
            raise

    def _compare(self, compared: Compared) -> None:
        self._compared.append(compared)
        self._commit([])

    def _undo(self, tensors: Sequence[tuple[str, Sequence[str]]]) -> None:
        self._commit([])
        self._journal.undone(tensors)

    def _finish(self, file: str) -> str:
        self._commit([])
        with naming(self._out.partial / file, "cannot be read again"):
            digest = sha256_of(self._out.partial / file)
        self._journal.shard_done(file, digest)
        return digest


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    digest, buffer, at = hashlib.sha256(), bytearray(_HASH_BLOCK), 0
    view = memoryview(buffer)
    with filesystem.open_for_reading(path) as stream:
        while count := filesystem.read_into(stream, at, view):
            digest.update(view[:count])
            at += count
    return digest.hexdigest()
