"""A Job: one engine generator driven by one thread, its events handed to the GUI thread in batches."""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from PySide6.QtCore import QObject, QThread, QTimer, Signal, Slot

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event
from qtquant_app.core.trail import LOGGER, TRAIL

Work = Callable[[], Generator[Event, None, Any]]
"""Makes the generator. It is called inside the thread, so that what it imports costs the GUI thread nothing."""

BATCH_MS = 50
STACK_BYTES = 16 << 20

_running: set[Job] = set()
"""Holds each started Job until it has ended: a QThread that is collected while it runs aborts the process."""


class Job(QThread):
    """Runs `work` to its end and says so exactly once: `done`, `failed` or `cancelled`, after the last `batch`.

    All four signals are emitted in the thread the Job was made in, which needs an event loop.
    """

    batch = Signal(list)
    """list[Event], at most every 50 ms."""
    done = Signal(object)
    """What the generator returned."""
    failed = Signal(object)
    """QtQuantError; an exception of another kind is wrapped, with code "internal", and kept as its cause."""
    cancelled = Signal()

    def __init__(
        self, work: Work, parent: QObject | None = None, *, on_pause: Callable[[], object] | None = None
    ) -> None:
        """`on_pause` is called in the thread whenever it begins to wait paused, such as to give memory back."""
        super().__init__(parent)
        self.setStackSize(STACK_BYTES)  # secondary threads get 512 KB on macOS, too little for numba and torch
        self._work = work
        self._events: deque[Event] = deque()
        self._on_pause = on_pause
        self._go = threading.Event()
        self._go.set()
        self._free = threading.Event()
        self._free.set()
        self._held_until = 0.0
        self._stop = threading.Event()
        self._outcome: tuple[str, Any] = ("cancelled", None)
        self._timer = QTimer(self)
        self._timer.setInterval(BATCH_MS)
        self._timer.timeout.connect(self._drain)
        self.finished.connect(self._end)

    def start(self, priority: QThread.Priority = QThread.Priority.InheritPriority) -> None:
        """Starts the thread. A Job runs once."""
        _running.add(self)
        self.setParent(None)  # a parent that is deleted would delete the running thread
        self._timer.start()
        super().start(priority)

    def pause(self) -> None:
        """Takes effect at the generator's next yield."""
        self._go.clear()

    def resume(self) -> None:
        self._go.set()

    def cancel(self) -> None:
        """Closes the generator at its next yield, paused or not."""
        self._stop.set()
        self._go.set()
        self._free.set()

    def hold(self, seconds: float) -> None:
        """Asks for no event for up to `seconds` from now, so that something more urgent has the processors; no pause."""
        if not self._stop.is_set():
            self._held_until = time.monotonic() + seconds
            self._free.clear()

    def let_go(self) -> None:
        """Ends a hold."""
        self._free.set()

    @property
    def paused(self) -> bool:
        return not self._go.is_set()

    def run(self) -> None:
        """The thread's body; QThread calls it."""
        try:
            self._outcome = self._drive()
        except QtQuantError as error:
            self._outcome = ("failed", error)
        except BaseException as error:
            self._outcome = ("failed", internal(error))
            LOGGER.error("a job failed", exc_info=error)

    def _drive(self) -> tuple[str, Any]:
        if self._stop.is_set():
            return "cancelled", None
        events = self._work()
        try:
            while self._may_go_on():
                event = next(events)
                TRAIL.add(event)
                self._events.append(event)
        except StopIteration as end:
            return "done", end.value
        events.close()
        return "cancelled", None

    def _may_go_on(self) -> bool:
        if not self._free.is_set():
            self._free.wait(max(0.0, self._held_until - time.monotonic()))
        if not self._go.is_set():
            if self._on_pause is not None:
                self._on_pause()
            self._go.wait()
        return not self._stop.is_set()

    @Slot()
    def _drain(self) -> None:
        events = [self._events.popleft() for _ in range(len(self._events))]
        if events:
            self.batch.emit(events)

    @Slot()
    def _end(self) -> None:
        self.wait()
        self._timer.stop()
        self._drain()
        kind, value = self._outcome
        try:
            if kind == "cancelled":
                self.cancelled.emit()
            else:
                (self.done if kind == "done" else self.failed).emit(value)
        finally:
            _running.discard(self)


def once(function: Callable[[], Any]) -> Work:
    """A plain function as the work of a Job: no events, its return value as the result."""

    def work() -> Generator[Event, None, Any]:
        yield from ()
        return function()

    return work


def running() -> frozenset[Job]:
    """The Jobs that have started and not yet ended."""
    return frozenset(_running)


def stop_all(milliseconds: int = 10_000) -> bool:
    """Cancels every running Job and waits up to `milliseconds` for each thread; False where one did not end."""
    jobs = running()
    for job in jobs:
        job.cancel()
    waited = [job.wait(milliseconds) for job in jobs]  # each in turn: all() would stop at the first that did not end
    return all(waited)


atexit.register(stop_all)


def internal(error: BaseException) -> QtQuantError:
    """A foreign exception as one of ours; the original, with its traceback, is the cause."""
    if isinstance(error, MemoryError):
        wrapped = QtQuantError("memory ran out", hint="close other programs, or lower the memory limit", code="memory")
    else:
        text = " ".join(str(error).split()) or "no message"
        wrapped = QtQuantError(
            f"an unexpected error stopped the work: {type(error).__name__}: {text}",
            hint="please report it with the details",
            code="internal",
        )
    wrapped.__cause__ = error
    return wrapped
