"""A job: one run that is asked for, under way or over. What the queue and the history keep of it is plain JSON."""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from math import isfinite
from typing import Any, Literal

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.errors import QtQuantError, UsageError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import RunReport

VERSION = 1
MOST_LINES = 500
"""Lines of its log that a job keeps: the newest."""
LONGEST_LINE = 500
MOST_FINISHED = 500
"""Jobs that the history keeps: the newest."""

Verify = Literal["full", "quick", "none"]
_VERIFY: tuple[Verify, ...] = ("full", "quick", "none")


class JobState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    PAUSED = "paused"
    """By somebody: at a chunk, or with its program closed, to be gone on with."""
    INTERRUPTED = "interrupted"
    """Its program ended under it: killed, crashed, or the power went."""
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        """Whether it belongs to the history."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)

    @property
    def begun(self) -> bool:
        """Whether it has begun and is not over: OUT.partial is its."""
        return self in (JobState.RUNNING, JobState.PAUSED, JobState.INTERRUPTED)


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a job needs beside its source and recipe: where the result goes, and what the plan and the run are told."""

    output: str
    verify: Verify = "full"
    resume: bool = False
    overwrite: bool = False
    device: str = "auto"
    max_memory: int | None = None
    max_device_memory: int | None = None
    seed: int = 0
    statistics: str = ""
    """The file that says which columns matter, if one was given."""
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of RunOptions, by name; a version that does not know one leaves it out."""
    calibration: Calibration | None = None
    """The data that methods look at, where something else than the usual ones was asked for."""

    @property
    def run_options(self) -> RunOptions:
        known = {f.name for f in fields(RunOptions)} - {"output", "verify", "resume", "overwrite", "command"}
        more = {name: value for name, value in self.more.items() if name in known}
        return RunOptions(self.output, self.verify, self.resume, self.overwrite, **more)

    @classmethod
    def of(cls, run: RunOptions, plan: Plan, device: str) -> JobOptions:
        """The options of a run of `plan` as a job keeps them; `device` is what was asked for, such as "auto"."""
        own = {"output", "verify", "resume", "overwrite", "command"}
        plain = (str, int, float, bool)
        more = {
            f.name: value for f in fields(run) if f.name not in own and isinstance(value := getattr(run, f.name), plain)
        }
        return cls(
            run.output,
            run.verify,
            run.resume,
            run.overwrite,
            device,
            plan.max_memory,
            plan.max_device_memory,
            plan.seed,
            plan.statistics,
            more,
            plan.calibration,
        )


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a finished run came to."""

    output_bytes: int
    bits_per_weight: float
    verified: bool
    quantized: int
    kept: int

    @classmethod
    def of(cls, report: RunReport) -> JobResult:
        coverage = report.coverage
        figures = (report.output_bytes, report.bits_per_weight, report.verified)
        return cls(*figures, coverage.quantized, coverage.kept)


@dataclass(frozen=True, slots=True)
class JobError:
    """Why a job failed."""

    message: str
    hint: str = ""
    code: str = "error"

    @classmethod
    def of(cls, error: BaseException) -> JobError:
        if isinstance(error, QtQuantError):
            return cls(error.message, error.hint, error.code)
        text = " ".join(str(error).split()) or "no message"
        return cls(f"{type(error).__name__}: {text}"[:2000], "please report it with the details", "internal")


@dataclass(frozen=True, slots=True)
class JobRecord:
    """One job. Times are seconds since 1970; `seconds` is what the run took, pauses included."""

    id: str
    created: float
    source: str
    label: str
    recipe: Recipe
    options: JobOptions
    state: JobState = JobState.WAITING
    order: float = 0.0
    """Its place in the queue: the smallest is next."""
    started: float | None = None
    ended: float | None = None
    seconds: float = 0.0
    fraction: float = 0.0
    """How much of it is through, 0.0 to 1.0."""
    result: JobResult | None = None
    error: JobError | None = None
    log: tuple[str, ...] = ()

    @property
    def output(self) -> str:
        return self.options.output

    def to_json(self) -> dict[str, Any]:
        return {
            "version": VERSION,
            **{name: getattr(self, name) for name in _PLAIN},
            "recipe": self.recipe.to_json(),
            "options": _options_json(self.options),
            "state": str(self.state),
            "result": None if self.result is None else asdict(self.result),
            "error": None if self.error is None else asdict(self.error),
            "log": list(self.log),
        }

    @classmethod
    def from_json(cls, data: object) -> JobRecord:
        """The inverse of `to_json`. Raises UsageError for anything else: the file may have been changed by anyone."""
        try:
            return _read(data)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(f"this is no job of QtQuant: {error!r}", code="job") from None


