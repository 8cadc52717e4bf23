"""The one run there can be at a time: its Job, its state and its progress."""

from __future__ import annotations

import time
from enum import StrEnum

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event, Planned, Waiting
from qtquant_app.core.job import JobRecord
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.report import RunReport
from qtquant_app.gui.progress import Progress, ProgressMeter
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Job, Work

GIVE_WAY_SECONDS = 5.0
"""The longest that a run stands back for one preview."""


class RunState(StrEnum):
    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def active(self) -> bool:
        """Whether a thread is at work, or waits paused."""
        return self in (RunState.RUNNING, RunState.PAUSED, RunState.CANCELLING)


class Runner(QObject):
    """Starts, pauses and cancels the run, and says what comes of it."""

    started = Signal(object)
    """The Plan."""
    state_changed = Signal(object)
    batch = Signal(list)
    progressed = Signal(object)
    """Progress, after each batch."""
    finished = Signal(object)
    """RunReport."""
    failed = Signal(object)
    """QtQuantError."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._job: Job | None = None
        self._meter = ProgressMeter(0.0)
        self.state = RunState.IDLE
        self.progress = Progress()
        self.plan: Plan | None = None
        self.options: RunOptions | None = None
        self.error: QtQuantError | None = None
        self.waits_for = ""
        """Why the run cannot go on just now, such as a full disk; empty where it can."""

    def start(self, plan: Plan, options: RunOptions, record: JobRecord | None = None) -> None:
        """Carries `plan` out in a thread, noted down as `record` where one is given; does nothing while a run is active."""
        if self.state.active:
            return
        work = self._verbs.run(plan, options)
        self._begin(self._verbs.recorded(record, work) if record else work, options, plan)

    def carry_out(self, record: JobRecord) -> None:
        """Makes the plan of a job and carries it out; does nothing while a run is active."""
        if not self.state.active:
            work = self._verbs.recorded(record, self._verbs.carry_out(record))
            self._begin(work, record.options.run_options, None)

    def _begin(self, work: Work, options: RunOptions, plan: Plan | None) -> None:
        self.plan, self.options, self.error, self.waits_for = plan, options, None, ""
        self._meter = ProgressMeter(time.monotonic())
        self.progress = Progress()
        self._job = job = Job(work, on_pause=self._verbs.release_device())
        job.batch.connect(self._on_batch)
        job.done.connect(self._on_done)
        job.failed.connect(self._on_failed)
        job.cancelled.connect(self._on_cancelled)
        if plan is not None:
            self.started.emit(plan)
        self._enter(RunState.RUNNING)
        job.start()

    def pause(self) -> None:
        if self._job is not None and self.state is RunState.RUNNING:
            self._job.pause()
            self._meter.pause(time.monotonic())
            self._enter(RunState.PAUSED)

    def resume(self) -> None:
        if self._job is not None and self.state is RunState.PAUSED:
            self._meter.resume(time.monotonic())
            self._job.resume()
            self._enter(RunState.RUNNING)

    def cancel(self) -> None:
        """Stops at the next chunk; what is finished stays in OUT.partial for a later run to go on with."""
        if self._job is not None and self.state in (RunState.RUNNING, RunState.PAUSED):
            self._enter(RunState.CANCELLING)
            self._job.cancel()

    def give_way(self, to_preview: bool) -> None:
        """Stands back while a preview is under way, and goes on after it."""
        if self._job is not None:
            self._job.hold(GIVE_WAY_SECONDS) if to_preview else self._job.let_go()

    def wait(self, milliseconds: int) -> bool:
        """Returns once the thread of the run has ended, which `cancel` asks for; False where it takes longer."""
        return self._job is None or self._job.wait(milliseconds)

    def _enter(self, state: RunState) -> None:
        self.state = state
        self.state_changed.emit(state)

    def _on_batch(self, events: list[Event]) -> None:
        self.progress = self._meter.add(events, time.monotonic())
        for event in events:
            self.waits_for = event.text if isinstance(event, Waiting) else ""
            if isinstance(event, Planned):
                self.plan = event.plan
                self.started.emit(event.plan)
        self.batch.emit(events)
        self.progressed.emit(self.progress)

    def _on_done(self, report: RunReport) -> None:
        self._job = None
        self._enter(RunState.DONE)
        self.finished.emit(report)

    def _on_failed(self, error: QtQuantError) -> None:
        self._job = None
        self.error = error
        self._enter(RunState.FAILED)
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        self._job = None
        self._enter(RunState.CANCELLED)
