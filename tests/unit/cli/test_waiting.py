"""A run that waits says so once, however often it looks again."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from qtquant_app.cli.progress import drive
from qtquant_app.core.events import ChunkDone, Event, Waiting


def test_each_wait_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> Generator[Event, None, str]:
        for free in range(3):
            yield Waiting("disk-full", f"model.safetensors cannot be written, and its drive has {free} B free")
        yield ChunkDone("a", 1)
        yield Waiting("disk-full", "journal.jsonl cannot be written")
        return "done"

    assert drive(work()) == "done"
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "waiting: model.safetensors cannot be written, and its drive has 0 B free",
        "waiting: journal.jsonl cannot be written",
    ]
