"""A file on its way: the client reads it piece by piece, and here is seen how far it is, and that it is still what was verified."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from qtquant_app.core.errors import PublishError
from qtquant_app.core.publication import PublishedFile

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

STEP = 1 << 20
"""Bytes after which progress is told."""


class Stopped(BaseException):
    """Nobody waits for the file any longer. No Exception: the client would try again."""


class SentFile(io.BufferedIOBase):
    """Reads like the file, tells `moved` how many bytes went for the first time, and stops when `stop` is set.

    `moved` may wait, and the transfer with it. At the end the bytes must have the hash that they are sent under: PublishError
    otherwise, before the last of them is handed over.
    """

    def __init__(
        self, stream: BinaryIO, file: PublishedFile, moved: Callable[[int], None], stop: threading.Event
    ) -> None:
        self._stream = stream
        self._file = file
        self._moved = moved
        self._stop = stop
        self._digest = hashlib.sha256()
        self._furthest = self._told = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        """Raises Stopped, and PublishError where the file is no longer what it was."""
        if self._stop.is_set():
            raise Stopped
        at = self._stream.tell()
        data = self._stream.read(-1 if size is None else size)
        fresh = at + len(data) - self._furthest
        if fresh > 0 and at <= self._furthest:
            self._digest.update(memoryview(data)[len(data) - fresh :])
            self._furthest += fresh
            self._tell()
        if self._furthest > self._file.bytes or (not data and self._furthest < self._file.bytes):
            raise _changed(self._file.name)
        return data

    def close(self) -> None:
        self._stream.close()
        super().close()

    def _tell(self) -> None:
        whole = self._furthest == self._file.bytes
        if whole and self._digest.hexdigest() != self._file.sha256:
            raise _changed(self._file.name)
        if whole or self._furthest - self._told >= STEP:
            self._moved(self._furthest - self._told)
            self._told = self._furthest

    @property
    def sent(self) -> bool:
        """Whether any of it was read in order to be sent."""
        return self._furthest > 0


def _changed(name: str) -> PublishError:
    text = f"{name} has changed since it was verified: its sha256 differs"
    return PublishError(text, hint="see `qtquant verify`, and publish it again", code="changed")


def operation(
    source: Path | bytes, file: PublishedFile, moved: Callable[[int], None], stop: threading.Event
) -> tuple[CommitOperationAdd, SentFile]:
    """What adds `file` to a commit, its content from a path or from memory, and the stream that the client will read.

    The client is told the hash, which is known, in place of reading everything once more for it; and it gets a stream, which it
    sends over HTTP: what its chunked transfer (hf-xet) reads cannot be followed, stopped, or held against the hash.
    """
    from huggingface_hub import CommitOperationAdd

    content = source if isinstance(source, bytes) else str(source.absolute())
    made = CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=content)
    made.upload_info.sha256 = bytes.fromhex(file.sha256)
    if made.upload_info.size != file.bytes:
        raise _changed(file.name)
    stream = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    made.path_or_fileobj = sent = SentFile(stream, file, moved, stop)
    return made, sent
