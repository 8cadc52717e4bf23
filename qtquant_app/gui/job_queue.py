"""The queue and the history as the window has them: kept on disk, carried out one at a time, shared with other programs."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.job import JobOptions, JobRecord, JobState, in_order, new_job, waiting
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.gui.progress import Progress
from qtquant_app.gui.runner import Runner, RunState
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.serial import Serial

if TYPE_CHECKING:
    from qtquant_app.engine.job_store import Jobs, JobStore

LOOK_MS = 2000
_STEP = 0.01
"""How much progress is worth a change of the list."""
END_MS = 10_000
"""How long the end of the program waits for a run to close its files."""


class JobQueue(QObject):
    """What is to do, what is being done and what was done. Every change goes to the disk in a worker, in its turn.

    Jobs that waited when the program ended do not start by themselves: `going` says whether the queue moves.
    """

    changed = Signal()
    """`records`, `going` or what is carried out here."""
    failed = Signal(object)
    """QtQuantError: the folder of the queue cannot be used. Runs go on without it."""

    def __init__(self, verbs: Verbs, runner: Runner, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs, self._runner = verbs, runner
        self._stored: tuple[JobRecord, ...] = ()
        self._elsewhere: frozenset[str] = frozenset()
        self._mine: JobRecord | None = None
        """What this window carries out, or carried out last and has not yet seen on disk."""
        self._stamp = 0
        self._claiming = False
        self._leaving = False
        self.going = False
        self._serial = Serial(self)
        self._serial.failed.connect(self._on_failed)
        self._timer = QTimer(self, interval=LOOK_MS)
        self._timer.timeout.connect(self._look)
        runner.state_changed.connect(self._on_state)
        runner.progressed.connect(self._on_progress)

    @property
    def records(self) -> tuple[JobRecord, ...]:
        """What has begun, what waits in its order, the history: as on disk, and what this window does as it is now."""
        mine = self._mine
        if mine is None:
            return self._stored
        stored = next((record for record in self._stored if record.id == mine.id), mine)
        shown = replace(stored, state=mine.state, fraction=mine.fraction, ended=mine.ended)
        return in_order([shown, *(record for record in self._stored if record.id != mine.id)])

    @property
    def current(self) -> JobRecord | None:
        """The job that this window carries out now."""
        return self._mine if self._runner.state.active else None

    @property
    def waiting(self) -> tuple[JobRecord, ...]:
        return waiting(self.records)

    @property
    def outputs(self) -> frozenset[str]:
        """Where jobs will write that are not over."""
        return frozenset(record.output for record in self.records if not record.state.over)

    def elsewhere(self, record: JobRecord) -> bool:
        """Whether another program carries the job out now."""
        return record.id in self._elsewhere and (self._mine is None or self._mine.id != record.id)

    def load(self) -> None:
        """Reads what is on disk, now and whenever another program has changed it."""
        self._change(None)
        self._timer.start()

    def start(self, plan: Plan, options: RunOptions, device: str) -> None:
        """Carries `plan` out at once, or after what is under way now."""
        if self._runner.state.active:
            self.add(plan, options, device)
            return
        record = replace(_record(plan, options, device), state=JobState.RUNNING, started=time.time())
        self._mine = record
        self._change(lambda store: store.begin(record))  # the run does so too, but a pause may come before it can
        self._runner.start(plan, options, record)

    def add(self, plan: Plan, options: RunOptions, device: str) -> None:
        """Puts a job at the end of the queue; while something runs, it follows by itself."""
        record = _record(plan, options, device)
        self.going = self.going or self._runner.state.active
        self._change(lambda store: store.add(record))

    def set_going(self, going: bool) -> None:
        """Lets the queue move on, or holds it after the job at hand."""
        if going != self.going:
            self.going = going
            self.changed.emit()
            self._advance()

    def move(self, id: str, place: int) -> None:
        """Moves a waiting job to `place` among those that wait."""
        self._change(lambda store: store.reorder(id, place))

    def remove(self, id: str) -> None:
        """Forgets a job that is not being carried out; files stay."""
        self._change(lambda store: store.remove(id))

    def clear_finished(self) -> None:
        """Forgets the history."""
        self._change(lambda store: store.clear_finished())

    def again(self, record: JobRecord) -> None:
        """Puts the same job into the queue once more: beside its result, or going on where it stopped."""
        self.going = self.going or self._runner.state.active
        self._serial.submit(lambda: self._verbs.again(record), self._take)

    def resume(self, id: str) -> None:
        """Goes on with a job that was paused or interrupted when its program ended; it waits first in line if need be."""
        if self.current is not None and self.current.id == id:
            self._runner.resume()
        elif self._runner.state.active:
            self.going = True
            self._change(lambda store: store.put_first(id))
        else:
            self._claim(id)

    def cancel(self, id: str) -> None:
        """Gives a job up; what is finished of it stays in OUT.partial."""
        if self.current is not None and self.current.id == id:
            self._runner.cancel()
        else:
            begun = (JobState.PAUSED, JobState.INTERRUPTED, JobState.WAITING)
            self._change(lambda store: store.update(id, among=begun, state=JobState.CANCELLED, ended=time.time()))

    def stop_for_later(self) -> None:
        """Ends the run under way so that it can be gone on with after a restart. Returns when its files are closed."""
        if self._leaving:
            return
        self._leaving = True
        self._timer.stop()
        mine, given_up = self.current, self._runner.state is RunState.CANCELLING
        if mine is not None:
            self._runner.cancel()
            self._runner.wait(END_MS)
        self._serial.flush()
        if mine is not None:
            self._leave(mine.id, JobState.CANCELLED if given_up else JobState.PAUSED)

    def _leave(self, id: str, state: JobState) -> None:
        """Says how a run was left that has been closed."""
        try:
            self._verbs.jobs(lambda store: store.leave(id, state))
        except QtQuantError as error:
            self.failed.emit(error)

    def _change(self, change: Callable[[JobStore], object] | None) -> None:
        if not self._leaving:
            self._serial.submit(lambda: self._verbs.jobs(change), self._take)

    def _take(self, jobs: Jobs) -> None:
        self._stored, self._elsewhere = jobs
        mine = self._mine
        known = next((record for record in self._stored if mine is not None and record.id == mine.id), None)
        if mine is not None and self._runner.state.active:
            if known is not None and {known.state, mine.state} == {JobState.RUNNING, JobState.PAUSED}:
                self._note(mine.id, mine.state, known.state)  # a pause that came before the run was on disk
        elif known is None or known.state is not JobState.RUNNING:
            self._mine = None  # until the disk tells of the end, what is known here stands
        self.changed.emit()
        self._advance()

    def _look(self) -> None:
        if not self._serial.busy:
            self._serial.submit(self._verbs.jobs_stamp, self._on_stamp)

    def _on_stamp(self, stamp: int) -> None:
        blocked = self.going and bool(self.waiting) and not self._runner.state.active
        if stamp != self._stamp or blocked:
            self._stamp = stamp
            self._change(None)

    def _advance(self) -> None:
        """Takes what is next in line, where the queue moves and nothing is under way."""
        if self.going and not self._runner.state.active and self._mine is None and self.waiting:
            self._claim(self.waiting[0].id)
        elif self.going and not self._runner.state.active and not self.waiting and self._mine is None:
            self.going = False

    def _claim(self, id: str) -> None:
        if self._claiming or self._leaving:
            return
        self._claiming = True
        taken: list[JobRecord] = []

        def claim(store: JobStore) -> None:
            record = store.claim(id)
            if record is not None:
                taken.append(record)

        self._serial.submit(lambda: self._verbs.jobs(claim), lambda jobs: self._on_claimed(jobs, taken))

    def _on_claimed(self, jobs: Jobs, taken: list[JobRecord]) -> None:
        self._claiming = False
        self._stored, self._elsewhere = jobs
        if taken and (self._runner.state.active or self._leaving):
            self._change(lambda store: store.release(taken[0].id, JobState.WAITING))
        elif taken:
            self._mine = taken[0]
            self._runner.carry_out(taken[0])
        self.changed.emit()

    def _on_state(self, state: RunState) -> None:
        mine = self._mine
        if mine is None:
            self._advance() if not state.active else None
            return
        ended = None if state.active else time.time()
        self._mine = replace(mine, state=_STATES[state], fraction=self._runner.progress.fraction, ended=ended)
        if state is RunState.RUNNING:
            self._note(mine.id, JobState.RUNNING, JobState.PAUSED)
        elif state is RunState.PAUSED:
            self._note(mine.id, JobState.PAUSED, JobState.RUNNING)
        elif state is RunState.CANCELLED and not self._leaving:
            self._change(lambda store: store.leave(mine.id, JobState.CANCELLED))
        elif not state.active:
            self._change(None)
        self.changed.emit()

    def _on_progress(self, progress: Progress) -> None:
        mine = self._mine
        if mine is not None and abs(progress.fraction - mine.fraction) >= _STEP:
            self._mine = replace(mine, fraction=progress.fraction)
            self.changed.emit()

    def _note(self, id: str, state: JobState, before: JobState) -> None:
        self._change(lambda store: store.update(id, among=(before,), state=state))

    def _on_failed(self, error: QtQuantError) -> None:
        self._claiming = False
        if not self._runner.state.active:
            self._mine = None
        self.failed.emit(error)


_STATES = {
    RunState.IDLE: JobState.WAITING,
    RunState.RUNNING: JobState.RUNNING,
    RunState.PAUSED: JobState.PAUSED,
    RunState.CANCELLING: JobState.RUNNING,
    RunState.DONE: JobState.DONE,
    RunState.FAILED: JobState.FAILED,
    RunState.CANCELLED: JobState.CANCELLED,
}


def _record(plan: Plan, options: RunOptions, device: str) -> JobRecord:
    wanted = JobOptions.of(options, plan, device)
    return new_job(plan.source, plan.label, plan.recipe, wanted, time.time())
