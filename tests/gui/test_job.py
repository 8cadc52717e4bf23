"""A Job: one generator in one thread, its events in batches, one ending."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Generator

import pytest
from PySide6.QtCore import QObject, Signal
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import QtQuantError, SourceError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.jobs.job import BATCH_MS, Job, Work, internal, once, running, stop_all
from tests.gui.scripted import script


class Watcher:
    """Notes what a Job says, in order, and in which thread it hears it."""

    def __init__(self, job: Job) -> None:
        self.heard: list[tuple[str, object]] = []
        self.threads: set[int] = set()
        self._job = job  # the signals below hold no reference to it
        job.batch.connect(lambda events: self._note("batch", events))
        job.done.connect(lambda value: self._note("done", value))
        job.failed.connect(lambda error: self._note("failed", error))
        job.cancelled.connect(lambda: self._note("cancelled", None))

    def _note(self, kind: str, value: object) -> None:
        self.heard.append((kind, value))
        self.threads.add(threading.get_ident())

    @property
    def events(self) -> list[Event]:
        return [event for kind, batch in self.heard if kind == "batch" for event in batch]  # type: ignore[attr-defined]

    @property
    def endings(self) -> list[tuple[str, object]]:
        return [(kind, value) for kind, value in self.heard if kind != "batch"]


def run(qtbot: QtBot, work: Work) -> Watcher:
    job = Job(work)
    watcher = Watcher(job)
    job.start()
    qtbot.waitUntil(lambda: bool(watcher.endings))
    return watcher


def chunks(count: int) -> list[Event]:
    return [ChunkDone("t", i) for i in range(count)]


def test_events_arrive_in_order_and_before_the_only_ending(qtbot: QtBot) -> None:
    watcher = run(qtbot, script(chunks(5000), "the end"))
    assert watcher.events == chunks(5000)
    assert watcher.endings == [("done", "the end")]
    assert watcher.heard[-1][0] == "done"


def test_signals_arrive_in_the_gui_thread_and_the_work_is_made_elsewhere(qtbot: QtBot) -> None:
    made_in: list[int] = []

    def work() -> Generator[Event, None, None]:
        made_in.append(threading.get_ident())
        yield ChunkDone("t", 1)

    watcher = run(qtbot, work)
    assert watcher.threads == {threading.get_ident()}
    assert made_in != [threading.get_ident()]


def test_events_come_in_batches_and_not_one_by_one(qtbot: QtBot) -> None:
    def work() -> Generator[Event, None, None]:
        for event in chunks(300):
            time.sleep(0.001)
            yield event

    watcher = run(qtbot, work)
    assert len(watcher.heard) - 1 <= 300 * 2 // BATCH_MS + 8


def test_our_errors_pass_through_and_foreign_ones_are_wrapped_with_their_cause(qtbot: QtBot) -> None:
    ours = SourceError("weights.bin is empty", code="empty")
    assert run(qtbot, script(chunks(2), error=ours)).endings == [("failed", ours)]
    foreign = ValueError("odd\nthing")
    ((kind, error),) = run(qtbot, script(chunks(2), error=foreign)).endings
    assert kind == "failed"
    assert isinstance(error, QtQuantError)
    assert (error.code, error.__cause__) == ("internal", foreign)
    assert "ValueError: odd thing" in error.message


def test_an_exception_while_the_work_is_made_ends_the_job_too(qtbot: QtBot) -> None:
    def work() -> Generator[Event, None, None]:
        raise ImportError("no such engine")

    assert [kind for kind, _ in run(qtbot, work).endings] == ["failed"]


def test_even_a_system_exit_in_the_work_is_a_failure(qtbot: QtBot) -> None:
    assert [kind for kind, _ in run(qtbot, script([], error=SystemExit(3))).endings] == ["failed"]


def test_memory_running_out_has_its_own_sentence() -> None:
    assert internal(MemoryError()).code == "memory"


class Endless:
    """Work that never ends by itself."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.made = 0

    def __call__(self) -> Generator[Event, None, None]:
        try:
            while True:
                time.sleep(0.002)
                self.made += 1
                yield ChunkDone("t", self.made)
        finally:
            self.closed.set()


def test_cancel_closes_the_generator_and_ends_in_cancelled_alone(qtbot: QtBot) -> None:
    work = Endless()
    job = Job(work)
    watcher = Watcher(job)
    job.start()
    qtbot.waitUntil(lambda: work.made > 3)
    started = time.monotonic()
    job.cancel()
    qtbot.waitUntil(lambda: bool(watcher.endings))
    assert time.monotonic() - started < 1
    assert work.closed.is_set()
    assert watcher.endings == [("cancelled", None)]


