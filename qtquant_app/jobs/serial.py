"""Serial: small pieces of work, one after another, none left out."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QObject, Signal

from qtquant_app.jobs.job import Job, internal, once

Do = Callable[[], Any]


class Serial(QObject):
    """Calls functions in a thread, in the order they were submitted; each answers with one `result` or `failed`."""

    result = Signal(object)
    failed = Signal(object)
    """QtQuantError."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._then: Callable[[Any], object] | None = None
        self._queue: deque[tuple[Do, Callable[[Any], object] | None]] = deque()

    @property
    def busy(self) -> bool:
        return self._job is not None

    def submit(self, do: Do, then: Callable[[Any], object] | None = None) -> None:
        """Calls `do` once all before it has ended; `then`, here, with what it returned, before `result` is emitted."""
        self._queue.append((do, then))
        self._advance()

    def flush(self) -> None:
        """Returns when all that was submitted has been done, what is left of it in this thread: for the end of a program."""
        if self._job is not None:
            self._job.wait()
        while self._queue:
            do, _ = self._queue.popleft()
            try:
                do()
            except Exception as error:
                self.failed.emit(internal(error))

    def _advance(self) -> None:
        if self._job is not None or not self._queue:
            return
        do, self._then = self._queue.popleft()
        self._job = job = Job(once(do))
        # A slot of this object, which goes with it: a function would be called when all that it speaks to is gone.
        job.done.connect(self._end)
        job.failed.connect(self._fail)
        job.cancelled.connect(self._cancelled)
        job.start()

    def _end(self, value: Any) -> None:
        self._job, then = None, self._then
        try:
            if then is not None:
                then(value)
            self.result.emit(value)
        finally:
            self._advance()

    def _fail(self, error: object) -> None:
        self._job = None
        self.failed.emit(error)
        self._advance()

    def _cancelled(self) -> None:
        self._job = None
        self._advance()
