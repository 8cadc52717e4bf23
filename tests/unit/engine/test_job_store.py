"""The queue and the history on disk: several programs at once, kills at any moment, spoilt files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.errors import UsageError, WriteError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, Waiting
from qtquant_app.core.job import (
    LONGEST_LINE,
    MOST_LINES,
    JobError,
    JobOptions,
    JobRecord,
    JobResult,
    JobState,
    in_order,
    new_job,
    orders_after_move,
    waiting,
)
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import Coverage, RunReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import job_store
from qtquant_app.engine.job_run import again, carry_out, recorded
from qtquant_app.engine.job_store import JobStore
from qtquant_app.engine.lock import take
from tests.checkpoints import small_llama


@pytest.fixture
def store(tmp_path: Path) -> JobStore:
    return JobStore(tmp_path / "jobs")


def job(name: str = "a", **changes: object) -> JobRecord:
    made = new_job("sample", name, Recipe(), JobOptions(f"/nowhere/{name}"), time.time())
    return replace(made, **changes)  # type: ignore[arg-type]


def labels(records: tuple[JobRecord, ...]) -> list[str]:
    return [record.label for record in records]


def other_program(code: str, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True)


def test_a_job_comes_back_from_disk_as_it_was(store: JobStore, tmp_path: Path) -> None:
    full = job(
        state=JobState.FAILED,
        recipe=Recipe(rules=(Rule("*.down_proj", "keep"),)),
        options=JobOptions("/out \u00e9", "quick", True, True, "cuda:1", 10**9, 10**8, 7, more={"threads": 3}),
        started=1.5,
        ended=2.5,
        seconds=1.0,
        fraction=0.25,
        result=JobResult(10, 4.5, True, 3, 2),
        error=JobError("w is not finite", "choose a policy", "nan"),
        log=("one", "two"),
    )
    kept = store.add(full)
    assert JobStore(tmp_path / "jobs").jobs().records == (kept,) == (replace(full, order=kept.order),)
    assert kept.options.run_options == RunOptions("/out \u00e9", "quick", True, True, threads=3)


def test_jobs_wait_in_the_order_they_came_and_in_any_other_they_are_given(store: JobStore, tmp_path: Path) -> None:
    ids = [store.add(job(name)).id for name in "abcd"]
    store.reorder(ids[3], 0)
    store.reorder(ids[0], 99)
    assert labels(JobStore(tmp_path / "jobs").jobs().records) == ["d", "b", "c", "a"]


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-2, 9)), max_size=120))
def test_moves_do_to_the_orders_what_they_do_to_a_list(moves: list[tuple[int, int]]) -> None:
    queue = {str(i): job(str(i), id=str(i), order=float(i)) for i in range(7)}
    expected = list(queue)
    for which, place in moves:
        id = str(which)
        changes = orders_after_move(waiting(queue.values()), id, place)
        queue.update({other: replace(queue[other], order=order) for other, order in changes.items()})
        expected.remove(id)
        expected.insert(max(0, place), id)
        assert [record.id for record in waiting(queue.values())] == expected


def test_what_runs_comes_first_and_the_history_last_newest_first() -> None:
    jobs = [
        job("old", state=JobState.DONE, ended=1.0),
        job("next", order=1.0),
        job("new", state=JobState.FAILED, ended=2.0),
        job("now", state=JobState.RUNNING, order=9.0),
        job("then", order=2.0),
    ]
    assert labels(in_order(jobs)) == ["now", "next", "then", "new", "old"]


def test_a_job_is_carried_out_by_one_program_at_a_time(store: JobStore, tmp_path: Path) -> None:
    id = store.add(job()).id
    other = JobStore(tmp_path / "jobs")
    taken = store.claim(id)
    assert taken is not None and taken.state is JobState.RUNNING and not taken.options.resume
    assert other.claim(id) is None
    assert other.jobs().held == {id}
    assert not other.remove(id)
    store.release(id, JobState.PAUSED)
    resumed = other.claim(id)
    assert resumed is not None and resumed.options.resume


def test_a_second_job_on_a_device_waits_and_one_on_another_does_not(store: JobStore, tmp_path: Path) -> None:
    devices = ("cpu", "cpu", "cuda", "auto")
    first, second, third, any_one = (
        store.add(job(str(i), options=JobOptions(f"/{i}", device=device))).id for i, device in enumerate(devices)
    )
    assert store.claim(first)
    assert store.claim(second) is None
    assert store.claim(any_one) is None
    assert JobStore(tmp_path / "jobs").claim(third)
    store.release(first, JobState.DONE)
    assert store.claim(second)


_HOLDER = """
import sys, time
from pathlib import Path
from qtquant_app.engine.job_store import JobStore
from qtquant_app.engine.lock import take
store = JobStore(Path(sys.argv[1]))
print(store.claim(sys.argv[2]).state, flush=True)
time.sleep(60)
"""


def test_a_killed_program_leaves_its_job_interrupted_and_the_queue_as_it_was(store: JobStore) -> None:
    ids = [store.add(job(name)).id for name in "abc"]
    store.reorder(ids[2], 0)
    program = other_program(_HOLDER, str(store.folder), ids[0])
    assert program.stdout is not None and program.stdout.readline() == "running\n"
    assert store.jobs().held == {ids[0]}
    os.kill(program.pid, signal.SIGKILL)
    program.communicate()
    records, held = store.jobs()
    assert [(r.label, str(r.state)) for r in records] == [("a", "interrupted"), ("c", "waiting"), ("b", "waiting")]
    assert not held
    assert store.claim(ids[0]) is not None


_WRITER = """
import sys
from pathlib import Path
from qtquant_app.engine.job_store import JobStore
from qtquant_app.engine.lock import take
store = JobStore(Path(sys.argv[1]))
print("ready", flush=True)
at = 0
while True:
    at += 1
    store.update(sys.argv[2], log=[f"line {n}" for n in range(at % 400)], fraction=(at % 100) / 100)
    store.reorder(sys.argv[2], at % 3)
