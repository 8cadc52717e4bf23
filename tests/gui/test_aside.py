"""Work that waits for somebody else: its events and its end come through, and it can be left at any moment."""

from __future__ import annotations

import threading
from collections.abc import Generator
from time import monotonic

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import SourceError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.jobs.aside import aside
from qtquant_app.jobs.job import Work, once
from qtquant_app.jobs.latest import Latest


def driven(work: Work) -> tuple[list[Event], object]:
    events, told = work(), []
    while True:
        try:
            told.append(next(events))
        except StopIteration as end:
            return told, end.value


def test_events_come_in_their_order_and_the_value_at_the_end() -> None:
    def work() -> Generator[Event, None, int]:
        for at in range(5):
            yield ChunkDone("a", at)
        return 7

    told, value = driven(aside(work))
    assert [event.bytes for event in told if isinstance(event, ChunkDone) and event.tensor] == [0, 1, 2, 3, 4]
    assert value == 7


def test_what_is_raised_within_is_raised_here() -> None:
    def fail() -> None:
        raise SourceError("no", code="made-up")

    with pytest.raises(SourceError, match="no"):
        driven(aside(once(fail)))


def test_a_close_returns_at_once_and_what_was_left_ends_at_its_next_yield() -> None:
    go, closed = threading.Event(), threading.Event()

    def work() -> Generator[Event, None, None]:
        try:
            go.wait(30)
            yield ChunkDone("a", 1)
            yield ChunkDone("b", 1)
        finally:
            closed.set()

    events = aside(work)()
    next(events)
    began = monotonic()
    events.close()
    assert monotonic() - began < 5 and not closed.is_set()
    go.set()
    assert closed.wait(10)


def test_a_newer_request_does_not_wait_for_one_that_hangs(qtbot: QtBot) -> None:
    latest, found = Latest(), []
    hangs = threading.Event()
    latest.result.connect(found.append)
    latest.submit(aside(once(lambda: hangs.wait(60))))
    latest.submit(aside(once(lambda: "the newer")))
    qtbot.waitUntil(lambda: found == ["the newer"], timeout=10_000)
    hangs.set()
    qtbot.wait(50)
    assert found == ["the newer"]