def test_a_paused_job_asks_for_no_event_until_it_resumes(qtbot: QtBot) -> None:
    work = Endless()
    job = Job(work)
    watcher = Watcher(job)
    job.start()
    qtbot.waitUntil(lambda: work.made > 3)
    job.pause()
    assert job.paused
    qtbot.wait(50)
    held = work.made
    qtbot.wait(50)
    assert work.made == held
    job.resume()
    qtbot.waitUntil(lambda: work.made > held)
    job.cancel()
    qtbot.waitUntil(lambda: bool(watcher.endings))


def test_a_paused_job_can_be_cancelled(qtbot: QtBot) -> None:
    work = Endless()
    job = Job(work)
    watcher = Watcher(job)
    job.start()
    job.pause()
    job.cancel()
    qtbot.waitUntil(lambda: watcher.endings == [("cancelled", None)])


def test_a_job_cancelled_before_it_starts_never_makes_its_work(qtbot: QtBot) -> None:
    work = Endless()
    job = Job(work)
    watcher = Watcher(job)
    job.cancel()
    job.start()
    qtbot.waitUntil(lambda: watcher.endings == [("cancelled", None)])
    assert work.made == 0


def test_an_error_while_the_generator_closes_is_a_failure(qtbot: QtBot) -> None:
    def work() -> Generator[Event, None, None]:
        try:
            while True:
                time.sleep(0.002)
                yield ChunkDone("t", 1)
        finally:
            raise OSError("the journal cannot be written")

    job = Job(work)
    watcher = Watcher(job)
    job.start()
    qtbot.waitUntil(lambda: bool(watcher.events))
    job.cancel()
    qtbot.waitUntil(lambda: bool(watcher.endings))
    assert [kind for kind, _ in watcher.endings] == ["failed"]


def test_a_running_job_that_nobody_holds_is_not_collected(qtbot: QtBot) -> None:
    heard: list[object] = []
    work = Endless()

    def forget() -> weakref.ref[Job]:
        job = Job(work)
        job.cancelled.connect(lambda: heard.append("cancelled"))
        job.start()
        return weakref.ref(job)

    reference = forget()
    gc.collect()
    qtbot.waitUntil(lambda: work.made > 3)
    assert reference() is not None
    assert reference() in running()
    assert stop_all()
    qtbot.waitUntil(lambda: heard == ["cancelled"])
    qtbot.waitUntil(lambda: not running())


def test_a_parent_that_is_deleted_does_not_take_the_running_job_along(qtbot: QtBot) -> None:
    parent = QObject()
    work = Endless()
    job = Job(work, parent)
    watcher = Watcher(job)
    job.start()
    parent.deleteLater()
    del parent
    qtbot.waitUntil(lambda: work.made > 3)
    job.cancel()
    qtbot.waitUntil(lambda: watcher.endings == [("cancelled", None)])


def test_a_plain_function_can_be_the_work(qtbot: QtBot) -> None:
    assert run(qtbot, once(lambda: 42)).endings == [("done", 42)]


def test_the_program_may_end_while_a_job_runs() -> None:
    code = (
        "import time\n"
        "from PySide6.QtCore import QCoreApplication\n"
        "from qtquant_app.jobs.job import Job\n"
        "app = QCoreApplication([])\n"
        "def work():\n"
        "    while True:\n"
        "        time.sleep(0.01)\n"
        "        yield 1\n"
        "Job(work).start()\n"
        "time.sleep(0.1)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


class Speaker(QObject):
    said = Signal(bool)


def test_emitting_a_bool_takes_no_reference_from_it(qtbot: QtBot) -> None:
    """PySide6 6.12.0 on Python 3.11 takes one a time, until the process aborts."""
    speaker = Speaker()
    speaker.said.connect(lambda value: None)
    before = sys.getrefcount(True)
    for _ in range(100):
        speaker.said.emit(True)
    assert abs(sys.getrefcount(True) - before) < 50


@pytest.mark.parametrize("attempt", range(3))
def test_many_jobs_at_once_each_end_once(qtbot: QtBot, attempt: int) -> None:
    jobs = [Job(script(chunks(20), i)) for i in range(12)]
    watchers = [Watcher(job) for job in jobs]
    for job in jobs:
        job.start()
    qtbot.waitUntil(lambda: all(watcher.endings for watcher in watchers))
    assert [watcher.endings for watcher in watchers] == [[("done", i)] for i in range(12)]