"""


def test_a_kill_in_the_middle_of_writing_never_spoils_a_job(store: JobStore) -> None:
    ids = [store.add(job(name)).id for name in "abc"]
    for moment in range(8):
        program = other_program(_WRITER, str(store.folder), ids[0])
        assert program.stdout is not None and program.stdout.readline() == "ready\n"
        time.sleep(0.01 + 0.013 * moment)
        os.kill(program.pid, signal.SIGKILL)
        program.communicate()
        assert sorted(record.id for record in store.jobs().records) == sorted(ids)


_ADDER = """
import sys
from dataclasses import replace
from pathlib import Path
from qtquant_app.core.job import JobOptions, new_job
from qtquant_app.core.recipe import Recipe
from qtquant_app.engine.job_store import JobStore
from qtquant_app.engine.lock import take
store = JobStore(Path(sys.argv[1]))
for i in range(20):
    store.add(new_job("sample", f"{sys.argv[2]}{i}", Recipe(), JobOptions("/out"), 0.0))
"""


def test_programs_that_add_at_once_lose_nothing_and_share_no_place(store: JobStore) -> None:
    programs = [other_program(_ADDER, str(store.folder), name) for name in "xyz"]
    for program in programs:
        program.communicate()
        assert program.returncode == 0
    records = store.jobs().records
    assert len(records) == 60
    assert len({record.order for record in records}) == 60


def test_a_spoilt_file_is_passed_over_and_stays(store: JobStore) -> None:
    good = store.add(job())
    spoilt = ["", "{", "[]", '{"version": 1}', "\udcff", json.dumps(good.to_json() | {"state": "flying"})]
    for at, text in enumerate(spoilt):
        (store.folder / f"bad{at}.json").write_text(text, errors="surrogateescape")
    assert store.jobs().records == (good,)
    assert len(list(store.folder.glob("bad*.json"))) == len(spoilt)


@pytest.mark.parametrize("id", ["../../etc", "a/b", "", "\u0661", "x" * 65, 5])
def test_an_id_that_could_leave_the_folder_is_no_id(id: object) -> None:
    with pytest.raises(UsageError):
        JobRecord.from_json(job().to_json() | {"id": id})


def test_logs_and_history_are_bounded(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_store, "MOST_FINISHED", 3)
    record = store.add(job(log=tuple(f"{i}\n" + "x" * 2 * LONGEST_LINE for i in range(MOST_LINES + 9))))
    assert len(record.log) == MOST_LINES
    assert max(map(len, record.log)) == LONGEST_LINE
    for at in range(6):
        store.add(job(f"done {at}", state=JobState.DONE, ended=float(at)))
    assert labels(store.jobs().records) == ["a", "done 5", "done 4", "done 3"]


def test_clearing_the_history_leaves_what_is_to_do(store: JobStore) -> None:
    store.add(job("wait"))
    store.add(job("paused", state=JobState.PAUSED))
    for state in (JobState.DONE, JobState.FAILED, JobState.CANCELLED):
        store.add(job(str(state), state=state))
    assert store.clear_finished() == 3
    assert labels(store.jobs().records) == ["paused", "wait"]


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="file"):
        JobStore(tmp_path / "file").jobs()
    monkeypatch.setattr(job_store, "_WAIT_SECONDS", 0.05)
    (tmp_path / "jobs").mkdir()
    held = take(tmp_path / "jobs" / "lock")
    with pytest.raises(WriteError, match="another QtQuant"):
        JobStore(tmp_path / "jobs").jobs()
    assert held is not None
    held.release()
    assert JobStore(tmp_path / "jobs").jobs().records == ()


def test_the_stamp_changes_with_every_change_whoever_makes_it(store: JobStore, tmp_path: Path) -> None:
    store.jobs()
    empty = store.stamp()
    other, seen = JobStore(tmp_path / "jobs"), {empty}
    record = store.add(job())
    seen.add(other.stamp())
    time.sleep(0.01)
    store.update(record.id, fraction=0.5)
    seen.add(other.stamp())
    store.remove(record.id)
    assert other.stamp() == empty
    assert len(seen) == 3
    assert JobStore(tmp_path / "none").stamp() == 0


def report(output: str = "/out") -> RunReport:
    return RunReport(output, "compressed-tensors", 10, 4.5, 2.0, 0, Coverage(1, 2, 50.0), (), True, {})


def scripted(*events: Event, error: BaseException | None = None) -> Generator[Event, None, RunReport]:
    yield from events
    if error is not None:
        raise error
    return report()


def test_a_finished_run_is_recorded_with_its_result_and_its_log(store: JobStore) -> None:
    record = job()
    waits = [Waiting("disk-full", "no room")] * 3
    for _ in recorded(store, record, scripted(RunStarted(2, 10), *waits, ChunkDone("w", 10))):
        assert store.jobs().held == {record.id}
    (kept,), held = store.jobs()
    assert (kept.state, kept.result, kept.fraction, held) == (JobState.DONE, JobResult(10, 4.5, True, 1, 2), 1.0, set())
    assert sum("waiting: no room" in line for line in kept.log) == 1


@pytest.mark.parametrize("error", [WriteError("the disk is gone", hint="mount it", code="gone"), ZeroDivisionError()])
def test_a_failure_is_recorded_and_raised_on(store: JobStore, error: Exception) -> None:
    with pytest.raises(type(error)):
        list(recorded(store, job(), scripted(RunStarted(2, 10), ChunkDone("w", 5), error=error)))
    kept = store.jobs().records[0]
    assert (kept.state, kept.error, kept.fraction) == (JobState.FAILED, JobError.of(error), 0.5)


def test_a_closed_run_is_left_as_its_front_end_says(store: JobStore) -> None:
    for state in (JobState.INTERRUPTED, JobState.CANCELLED):
        record = job()
        events = recorded(store, record, scripted(RunStarted(1, 1), ChunkDone("w", 1)), state)
        next(events)
        events.close()
        kept = store.get(record.id)
        assert kept is not None and kept.state is state


def test_a_store_that_cannot_be_written_never_stops_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    events = recorded(JobStore(tmp_path / "file"), job(), scripted(RunStarted(1, 1), ChunkDone("w", 1)))
    assert len(list(events)) == 2


def test_a_run_that_was_killed_after_its_last_rename_counts_as_done(store: JobStore, tmp_path: Path) -> None:
    source = small_llama(tmp_path / "model")
    recipe = Recipe(Scheme(group_size=32))
    record = replace(job(), source=str(source), recipe=recipe, options=JobOptions(str(tmp_path / "out")))
    store.add(record)
    taken = store.claim(record.id)
    assert taken is not None
    for _ in carry_out(taken):
        pass
    store.release(record.id)
    kept = store.jobs().records[0]
    assert kept.state is JobState.DONE
    assert kept.result is not None and kept.result.verified and kept.result.output_bytes > 0


def test_again_writes_beside_a_result_and_goes_on_with_what_was_not_finished(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tmp_path / "out-2.partial").mkdir()
    ended = replace(job(), options=JobOptions(str(out), overwrite=True), state=JobState.DONE)
    after = again(ended, {str(tmp_path / "out-3")})
    assert (after.output, after.state, after.options.overwrite) == (str(tmp_path / "out-4"), JobState.WAITING, False)
    assert after.id != ended.id
    failed = again(replace(ended, state=JobState.FAILED))
    assert (failed.output, failed.options.resume) == (str(out), True)
