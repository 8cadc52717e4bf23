"""Takes OUT.partial for one run: no other writes there meanwhile, and what an earlier one left is looked at first."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.events import Event, Warned
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.engine.faults import naming
from qtquant_app.engine.journal import NAME as JOURNAL
from qtquant_app.engine.journal import Journal, Past, read_journal, who_writes
from qtquant_app.engine.lock import Lock, take
from qtquant_app.engine.output import OutputFolder, check_output, settle
from qtquant_app.engine.planner import check_disk
from qtquant_app.engine.room import Room
from qtquant_app.engine.run_marks import RunMarks, check_same, check_unchanged, marks_of


@dataclass
class Claim:
    """A folder to write into and a journal to write to, this run's alone."""

    out: OutputFolder
    journal: Journal
    marks: RunMarks
    past: Past | None
    warnings: tuple[Warned, ...]
    _checkpoint: Checkpoint
    _lock: Lock

    def begin(self) -> Generator[Event, None, None]:
        """Writes the first line: of a new run, or of one that is gone on with. Waits where the drive is full."""
        room = Room(self.out.output.parent)
        if self.past is None:
            # The journal first: it must not speak of files that are gone.
            yield from room.needed(self.journal.empty)
            yield from room.needed(self.out.clear)
            yield from room.needed(partial(self.journal.start, self.marks))
        else:
            yield from room.needed(self.out.unrecord)
            yield from room.needed(partial(self.journal.resume, self.past.nbytes, self.marks))

    def check_source(self) -> None:
        """Raises SourceError naming a weight file that is not what it was when the run began."""
        check_unchanged(self.marks, self._checkpoint)

    def publish(self) -> Iterator[Warned]:
        """Makes OUT.partial OUT; says what is left over."""
        self.journal.close()
        if os.name == "nt":
            self._lock.release()  # no folder with an open file in it can be renamed
        for path in self.out.publish():
            yield Warned("leftover", f"{path} could not be removed; it can be deleted")


@contextmanager
def claimed(plan: Plan, checkpoint: Checkpoint, options: RunOptions) -> Iterator[Claim]:
    """The right to write into the output of `options`, until the context ends or the process does, however it ends.

    Nothing is written before all is checked, save an empty folder with an empty journal. Raises PlanError, code "in-use", where
    another run writes there, and where the output is in the way, the disk too small, or the unfinished run another one.
    """
    output = Path(options.output)
    check_output(output, resume=options.resume, overwrite=options.overwrite)
    out, marks = OutputFolder(output), marks_of(plan, checkpoint)
    fresh, taken = not out.partial.exists(), plan.disk_bytes
    if options.source_shards == "drop":
        taken += plan.source_disk_bytes
    if fresh:
        check_disk(output, taken)
        out.create()
    lock = _take(out.partial)
    journal = Journal(out.partial)
    try:
        check_output(output, resume=options.resume, overwrite=options.overwrite)  # another may just have come and gone
        settle(output)
        past = _past(out.partial, marks, options, checkpoint.by_name)
        if not fresh:
            check_disk(output, taken - _bytes_in(out.partial))
        yield Claim(out, journal, marks, past, tuple(_warnings(lock, past, out.partial)), checkpoint, lock)
    finally:
        journal.close()
        out.close()
        lock.release()


def _take(partial: Path) -> Lock:
    with naming(partial / JOURNAL):
        lock = take(partial / JOURNAL)
    if lock is not None:
        return lock
    who = who_writes(partial)
    by = f", process {who['pid']} on {who['host']} since {who['began']}" if who else ""
    raise PlanError(
        f"another run is writing {partial}{by}", hint="wait for its end, or choose another -o", code="in-use"
    )


def _past(partial: Path, marks: RunMarks, options: RunOptions, names: Collection[str]) -> Past | None:
    if not options.resume:
        return None
    past = read_journal(partial, names)
    if past is not None:
        check_same(past.marks, marks, partial)
    return past


def _bytes_in(folder: Path) -> int:
    """What is there is there to be written over."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _warnings(lock: Lock, past: Past | None, partial: Path) -> Iterator[Warned]:
    if not lock.shared:
        text = f"the drive of {partial} knows no locks: see to it that no other computer writes there"
        yield Warned("no-lock", text)
    if past is not None and past.lost:
        text = f"the last {past.lost:,} bytes of {partial / JOURNAL} say nothing: what they spoke of is done again"
        yield Warned("journal-torn", text)
