"""The queue and the history on disk: one small file a job, so that a kill at any moment loses no more than the last word.

Any number of windows and command lines share the folder. Each change is made under one lock and takes its place by a rename.
Who carries a job out holds `ID.lock` meanwhile; a job that says it is running and is not held was interrupted.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any, NamedTuple

from qtquant_app.core.errors import QtQuantError, WriteError
from qtquant_app.core.job import (
    MOST_FINISHED,
    JobRecord,
    JobResult,
    JobState,
    clipped,
    in_order,
    orders_after_move,
    waiting,
)
from qtquant_app.core.json_reader import outlined
from qtquant_app.core.recipe import Recipe
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.lock import Lock, take
from qtquant_app.engine.output import RECORD, partial_of
from qtquant_app.engine.presets import user_folder
from qtquant_app.engine.record import read_record

_MAX_BYTES = 16 << 20
_WAIT_SECONDS = 10.0
_LOOK_SECONDS = 0.005
_CLOCK_SECONDS = 2.0
"""What a file's time may be behind the clock."""
_MARK = "lock"


class Jobs(NamedTuple):
    """All jobs, in the order of `in_order`, and the ids of those that some process is carrying out now."""

    records: tuple[JobRecord, ...]
    held: frozenset[str]


def jobs_folder() -> Path:
    """Where the user's jobs are: beside the presets, under the folder that QTQUANT_CONFIG names where it is set."""
    return user_folder().with_name("jobs")


@dataclass(frozen=True, slots=True)
class _Known:
    """A file as it was when it was read, and the job in it; None where it holds none."""

    mark: tuple[int, int, int]
    record: JobRecord | None