_PLAIN = ("id", "created", "source", "label", "order", "started", "ended", "seconds", "fraction")


def new_job(source: str, label: str, recipe: Recipe, options: JobOptions, now: float) -> JobRecord:
    """A job that waits, with an id of its own."""
    return JobRecord(secrets.token_hex(6), now, source, label, recipe, options)


def clipped(lines: Iterable[str]) -> tuple[str, ...]:
    """The newest of `lines`, none of them longer than a log keeps, nor holding a line break."""
    return tuple(deque((line.replace("\n", " ")[:LONGEST_LINE] for line in lines), MOST_LINES))


def in_order(jobs: Iterable[JobRecord]) -> tuple[JobRecord, ...]:
    """What has begun, what waits in its order, and the history, the newest first."""

    def key(job: JobRecord) -> tuple[int, float, float, str]:
        if job.state.over:
            return 2, -(job.created if job.ended is None else job.ended), 0.0, job.id
        return (0 if job.state.begun else 1), job.order, job.created, job.id

    return tuple(sorted(jobs, key=key))


def waiting(jobs: Iterable[JobRecord]) -> tuple[JobRecord, ...]:
    """The queue: what waits, in its order."""
    return tuple(job for job in in_order(jobs) if job.state is JobState.WAITING)


def orders_after_move(queue: Sequence[JobRecord], id: str, place: int) -> dict[str, float]:
    """The orders that change as job `id` of `queue` goes to `place` among the others.

    One number between its new neighbours where there is one, so that a move is one write; else all are numbered anew.
    """
    moved = next((job for job in queue if job.id == id), None)
    if moved is None:
        return {}
    others = [job for job in queue if job.id != id]
    place = max(0, min(place, len(others)))
    before = others[place - 1].order if place else (others[0].order - 2 if others else 0.0)
    after = others[place].order if place < len(others) else before + 2
    middle = (before + after) / 2
    if before < middle < after:
        return {id: middle}
    return {job.id: float(at) for at, job in enumerate([*others[:place], moved, *others[place:]])}


def _options_json(options: JobOptions) -> dict[str, Any]:
    calibration = None if options.calibration is None else options.calibration.to_json()
    return {**asdict(options), "more": dict(options.more), "calibration": calibration}


def _read(data: object) -> JobRecord:
    if not isinstance(data, Mapping) or data["version"] != VERSION:
        raise ValueError("not a job, or one of another version")
    id = data["id"]
    if not isinstance(id, str) or not id.isalnum() or not id.isascii() or len(id) > 64:
        raise ValueError("not an id")
    options, result, error = data["options"], data["result"], data["error"]
    if options["verify"] not in _VERIFY:
        raise ValueError("not a way to verify")
    more = options["more"]
    kept = {key: value for key, value in more.items() if isinstance(value, (str, int, float))}
    return JobRecord(
        id=id,
        created=_number(data["created"]),
        source=_text(data["source"]),
        label=_text(data["label"]),
        recipe=Recipe.from_json(data["recipe"]),
        options=JobOptions(
            output=_text(options["output"]),
            verify=options["verify"],
            resume=bool(options["resume"]),
            overwrite=bool(options["overwrite"]),
            device=_text(options["device"]),
            max_memory=_ceiling(options["max_memory"]),
            max_device_memory=_ceiling(options.get("max_device_memory")),
            seed=int(options["seed"]),
            statistics=_text(options.get("statistics", "")),
            more=kept,
            calibration=_calibration(options.get("calibration")),
        ),
        state=JobState(data["state"]),
        order=_number(data["order"]),
        started=None if data["started"] is None else _number(data["started"]),
        ended=None if data["ended"] is None else _number(data["ended"]),
        seconds=_number(data["seconds"]),
        fraction=min(1.0, max(0.0, _number(data["fraction"]))),
        result=None if result is None else _result(result),
        error=None if error is None else JobError(*(_text(error[key]) for key in ("message", "hint", "code"))),
        log=clipped(_text(line) for line in data["log"]),
    )


def _calibration(value: object) -> Calibration | None:
    return None if value is None else Calibration.from_json(value)


def _ceiling(value: object) -> int | None:
    return None if value is None else int(_number(value))


def _result(data: Mapping[str, Any]) -> JobResult:
    counts = (int(data["output_bytes"]), _number(data["bits_per_weight"]), bool(data["verified"]))
    return JobResult(*counts, int(data["quantized"]), int(data["kept"]))


def _number(value: object) -> float:
    if not isinstance(value, (int, float)) or not isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value
