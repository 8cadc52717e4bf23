"""Verifies a result again, in the background; one at a time, the newest counts."""

from __future__ import annotations

import time

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event
from qtquant_app.core.report import VerifyReport
from qtquant_app.gui.progress import Progress, ProgressMeter
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.latest import Latest


class Verifier(QObject):
    """What is known of the folder verified last: a report, an error, or progress."""

    busy_changed = Signal(bool)
    progressed = Signal(object)
    """Progress."""
    finished = Signal(object)
    """VerifyReport."""
    failed = Signal(object)
    """QtQuantError."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._latest = Latest(self)
        self._meter = ProgressMeter(0.0)
        self.folder = ""
        self.report: VerifyReport | None = None
        self.error: QtQuantError | None = None
        self.progress = Progress()
        self._latest.busy_changed.connect(self.busy_changed)
        self._latest.batch.connect(self._on_batch)
        self._latest.result.connect(self._on_result)
        self._latest.failed.connect(self._on_failed)

    @property
    def busy(self) -> bool:
        return self._latest.busy

    def start(self, folder: str, base: str | None) -> None:
        """Reopens `folder`; compares every weight too where `base` is given."""
        self._forget(folder)
        self._meter = ProgressMeter(time.monotonic())
        self._latest.submit(self._verbs.verify(folder, base))

    def cancel(self) -> None:
        """Forgets the verification under way, and what was known."""
        self._latest.cancel()
        self._forget("")

    def _forget(self, folder: str) -> None:
        self.folder, self.report, self.error, self.progress = folder, None, None, Progress()

    def _on_batch(self, events: list[Event]) -> None:
        self.progress = self._meter.add(events, time.monotonic())
        self.progressed.emit(self.progress)

    def _on_result(self, report: VerifyReport) -> None:
        self.report = report
        self.finished.emit(report)

    def _on_failed(self, error: QtQuantError) -> None:
        self.error = error
        self.failed.emit(error)
