"""Latest: only the newest request counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator

from pytestqt.qtbot import QtBot

from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.jobs.job import Work, once, running
from qtquant_app.jobs.latest import Latest
from tests.gui.scripted import script


def patient(started: list[int], number: int, release: threading.Event) -> Work:
    """Work that notes that it started, and ends with its number once it is released."""

    def work() -> Generator[Event, None, int]:
        started.append(number)
        while not release.is_set():
            time.sleep(0.002)
            yield ChunkDone("t", number)
        return number

    return work


def test_only_the_newest_request_gives_a_result_and_those_between_never_start(qtbot: QtBot) -> None:
    latest, results, started, release = Latest(), [], [], threading.Event()
    latest.result.connect(results.append)
    for number in range(5):
        latest.submit(patient(started, number, release))
    qtbot.waitUntil(lambda: len(running()) == 1)  # that of an earlier test may still be on its way out
    qtbot.waitUntil(lambda: 4 in started)
    release.set()
    qtbot.waitUntil(lambda: results == [4])
    assert started in ([0, 4], [4])
    qtbot.waitUntil(lambda: not latest.busy)


def test_an_error_of_an_older_request_is_not_heard(qtbot: QtBot) -> None:
    latest, results, errors = Latest(), [], []
    latest.result.connect(results.append)
    latest.failed.connect(errors.append)
    latest.submit(script([], error=ValueError("old")))
    latest.submit(once(lambda: "new"))
    qtbot.waitUntil(lambda: results == ["new"])
    assert errors == []


def test_an_error_of_the_newest_is_heard(qtbot: QtBot) -> None:
    latest, errors = Latest(), []
    latest.failed.connect(errors.append)
    latest.submit(script([], error=ValueError("new")))
    qtbot.waitUntil(lambda: len(errors) == 1)


def test_a_cancelled_request_says_nothing_more(qtbot: QtBot) -> None:
    latest, heard, started, release = Latest(), [], [], threading.Event()
    latest.result.connect(heard.append)
    latest.failed.connect(heard.append)
    latest.submit(patient(started, 0, release))
    qtbot.waitUntil(lambda: started == [0])
    latest.cancel()
    qtbot.waitUntil(lambda: not latest.busy)
    assert heard == []


def test_busy_is_said_once_when_it_starts_and_once_when_all_is_over(qtbot: QtBot) -> None:
    latest, busy = Latest(), []
    latest.busy_changed.connect(busy.append)
    latest.submit(once(lambda: 1))
    qtbot.waitUntil(lambda: busy == [True, False])


def test_events_of_the_newest_pass_through(qtbot: QtBot) -> None:
    latest, batches = Latest(), []
    latest.batch.connect(batches.extend)
    latest.submit(script([ChunkDone("t", 1)]))
    qtbot.waitUntil(lambda: batches == [ChunkDone("t", 1)])
