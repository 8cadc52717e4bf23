"""The scan of the model: its Job, its progress, and what is known so far."""

from __future__ import annotations

import time
from collections.abc import Generator
from typing import Any

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event, TensorScanned
from qtquant_app.core.quantities import duration_text, plural, share_text
from qtquant_app.core.scan import ScanReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.scan_collector import Collector, digest_of
from qtquant_app.gui.models.scan_digest import Digest
from qtquant_app.gui.progress import Progress, ProgressMeter
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work
from qtquant_app.jobs.latest import Latest

PARTIAL_SECONDS = 0.5
"""How often what is known so far is made ready to be shown."""


class Newest:
    """Where the worker leaves what it knows so far; the window takes the newest, and never waits for it."""

    def __init__(self) -> None:
        self.digest: Digest | None = None


class Scanner(QObject):
    """Scans in the background, one scan at a time, and looks finished scans up in the cache."""

    running_changed = Signal(bool)
    progressed = Signal(float, str)
    """Done, 0 to 1, and in words."""
    digested = Signal(object)
    """Digest: a part of a scan or a whole one."""
    finished = Signal(object)
    """Digest of the whole scan."""
    failed = Signal(object)
    """QtQuantError."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._scans, self._looks = Latest(self), Latest(self)
        self._newest = Newest()
        self._shown: Digest | None = None
        self._meter = ProgressMeter(0.0)
        self._tensors = self._awaited = 0
        self._scans.batch.connect(self._on_batch)
        self._scans.result.connect(self._on_done)
        self._scans.failed.connect(self._on_failed)
        self._scans.busy_changed.connect(self._on_busy)
        self._looks.result.connect(self._on_looked_up)

    @property
    def running(self) -> bool:
        return self._scans.busy

    def start(self, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> None:
        """Scans `checkpoint`; a scan under way is cancelled."""
        self._looks.cancel()
        self._newest, self._shown = Newest(), None
        self._meter = ProgressMeter(time.monotonic())
        self._tensors, self._awaited = 0, len(checkpoint.tensors)
        work = self._verbs.scan(checkpoint, schemes, format)
        self._scans.submit(watched(work, checkpoint, schemes, format, self._newest))

    def cancel(self) -> None:
        """Stops at the next chunk; what is known stays."""
        self._scans.cancel()

    def forget(self) -> None:
        """Stops, and shows nothing of it any more."""
        self._newest = Newest()
        self._looks.cancel()
        self._scans.cancel()

    def look_up(self, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> None:
        """Shows the scan if the cache has all of it; does nothing while a scan runs."""
        if not self.running:
            self._looks.submit(recalled(self._verbs.cached_scan(checkpoint, schemes, format)))

    def digest(self, report: ScanReport) -> None:
        """Makes a report of another's making ready to be shown."""
        self._looks.submit(recalled(lambda: _just(report)))

    def _on_batch(self, events: list[Event]) -> None:
        progress = self._meter.add(events, time.monotonic())
        self._tensors += sum(isinstance(event, TensorScanned) for event in events)
        done = progress.fraction if progress.bytes_total else self._tensors / max(1, self._awaited)
        self.progressed.emit(done, self._words(progress, done))
        self._show_newest()

    def _words(self, progress: Progress, done: float) -> str:
        total = max(progress.tensors_total, self._tensors)
        parts = [share_text(done, 1, 0), f"{self._tensors:,} of {plural(total, 'tensor')}"]
        if progress.seconds_left is not None and done < 1:
            parts.append(f"{duration_text(progress.seconds_left)} left")
        return "  \u00b7  ".join(parts)

    def _show_newest(self) -> None:
        newest = self._newest.digest
        if newest is not None and newest is not self._shown:
            self._shown = newest
            self.digested.emit(newest)

    def _on_done(self, digest: Digest) -> None:
        self._shown = self._newest.digest = digest
        self.digested.emit(digest)
        self.finished.emit(digest)

    def _on_failed(self, error: QtQuantError) -> None:
        self._show_newest()
        self.failed.emit(error)

    def _on_busy(self, busy: bool) -> None:
        if not busy:
            self._show_newest()
        self.running_changed.emit(busy)

    def _on_looked_up(self, digest: Digest | None) -> None:
        if digest is not None and not self.running:
            self._shown = digest
            self.digested.emit(digest)


def watched(work: Work, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str, newest: Newest) -> Work:
    """`work` that leaves what it knows in `newest` now and then, and returns the Digest of its report."""

    def watching() -> Generator[Event, None, Any]:
        collector = Collector.of_checkpoint(checkpoint, schemes, format)
        due = time.monotonic() + PARTIAL_SECONDS / 2  # a scan out of the cache ends sooner, and is drawn once
        events = work()
        try:
            while True:
                try:
                    event = next(events)
                except StopIteration as end:
                    report: ScanReport = end.value
                    return collector.digest(report) if collector.awaited(report) else digest_of(report)
                if isinstance(event, TensorScanned):
                    collector.add(event.scan, event.cached)
                if time.monotonic() >= due:
                    newest.digest = collector.digest()
                    due = time.monotonic() + PARTIAL_SECONDS
                yield event
        except BaseException:  # cancelled or failed: what is known is shown all the same
            newest.digest = collector.digest()
            raise
        finally:
            events.close()

    return watching


def recalled(work: Work) -> Work:
    """`work` that returns a ScanReport or None, returning its Digest in place of it."""

    def recalling() -> Generator[Event, None, Any]:
        report = yield from work()
        return digest_of(report) if report is not None else None

    return recalling


def _just(report: ScanReport) -> Generator[Event, None, ScanReport]:
    yield from ()
    return report
