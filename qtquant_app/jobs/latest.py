"""Latest: of many requests of a kind, only the newest counts."""

from __future__ import annotations

from PySide6.QtCore import QObject, Signal

from qtquant_app.jobs.job import Job, Work


class Latest(QObject):
    """Runs one Job at a time. A newer request cancels the running one and starts as soon as it has ended.

    Requests in between are never started. Signals come from the newest request only.
    """

    batch = Signal(list)
    result = Signal(object)
    failed = Signal(object)
    busy_changed = Signal(bool)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._job: Job | None = None
        self._next: Work | None = None
        self._stale = False

    @property
    def busy(self) -> bool:
        return self._job is not None

    def submit(self, work: Work) -> None:
        """Makes `work` the newest request."""
        if self._job is None:
            self._start(work)
            self.busy_changed.emit(True)
            return
        self._next = work
        self._stale = True
        self._job.cancel()

    def cancel(self) -> None:
        """Forgets the newest request too; no result will follow."""
        self._next = None
        if self._job is not None:
            self._stale = True
            self._job.cancel()

    def _start(self, work: Work) -> None:
        self._stale = False
        self._job = Job(work)
        self._job.batch.connect(self._on_batch)
        self._job.done.connect(self._on_done)
        self._job.failed.connect(self._on_failed)
        self._job.cancelled.connect(self._advance)
        self._job.start()

    def _on_batch(self, events: list[object]) -> None:
        if not self._stale:
            self.batch.emit(events)

    def _on_done(self, value: object) -> None:
        if not self._advance():
            self.result.emit(value)

    def _on_failed(self, error: object) -> None:
        if not self._advance():
            self.failed.emit(error)

    def _advance(self) -> bool:
        """Leaves the ended Job behind and starts what waits; True where the ended one no longer counts."""
        stale, work = self._stale, self._next
        self._job, self._next = None, None
        if work is not None:
            self._start(work)
        else:
            self.busy_changed.emit(False)
        return stale
