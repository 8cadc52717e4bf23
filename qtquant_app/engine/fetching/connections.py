"""Threads for what may hang: nobody has to wait for them, neither who gives up nor the end of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import TypeVar

from qtquant_app.core.remote import GivenUp

T = TypeVar("T")

_LOOK_SECONDS = 0.05

Task = Callable[[], None]


class Connections:
    """So many requests at once. Those that are asked after `close` are given up."""

    def __init__(self, count: int, given_up: threading.Event) -> None:
        self._given_up = given_up
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._count = count
        for _ in range(count):
            threading.Thread(target=self._serve, name="fetch", daemon=True).start()

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """`work` in one of the threads, in its turn."""
        future: Future[T] = Future()

        def task() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

        self._tasks.put(task)
        return future

    def result(self, future: Future[T]) -> T:
        """What came of it; raises what it raised, and GivenUp soon after the event is set, whether it has ended or not."""
        while not self._given_up.is_set():
            with suppress(TimeoutError):
                return future.result(_LOOK_SECONDS)
        raise GivenUp

    def close(self) -> None:
        """Lets the threads go. Those in a request end with it, by themselves."""
        for _ in range(self._count):
            self._tasks.put(None)

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            if not self._given_up.is_set():
                task()
