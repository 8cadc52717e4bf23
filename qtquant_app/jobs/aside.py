"""Work that waits for others, such as a server, driven in a thread of its own: whoever looks on can leave at once."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import Any, Literal

from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.jobs.job import STACK_BYTES, Work

LOOK_SECONDS = 0.05
"""Between two looks whether there is something new: a cancelled job waits no longer."""

_Message = tuple[Literal["event", "done", "failed"], Any]


def aside(work: Work) -> Work:
    """The same work, which a close ends at once even while it waits for an answer.

    What was left behind ends at its own next yield, in a daemon's thread: nobody hears of it any more.
    """

    def attended() -> Generator[Event, None, Any]:
        messages: queue.SimpleQueue[_Message] = queue.SimpleQueue()
        left = threading.Event()
        _start(work, messages, left)
        try:
            while True:
                try:
                    kind, value = messages.get(timeout=LOOK_SECONDS)
                except queue.Empty:
                    yield ChunkDone("", 0)
                    continue
                if kind == "done":
                    return value
                if kind == "failed":
                    raise value
                yield value
        finally:
            left.set()

    return attended


def _start(work: Work, messages: queue.SimpleQueue[_Message], left: threading.Event) -> None:
    def drive() -> None:
        try:
            events = work()
            while not left.is_set():
                messages.put(("event", next(events)))
            events.close()
        except StopIteration as end:
            messages.put(("done", end.value))
        except BaseException as error:
            messages.put(("failed", error))

    before = threading.stack_size(STACK_BYTES)  # secondary threads get 512 KB on macOS
    try:
        threading.Thread(target=drive, name="qtquant-aside", daemon=True).start()
    finally:
        threading.stack_size(before)
