"""`qtquant jobs`: the queue and the history that the window shows too, and a way to run what waits without it."""

from __future__ import annotations

import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtquant_app.cli import show
from qtquant_app.cli.progress import printable
from qtquant_app.core.errors import QtQuantError, UsageError
from qtquant_app.core.job import JobOptions, JobRecord, JobState, new_job, waiting
from qtquant_app.core.job_words import details, moment, recipe_text, result_text, state_text, time_text

if TYPE_CHECKING:
    from qtquant_app.core.events import Event
    from qtquant_app.core.plan import Plan, RunOptions
    from qtquant_app.core.report import RunReport
    from qtquant_app.engine.job_store import JobStore

_LOOK_SECONDS = 1.0
_HEADINGS = ("id", "state", "job", "recipe", "output", "result", "when")


def add_options(verb: ArgumentParser) -> None:
    verb.add_argument("id", nargs="?", metavar="ID", help="one job, with its settings, result, error and log")
    what = verb.add_mutually_exclusive_group()
    what.add_argument("--run", action="store_true", dest="run_queue", help="run what waits, one job after another")
    what.add_argument("--resume", metavar="ID", help="go on with a job that was paused or interrupted")
    what.add_argument("--remove", metavar="ID", help="take a job out of the list; files stay")
    what.add_argument("--clear", action="store_true", help="forget what has ended; files stay")


def jobs(options: Namespace) -> int:
    """Lists the jobs, shows one, or changes them first."""
    from qtquant_app.engine.job_store import JobStore

    store, failed = JobStore(), 0
    if options.id is not None:
        return _show_one(_found(store, options.id), options.json)
    if options.remove is not None and not store.remove(_found(store, options.remove).id):
        raise UsageError(f"job {options.remove} is running", hint="cancel it where it runs", code="job")
    if options.clear:
        store.clear_finished()
    if options.resume is not None:
        failed = _resume(store, _found(store, options.resume))
    if options.run_queue:
        failed = _run_queue(store)
    _show_all(store, options.json)
    return 1 if failed else 0


def enqueue(made: Plan, wanted: RunOptions, device: str) -> JobRecord:
    """Puts a run into the queue, for the window or `qtquant jobs --run`."""
    from qtquant_app.engine.job_store import JobStore

    return JobStore().add(_record(made, wanted, device))


def recorded(
    made: Plan, wanted: RunOptions, device: str, events: Generator[Event, None, RunReport]
) -> Generator[Event, None, RunReport]:
    """`events`, while the history keeps what becomes of them; without one where it cannot be kept."""
    from qtquant_app.engine.job_run import recorded as noted
    from qtquant_app.engine.job_store import JobStore

    return noted(JobStore(), _record(made, wanted, device), events, JobState.CANCELLED)


def _record(made: Plan, wanted: RunOptions, device: str) -> JobRecord:
    # Another program may run it, from another folder.
    wanted = replace(wanted, output=str(Path(wanted.output).absolute()))
    options = JobOptions.of(wanted, made, device)
    source = str(Path(made.source).absolute()) if Path(made.source).exists() else made.source
    return new_job(source, made.label, made.recipe, options, time.time())


def _found(store: JobStore, id: str) -> JobRecord:
    store.jobs()  # a job whose program was killed is found out here
    record = store.get(id)
    if record is None:
        raise UsageError(f"there is no job {id!r}", hint="`qtquant jobs` lists them", code="job")
    return record


def _run_queue(store: JobStore) -> int:
    """Runs what waits until nothing does; how many failed. A job whose device another program uses is waited for."""
    failed, told = 0, False
    while queue := waiting(store.jobs().records):
        record = store.claim(queue[0].id)
        if record is None:
            if not told:
                print("waiting: another program runs a job on this device", file=sys.stderr)
            told = True
            time.sleep(_LOOK_SECONDS)
            continue
        told = False
        failed += not _carry_out(store, record)
    return failed


def _resume(store: JobStore, record: JobRecord) -> int:
    if not record.state.begun:
        raise UsageError(f"job {record.id} is {record.state}", hint="`qtquant jobs --run` runs what waits", code="job")
    taken = store.claim(record.id)
    if taken is None:
        raise UsageError(f"job {record.id} or its device is in use", hint="wait for what runs there", code="job")
    return 0 if _carry_out(store, taken) else 1


def _carry_out(store: JobStore, record: JobRecord) -> bool:
    """Runs one job; its failure is told and is not the end of the queue."""
    from qtquant_app.cli.progress import drive
    from qtquant_app.engine.job_run import carry_out
    from qtquant_app.engine.job_run import recorded as noted

    print(printable(f"{record.label} to {record.output}"), file=sys.stderr)
    try:
        drive(noted(store, record, carry_out(record), JobState.PAUSED))
    except QtQuantError as error:
        print(f"error: {printable(error.message)}", file=sys.stderr)
        return False
    return True


def _show_all(store: JobStore, json: bool) -> None:
    records, held = store.jobs()
    if json:
        show.document({"jobs": [_document(record, record.id in held) for record in records]})
    elif not records:
        show.say("no jobs: `qtquant quantize MODEL -o OUT --queue` adds one")
    else:
        rows = [
            (r.id, state_text(r), r.label, recipe_text(r), r.output, result_text(r), time_text(moment(r)))
            for r in records
        ]
        show.table([_HEADINGS, *rows])


def _show_one(record: JobRecord, json: bool) -> int:
    if json:
        show.document(_document(record, None))
        return 0
    for line in (*(f"{name}: {value}" for name, value in details(record)), "", *record.log):
        show.say(printable(line))
    return 0


def show_queued(record: JobRecord, json: bool) -> None:
    """What `quantize --queue` answers."""
    if json:
        show.document(_document(record, False))
    else:
        show.say(f"job {record.id} waits: `qtquant jobs --run` or the window runs it")


def _document(record: JobRecord, held: bool | None) -> dict[str, Any]:
    data = record.to_json() | {"output": record.output}
    return data if held is None else data | {"running_now": held}
