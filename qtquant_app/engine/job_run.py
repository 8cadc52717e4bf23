"""Carries a job out, and keeps in the store what comes of it: the same for the window and the command line."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from math import inf
from pathlib import Path
from time import monotonic, time
from typing import Any

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.event_words import Teller
from qtquant_app.core.events import Calibrated, ChunkDone, Event, Planned, RunStarted
from qtquant_app.core.job import MOST_LINES, JobError, JobRecord, JobResult, JobState, new_job
from qtquant_app.core.report import RunReport
from qtquant_app.engine.job_store import JobStore
from qtquant_app.engine.output import partial_of

_SECONDS_PER_NOTE = 2.0
"""How often a run under way is noted down: a note is one small file."""


def carry_out(record: JobRecord) -> Generator[Event, None, RunReport]:
    """Opens the job's source, makes its plan, tells it as Planned, and runs it. Raises as `engine.quantize.run` does."""
    from qtquant_app.engine.finite import check_finite
    from qtquant_app.engine.importance import with_statistics
    from qtquant_app.engine.planner import make_plan
    from qtquant_app.engine.quantize import run
    from qtquant_app.engine.source import open_checkpoint

    wanted = record.options
    checkpoint = with_statistics(open_checkpoint(record.source), wanted.statistics)
    found = (yield from check_finite(checkpoint, record.recipe)) if record.recipe.nonfinite == "keep" else None
    plan = make_plan(
        checkpoint,
        record.recipe,
        device=wanted.device,
        max_memory=wanted.max_memory,
        max_device_memory=wanted.max_device_memory,
        seed=wanted.seed,
        verify=wanted.verify,
        non_finite=found,
        calibration=wanted.calibration,
    )
    yield Planned(plan)
    return (yield from run(plan, wanted.run_options))


def recorded(
    store: JobStore,
    record: JobRecord,
    events: Generator[Event, None, RunReport],
    closed: JobState = JobState.INTERRUPTED,
) -> Generator[Event, None, RunReport]:
    """`events` as they are, while the store keeps what becomes of `record`; a run that is closed is left as `closed`.

    The job is added where the store has not got it. A store that cannot be written never stops the run.
    """
    notes = _Notes(store, record)
    notes.begin()
    try:
        while True:
            event = next(events)
            notes.take(event)
            yield event
    except StopIteration as end:
        report: RunReport = end.value
        notes.end(JobState.DONE, result=JobResult.of(report), seconds=report.seconds, fraction=1.0)
        return report
    except (GeneratorExit, KeyboardInterrupt):
        events.close()
        notes.end(closed)
        raise
    except BaseException as error:
        notes.end(JobState.FAILED, error=JobError.of(error))
        raise


class _Notes:
    """What is known of one run, brought to the store now and then."""

    def __init__(self, store: JobStore, record: JobRecord) -> None:
        self._store, self._record = store, record
        self._lines = list(record.log)
        self._done = self._total = 0
        self._began, self._noted = monotonic(), -inf
        self._teller = Teller()

    def begin(self) -> None:
        with suppress(QtQuantError, OSError):
            self._store.begin(self._record)
        self._say(f"to {self._record.output}")

    def take(self, event: Event) -> None:
        if isinstance(event, ChunkDone):
            self._done += event.bytes
        elif isinstance(event, Calibrated):
            self._total, self._done = event.total, event.done
        elif isinstance(event, RunStarted):
            self._total, self._done = event.bytes_total, 0
        line = self._teller.line(event)
        if line:
            self._say(line)
        if monotonic() - self._noted >= _SECONDS_PER_NOTE:
            self._noted = monotonic()
            with suppress(QtQuantError, OSError):
                self._store.update(self._record.id, sync=False, log=tuple(self._lines), fraction=self._fraction)

    def end(self, state: JobState, **changes: Any) -> None:
        error = changes.get("error")
        self._say(f"{state}: {error.message}" if error else str(state))
        seconds = monotonic() - self._began
        known = {"seconds": seconds, "fraction": self._fraction, "ended": time(), "log": tuple(self._lines)}
        with suppress(QtQuantError, OSError):
            self._store.release(self._record.id, state, **{**known, **changes})

    @property
    def _fraction(self) -> float:
        return min(1.0, self._done / self._total) if self._total else 0.0

    def _say(self, line: str) -> None:
        now = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M:%S")
        self._lines.append(f"{now}  {line}")
        del self._lines[:-MOST_LINES]


def again(record: JobRecord, taken: Collection[str] = ()) -> JobRecord:
    """A new job for the same source and recipe.

    After a finished run it writes beside the result; one that was not finished is gone on with, where its folder is not
    `taken` by another job.
    """
    options = replace(record.options, resume=True)
    if record.state is JobState.DONE or record.output in taken:
        options = replace(options, output=free_output(record.output, taken), resume=False, overwrite=False)
    return new_job(record.source, record.label, record.recipe, options, time())


def free_output(output: str, taken: Collection[str] = ()) -> str:
    """`output` with the smallest number behind it under which nothing stands and no job of `taken` writes."""
    number = 2
    while True:
        path = Path(f"{output}-{number}")
        if str(path) not in taken and not path.exists() and not partial_of(path).exists():
            return str(path)
        number += 1
