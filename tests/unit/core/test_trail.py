"""The trail keeps what is needed to understand a failure, and no more than that."""

from __future__ import annotations

import logging
import threading

import pytest

from qtquant_app.core.events import (
    ChunkDone,
    FileTransferred,
    RunStarted,
    ShardWritten,
    StageChanged,
    TensorKept,
    Waiting,
    Warned,
)
from qtquant_app.core.trail import LOGGER, Trail, event_line, log_events


def test_it_holds_the_newest_steps_in_order() -> None:
    trail = Trail(length=3)
    for number in range(10):
        trail.say(f"message {number}")
    assert [line.split(" ", 1)[1] for line in trail.lines()] == ["message 7", "message 8", "message 9"]


def test_chunks_leave_their_newest_and_their_number_and_push_nothing_out() -> None:
    trail = Trail(length=2)
    trail.add(ShardWritten("model.safetensors", 1000, "ab"))
    for _ in range(5000):
        trail.add(ChunkDone("model.layers.0.q_proj.weight", 7))
    shard, chunk = trail.lines()
    assert "ShardWritten file=model.safetensors, bytes=1000" in shard
    assert chunk.endswith("ChunkDone tensor=model.layers.0.q_proj.weight, bytes=7 (the newest of 5,000)")


def test_a_name_cannot_forge_a_line_nor_fill_the_report() -> None:
    trail = Trail()
    trail.add(TensorKept("a\n12:00:00.000 all is well\x1b[31m" + "x" * 5000, 1))
    (line,) = trail.lines()
    assert "\n" not in line and "\x1b" not in line and len(line) < 400


def test_threads_may_add_while_another_reads() -> None:
    trail = Trail()
    stop = threading.Event()

    def add() -> None:
        while not stop.is_set():
            trail.add(TensorKept("a", 1))
            trail.add(ChunkDone("a", 1))

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert all(len(trail.lines()) <= 101 for _ in range(200))
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_the_log_has_the_milestones_of_a_run_and_nothing_for_a_chunk(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, LOGGER.name)
    milestones = [RunStarted(3, 30), StageChanged("quantize"), ShardWritten("a", 1, "ab"), Warned("code", "beware")]
    log_events(
        [*milestones, ChunkDone("a", 1), TensorKept("b", 2), FileTransferred("c", 3), Waiting("full", "no room")]
    )
    assert caplog.messages == [*map(event_line, milestones), "Waiting code=full, text=no room"]
    assert [record.levelno for record in caplog.records[-2:]] == [logging.WARNING, logging.WARNING]
