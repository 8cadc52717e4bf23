"""Sends the contents of files to where the Hub stores them. Nothing of it can be seen in the repository until a commit names it."""

from __future__ import annotations

import hashlib
import logging
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from qtquant_app.core.events import ChunkDone, Event, FileTransferred
from qtquant_app.core.publication import PublishedFile
from qtquant_app.engine.publish.refusals import of_closed_client
from qtquant_app.engine.publish.sent_file import Stopped, operation
from qtquant_app.engine.publish.waiting import LOOK_SECONDS, THREADS, TRIES, Silence, start

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

AT_ONCE = 3
"""Files under way at the same time: one connection seldom fills the line."""
_AHEAD = 8
"""Steps of progress that nobody has taken yet, after which the transfer waits: a paused job sends nothing."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file to send, and where its content is."""

    file: PublishedFile
    source: Path | bytes


@dataclass(slots=True)
class Sending:
    """What has been sent: the operations of the commit to come."""

    operations: list[CommitOperationAdd] = field(default_factory=list)
    files: list[PublishedFile] = field(default_factory=list)
    bytes_sent: int = 0


class SendError(Exception):
    """Sending `file` failed by its cause."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self.file = file


_Message = tuple[str, int, "_Done | Exception | None"]


@dataclass(frozen=True, slots=True)
class _Done:
    operation: CommitOperationAdd
    file: PublishedFile


class Sender:
    """A few threads that send files by `transfer`, which gives the client one operation at a time.

    `arrived` learns the hash of each that is there, in the thread that drives `run`.

    Leaving the context stops them at their next piece, without waiting for it.
    """

    def __init__(
        self,
        items: Sequence[Item],
        transfer: Callable[[CommitOperationAdd], None],
        arrived: Callable[[Sequence[str]], None],
    ) -> None:
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()
        self._count = len(items)
        for item in items:
            self._items.put(item)
        self._transfer = transfer
        self._arrived = arrived
        self._messages: queue.Queue[_Message] = queue.Queue(_AHEAD)
        self._stop = threading.Event()

    def __enter__(self) -> Sender:
        _hush()
        return self

    def __exit__(self, *ended: object) -> None:
        self._stop.set()

    def run(self) -> Generator[Event, None, Sending]:
        """Sends everything. Raises SendError for the first file that cannot be sent; its cause is what the client met."""
        for number in range(min(AT_ONCE, self._count)):
            start(self._work, str(number))
        made, silence = Sending(), Silence("sending files")
        told: dict[str, int] = {}
        while len(made.files) < self._count:
            try:
                name, nbytes, done = self._messages.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                yield silence.event()
                continue
            silence.end()
            if isinstance(done, Exception):
                raise SendError(name) from done
            if done is None:
                told[name] = told.get(name, 0) + nbytes
                yield ChunkDone(name, nbytes)
                continue
            made.operations.append(done.operation)
            made.files.append(done.file)
            made.bytes_sent += done.file.bytes if done.file.sent else 0
            self._arrived([done.file.sha256])
            if left := done.file.bytes - told.get(name, 0):  # the Hub had it already
                yield ChunkDone(name, left)
            yield FileTransferred(name, done.file.bytes)
        return made

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                item = self._items.get_nowait()
            except queue.Empty:
                return
            try:
                self._send_again(item)
            except Stopped:
                return
            except Exception as error:
                self._tell(item.file.name, 0, error)
                return

    def _send_again(self, item: Item) -> None:
        """Sends a file, once more for each time that another thread's lost connection took this one's with it."""
        for _ in range(TRIES):
            try:
                return self._send(item)
            except Exception as error:
                if not of_closed_client(error):
                    raise
                self._stop.wait(LOOK_SECONDS)
        return self._send(item)

    def _send(self, item: Item) -> None:
        name = item.file.name
        made, sent = operation(item.source, item.file, partial(self._moved, name), self._stop)
        with sent:
            self._transfer(made)
            apart = made.path_or_fileobj is not sent  # the client lets go of what it has sent
            blob = ""
            if not apart:  # small files travel in the commit
                made.path_or_fileobj = data = sent.read()
                blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
            self._tell(name, 0, _Done(made, replace(item.file, sent=sent.sent, blob=blob)))

    def _moved(self, name: str, nbytes: int) -> None:
        if not self._tell(name, nbytes, None):
            raise Stopped

    def _tell(self, name: str, nbytes: int, done: _Done | Exception | None) -> bool:
        """Hands a message over, waiting where nobody takes any; False where nobody will."""
        while not self._stop.is_set():
            try:
                self._messages.put((name, nbytes, done), timeout=LOOK_SECONDS)
                return True
            except queue.Full:
                continue
        return False


def _hush() -> None:
    """Keeps the client's warnings of these threads off the terminal: they name addresses that are secret, and `run` tells it."""
    logger = logging.getLogger("huggingface_hub")
    for handler in logger.handlers:
        if not any(isinstance(found, _NotOurs) for found in handler.filters):
            handler.addFilter(_NotOurs())


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.threadName or "").startswith(THREADS)
