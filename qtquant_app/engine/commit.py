"""Makes finished work durable behind the run's back: sync the file, then say so in the journal, in that order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from time import monotonic

from qtquant_app.core.report import ErrorSums
from qtquant_app.engine.journal import Journal
from qtquant_app.engine.output import OutputFolder

SECONDS_BETWEEN_COMMITS = 2.0
"""What a power cut costs at most; more often would make the disk the bottleneck."""

_HASH_BLOCK = 1 << 20


class Committer:
    """Collects finished tensors and commits them in a thread of its own."""

    def __init__(self, out: OutputFolder, journal: Journal) -> None:
        self._out = out
        self._journal = journal
        self._pool = ThreadPoolExecutor(1, "commit")
        self._waiting: list[tuple[str, str, ErrorSums | None]] = []
        self._last = monotonic()
        self._under_way: list[Future[None]] = []
        self._shards: list[tuple[str, Future[str]]] = []

    def tensor_done(self, file: str, name: str, errors: ErrorSums | None) -> None:
        """`name` is wholly written to `file`. Raises what an earlier commit ran into."""
        self._waiting.append((file, name, errors))
        if monotonic() - self._last >= SECONDS_BETWEEN_COMMITS and all(f.done() for f in self._under_way):
            self._flush()

    def shard_done(self, file: str) -> None:
        """Every tensor of `file` is written: commit them, then hash the file."""
        self._flush()
        self._shards.append((file, self._pool.submit(self._finish, file)))

    def finished_shards(self, *, wait: bool = False) -> Iterable[tuple[str, str]]:
        """Files hashed and committed since the last call, with their sha256; all of them where `wait` is set."""
        while self._shards and (wait or self._shards[0][1].done()):
            file, future = self._shards.pop(0)
            yield file, future.result()

    def close(self) -> None:
        """Commits what is waiting, so that a cancelled run loses nothing, and ends the thread."""
        self._flush()
        self._pool.shutdown(wait=True)
        self._journal.close()

    def _flush(self) -> None:
        for future in [f for f in self._under_way if f.done()]:
            self._under_way.remove(future)
            future.result()
        if self._waiting:
            self._under_way.append(self._pool.submit(self._commit, self._waiting))
            self._waiting = []
        self._last = monotonic()

    def _commit(self, tensors: list[tuple[str, str, ErrorSums | None]]) -> None:
        for file in sorted({file for file, _, _ in tensors}):
            self._out.sync(file)
        self._journal.tensors_done((name, errors) for _, name, errors in tensors)

    def _finish(self, file: str) -> str:
        digest = sha256_of(self._out.partial / file)
        self._journal.shard_done(file, digest)
        return digest


def sha256_of(path: Path) -> str:
    """The file's sha256 in hexadecimal."""
    digest, buffer = hashlib.sha256(), bytearray(_HASH_BLOCK)
    with path.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(memoryview(buffer)[:count])
    return digest.hexdigest()