class JobStore:
    """Reads and changes the jobs in `folder`. Any thread; each call raises WriteError where the folder cannot be used."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or jobs_folder()
        self._known: dict[str, _Known] = {}
        self._held: dict[str, Lock] = {}
        self._lock = threading.RLock()
        self._inside = False

    def jobs(self) -> Jobs:
        """Every job; a file that holds none is passed over. A job whose process is gone becomes interrupted, or done."""
        with self._changing():
            records = self._mended(self._read())
            held = frozenset(r.id for r in records if r.state.begun and self._is_held(r.id))
            return Jobs(in_order(records), held)

    def stamp(self) -> int:
        """A number that changes when a job does, by whomever; cheap."""
        try:
            with os.scandir(self.folder) as entries:
                return hash(frozenset((e.name, e.stat().st_mtime_ns) for e in entries if e.name.endswith(".json")))
        except OSError:
            return 0

    def get(self, id: str) -> JobRecord | None:
        """The job, or None where there is none of that id."""
        with self._changing():
            file = self._file(id)
            return self._look(file).record if id.isalnum() and file.is_file() else None

    def add(self, record: JobRecord) -> JobRecord:
        """Puts a job at the end of the queue. The oldest of a history grown too long go."""
        with self._changing():
            records = self._read()
            last = max((r.order for r in records), default=0.0)
            record = replace(record, order=last + 1.0, log=clipped(record.log))
            self._write(record, sync=True)
            self._forget_old([*records, record])
            return record

    def update(
        self, id: str, *, among: Collection[JobState] = (), sync: bool = True, **changes: Any
    ) -> JobRecord | None:
        """Changes fields of a job, where its state is one of `among` if that is given; None where nothing was changed."""
        with self._changing():
            record = self.get(id)
            if record is None or (among and record.state not in among):
                return None
            record = replace(record, **changes)
            self._write(replace(record, log=clipped(record.log)), sync=sync)
            return record

    def reorder(self, id: str, place: int) -> None:
        """Moves a waiting job to `place` among those that wait, from 0."""
        with self._changing():
            records = self._read()
            for other, order in orders_after_move(waiting(records), id, place).items():
                self.update(other, order=order)

    def put_first(self, id: str) -> None:
        """A job that has begun and that nobody carries out waits first in line, to be gone on with."""
        with self._changing():
            record, first = self.get(id), min((r.order for r in self._read()), default=0.0) - 1.0
            if record is not None and record.state.begun and not self._is_held(id):
                self.update(id, state=JobState.WAITING, order=first, options=replace(record.options, resume=True))

    def remove(self, id: str) -> bool:
        """Forgets a job; its files stay. False where it is being carried out, or gone already."""
        with self._changing():
            if self._is_held(id) or not self._file(id).exists():
                return False
            self._known.pop(self._file(id).name, None)
            self._file(id).unlink(missing_ok=True)
            self._mark(id).unlink(missing_ok=True)
            return True

    def clear_finished(self) -> int:
        """Forgets the history; returns how many there were."""
        with self._changing():
            return sum(self.remove(record.id) for record in self._read() if record.state.over)

    def claim(self, id: str, *, alone: bool = True) -> JobRecord | None:
        """Takes a job to be carried out by this process: it is running from here on, and goes on where it had begun.

        None where somebody else has it, where it is over, or, with `alone`, where another job runs on its device.
        """
        with self._changing():
            record, records = self.get(id), self._read()
            if record is None or record.state.over or (alone and self._device_taken(record, records)):
                return None
            if not self._take(id):
                return None
            resume = record.options.resume or record.state.begun
            options = replace(record.options, resume=resume)
            now = time()
            return self.update(id, state=JobState.RUNNING, options=options, started=now, ended=None, error=None)

    def begin(self, record: JobRecord) -> None:
        """Adds a job that is carried out at once, by this process. Does nothing where it has begun already."""
        with self._changing():
            known = self.get(record.id) or self.add(replace(record, state=JobState.WAITING))
            if known.state is JobState.WAITING:
                self.claim(record.id, alone=False)

    def release(self, id: str, state: JobState | None = None, **changes: Any) -> None:
        """Lets go of a job that this process had, leaving it in `state`."""
        with self._changing():
            if state is not None:
                self.update(id, state=state, **changes)
            held = self._held.pop(id, None)
            if held is not None:
                held.release()
                self._mark(id).unlink(missing_ok=True)

    def leave(self, id: str, state: JobState) -> None:
        """Says how a job was left that this process had begun, and lets go of it; nothing where it is over."""
        with self._changing():
            record = self.get(id)
            self.release(id, state if record is not None and record.state.begun else None, ended=time())

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Nobody else changes the folder meanwhile. May be entered again by the thread that is inside."""
        with self._lock:
            if self._inside:
                yield
                return
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                mark = _taken(self.folder / _MARK)
                if mark is None:
                    raise _trouble(self.folder, "another QtQuant is using it and does not end")
                self._inside = True
                try:
                    yield
                finally:
                    self._inside = False
                    mark.release()
            except OSError as error:
                raise _trouble(self.folder, error.strerror or str(error)) from error

    def _file(self, id: str) -> Path:
        return self.folder / f"{id}.json"

    def _mark(self, id: str) -> Path:
        """What is locked while a job is carried out."""
        return self.folder / f"{id}.lock"

    def _read(self) -> tuple[JobRecord, ...]:
        found: dict[str, _Known] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name.endswith(".json") and entry.is_file():
                    found[entry.name] = self._look(Path(entry.path))
        self._known = found
        return tuple(known.record for known in found.values() if known.record is not None)

    def _look(self, file: Path) -> _Known:
        status = file.stat()
        mark = status.st_mtime_ns, status.st_size, status.st_ino
        known = self._known.get(file.name)
        if known is None or known.mark != mark:
            known = self._known[file.name] = _Known(mark, _load(file))
        return known

    def _write(self, record: JobRecord, *, sync: bool) -> None:
        file = self._file(record.id)
        data = (json.dumps(record.to_json(), ensure_ascii=False) + "\n").encode("utf-8", "replace")
        if len(data) > _MAX_BYTES:
            raise WriteError("the recipe of the job is too large for the queue", hint="run it at once", code="jobs")
        new = file.with_suffix(".new")
        with new.open("wb") as stream:
            stream.write(data)
            if sync:
                stream.flush()
                os.fsync(stream.fileno())
        new.replace(file)

    def _take(self, id: str) -> bool:
        if id in self._held:
            return False
        held = take(self._mark(id))
        if held is None:
            return False
        self._held[id] = held
        return True

    def _is_held(self, id: str) -> bool:
        if id in self._held:
            return True
        if not self._mark(id).exists():
            return False
        held = take(self._mark(id))
        if held is not None:
            held.release()
        return held is None

    def _device_taken(self, record: JobRecord, records: Collection[JobRecord]) -> bool:
        running = (r for r in records if r.state is JobState.RUNNING and r.id != record.id and self._is_held(r.id))
        return any("auto" in (a := r.options.device, b := record.options.device) or a == b for r in running)

    def _mended(self, records: Collection[JobRecord]) -> list[JobRecord]:
        return [self._mend(r) if r.state is JobState.RUNNING and not self._is_held(r.id) else r for r in records]

    def _mend(self, record: JobRecord) -> JobRecord:
        result = _finished_after_all(record)
        state = JobState.INTERRUPTED if result is None else JobState.DONE
        return self.update(record.id, state=state, result=result, ended=time()) or record

    def _forget_old(self, records: Collection[JobRecord]) -> None:
        finished = [record for record in in_order(records) if record.state.over]
        for record in finished[MOST_FINISHED:]:
            self.remove(record.id)


def _taken(path: Path) -> Lock | None:
    """The lock on `path`, waited for where another has it; None where that lasts too long."""
    until = monotonic() + _WAIT_SECONDS
    while (lock := take(path)) is None and monotonic() < until:
        sleep(_LOOK_SECONDS)
    return lock


def _load(file: Path) -> JobRecord | None:
    try:
        record = JobRecord.from_json(outlined(read_bounded(file, _MAX_BYTES)))
    except (OSError, ValueError, RecursionError, QtQuantError):
        return None
    return record if record.id == file.stem else None


def _finished_after_all(record: JobRecord) -> JobResult | None:
    """What the run came to, where it had published its result and was killed before it could say so."""
    output = Path(record.output)
    with suppress(OSError, QtQuantError, KeyError, TypeError, ValueError, AttributeError):
        if partial_of(output).exists() or (output / RECORD).stat().st_mtime < (record.started or 0.0) - _CLOCK_SECONDS:
            return None
        written = read_record(output)
        if Recipe.from_json(written["recipe"]) != record.recipe:
            return None
        plan, tensors = written["plan"], len(written["tensors"])
        kept = len(plan["tensors"]) - tensors
        sizes = int(plan["output_bytes"]), float(plan["bits_per_weight"])
        return JobResult(*sizes, written["verified"] == "full", tensors, kept)
    return None


def _trouble(folder: Path, what: str) -> WriteError:
    return WriteError(
        f"the queue in {folder} cannot be used: {what}", hint="see that the folder can be written", code="jobs"
    )
