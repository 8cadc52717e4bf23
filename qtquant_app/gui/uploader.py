"""Carries one upload out: pause, resume, cancel, and how far each file is. What was sent stays sent, for a later try."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import ChunkDone, Event, FileTransferred, RunStarted, Waiting, Warned
from qtquant_app.core.publication import Destination, Published, PublishedFile, PublishOptions
from qtquant_app.gui.progress import Progress, ProgressMeter
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Job


@dataclass(frozen=True, slots=True)
class FileProgress:
    """One file of the upload."""

    name: str
    bytes: int
    sent: int = 0
    there: bool = False
    """Whether the Hub has all of it."""


class Uploader(QObject):
    """One upload at a time."""

    changed = Signal()
    """State, progress, files or what is waited for."""
    finished = Signal(object)
    """Published."""
    failed = Signal(object)
    """QtQuantError."""
    warned = Signal(str)
    ended = Signal()
    """However it ended: there may be one more to go on with, or one less."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._job: Job | None = None
        self._meter = ProgressMeter(0.0)
        self._files: dict[str, FileProgress] = {}
        self.state = RunState.IDLE
        self.progress = Progress()
        self.folder = ""
        self.waits_for = ""
        self.published: Published | None = None

    @property
    def active(self) -> bool:
        return self.state.active

    @property
    def files(self) -> tuple[FileProgress, ...]:
        """Those of the result, the largest first, then what comes on top."""
        return tuple(self._files.values())

    def show_files(self, files: tuple[PublishedFile, ...]) -> None:
        """What would be sent; does nothing while an upload is under way."""
        if not self.active:
            self._files = {file.name: FileProgress(file.name, file.bytes) for file in files}
            self.changed.emit()

    def start(self, folder: str, destination: Destination, options: PublishOptions) -> None:
        """Puts the result in `folder` on the Hub; does nothing while an upload is under way."""
        if self.active:
            return
        self.folder, self.published, self.waits_for = folder, None, ""
        self._reset()
        self._meter, self.progress = ProgressMeter(time.monotonic()), Progress()
        self._job = job = Job(self._verbs.publish(folder, destination, options))
        job.batch.connect(self._on_batch)
        job.done.connect(self._on_done)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        self._enter(RunState.RUNNING)
        job.start()

    def toggle_pause(self) -> None:
        """A paused upload sends nothing, and loses nothing."""
        if self._job is not None and self.state is RunState.RUNNING:
            self._job.pause()
            self._meter.pause(time.monotonic())
            self._enter(RunState.PAUSED)
        elif self._job is not None and self.state is RunState.PAUSED:
            self._meter.resume(time.monotonic())
            self._job.resume()
            self._enter(RunState.RUNNING)

    def cancel(self) -> None:
        if self._job is not None and self.state in (RunState.RUNNING, RunState.PAUSED):
            self._enter(RunState.CANCELLING)
            self._job.cancel()

    def _reset(self) -> None:
        self._files = {name: replace(file, sent=0, there=False) for name, file in self._files.items()}

    def _enter(self, state: RunState) -> None:
        self.state = state
        self.changed.emit()
        if not state.active:
            self.ended.emit()

    def _on_batch(self, events: list[Event]) -> None:
        self.progress = self._meter.add(events, time.monotonic())
        for event in events:
            self.waits_for = event.text if isinstance(event, Waiting) else ""
            if isinstance(event, Warned):
                self.warned.emit(event.text)
            self._count(event)
        self.changed.emit()

    def _count(self, event: Event) -> None:
        if isinstance(event, RunStarted):  # what was read to be verified is not sent yet
            self._reset()
        elif isinstance(event, ChunkDone) and event.tensor in self._files:
            file = self._files[event.tensor]
            self._files[event.tensor] = replace(file, sent=min(file.bytes, file.sent + event.bytes))
        elif isinstance(event, FileTransferred):
            self._files[event.file] = FileProgress(event.file, event.bytes, event.bytes, there=True)

    def _on_done(self, published: Published) -> None:
        self._job, self.published = None, published
        self._enter(RunState.DONE)
        self.finished.emit(published)

    def _on_failed(self, error: QtQuantError) -> None:
        self._job = None
        self._enter(RunState.FAILED)
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        self._job = None
        self._enter(RunState.CANCELLED)
