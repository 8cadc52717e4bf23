"""A drive that fills up while a run writes to it: the run waits, loses nothing, and goes on by itself when there is room."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from qtquant_app.core.events import ChunkDone, Event, StageChanged, Waiting
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.report import RunReport
from qtquant_app.engine import commit, cost, filesystem, room
from qtquant_app.engine.quantize import run
from tests.checkpoints import llama_tensors, write_checkpoint
from tests.driving import finish, plan_for, result, weight_bytes

DRIVE_BYTES = 24 << 20


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards; the result takes about 3 MB."""
    tensors = llama_tensors()
    for block in range(2):
        tensors[f"model.layers.{block}.mlp.up_proj.weight"] = torch.randn(2048, 1024).bfloat16()
    return write_checkpoint(tmp_path_factory.mktemp("source") / "model", tensors, shards=3)


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The result of a run that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole") / "out"
    result(run(plan_for(source), RunOptions(str(out))))
    return weight_bytes(out)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Path]:
    """A small drive of its own."""
    folder = tmp_path / "drive"
    folder.mkdir()
    if not sys.platform.startswith("linux"):
        pytest.skip("needs a tmpfs, which Linux has")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DRIVE_BYTES}", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small drive cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(drive: Path) -> Path:
    """Takes all the room there is."""
    ballast = drive / "ballast"
    with ballast.open("ab", buffering=0) as stream:
        try:
            while True:
                stream.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return ballast


def driven(
    events: Generator[Event, None, RunReport],
    until: Callable[[Event], bool],
    fault: Callable[[], object],
    mend: Callable[[], object],
) -> tuple[list[Event], RunReport]:
    """The run, with `fault` at the first event that `until` names, and `mend` after three waits."""
    seen: list[Event] = []
    faulty = mended = False
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            assert mended
            return seen, end.value
        seen.append(event)
        if not faulty and until(event):
            fault()
            faulty = True
        if not mended and sum(isinstance(event, Waiting) for event in seen) >= 3:
            mend()
            mended = True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "SECONDS", 0.01)
    monkeypatch.setattr(commit, "SECONDS_BETWEEN_COMMITS", 0.0)
    monkeypatch.setattr(cost, "CHUNK_BYTES", 1 << 18)


@pytest.mark.parametrize(
    "until",
    [lambda e: isinstance(e, ChunkDone), lambda e: e == StageChanged("finish")],
    ids=["first chunk", "at the end"],
)
def test_a_full_drive_makes_the_run_wait_and_room_makes_it_go_on(
    source: Path, drive: Path, whole: dict[str, bytes], until: Callable[[Event], bool]
) -> None:
    events = run(plan_for(source), RunOptions(str(drive / "out")))
    seen, report = driven(events, until, lambda: fill(drive), lambda: (drive / "ballast").unlink())
    waits = [event for event in seen if isinstance(event, Waiting)]
    assert {event.code for event in waits} == {"disk-full"}
    assert str(drive / "out.partial") in waits[0].text and "0 B free: the run goes on" in waits[0].text
    assert report.verified and weight_bytes(drive / "out") == whole


def test_a_drive_that_cannot_set_room_aside_fills_up_under_the_weights(
    source: Path, drive: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "reserve", filesystem.truncate)
    events = run(plan_for(source), RunOptions(str(drive / "out"), threads=2))
    first = lambda event: isinstance(event, ChunkDone)  # noqa: E731
    seen, _ = driven(events, first, lambda: fill(drive), lambda: (drive / "ballast").unlink())
    assert any(isinstance(event, Waiting) and "model-0000" in event.text for event in seen)
    assert weight_bytes(drive / "out") == whole


def test_a_run_that_is_cancelled_while_it_waits_can_be_gone_on_with(
    source: Path, drive: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filesystem, "reserve", filesystem.truncate)
    events = run(plan_for(source), RunOptions(str(drive / "out")))
    while not isinstance(next(events), ChunkDone):
        pass
    ballast = fill(drive)
    while not isinstance(next(events), Waiting):
        pass
    events.close()
    ballast.unlink()
    result(run(plan_for(source), RunOptions(str(drive / "out"), resume=True)))
    assert weight_bytes(drive / "out") == whole


@pytest.mark.parametrize("call", ["truncate", "write", "fsync"])
@pytest.mark.parametrize("again", [False, True], ids=["new", "resumed"])
def test_a_drive_that_is_full_from_the_first_line_on_is_waited_for(
    source: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, call: str, again: bool
) -> None:
    options = RunOptions(str(tmp_path / "out"), resume=again)
    if again:
        events = run(plan_for(source), replace(options, resume=False))
        while not isinstance(next(events), ChunkDone):
            pass
        events.close()
    real, calls = getattr(filesystem, call), [0]

    def sometimes(*arguments: object) -> object:
        calls[0] += 1
        if calls[0] < 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments)

    monkeypatch.setattr(filesystem, call, sometimes)
    seen, report = finish(run(plan_for(source), options))
    assert isinstance(seen[0], Waiting) and "journal.jsonl" in seen[0].text
    assert report.verified and weight_bytes(tmp_path / "out") == whole


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["no space", "quota"])
@pytest.mark.parametrize("call", ["reserve", "write_at", "write"])
def test_whatever_call_finds_no_room_is_made_again_until_it_does(
    source: Path, tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    real, calls = getattr(filesystem, call), [0]

    def sometimes(*arguments: object) -> object:
        calls[0] += 1
        if 3 <= calls[0] < 8:
            raise OSError(code, os.strerror(code))
        return real(*arguments)

    monkeypatch.setattr(filesystem, call, sometimes)
    seen, report = finish(run(plan_for(source), RunOptions(str(tmp_path / "out"), threads=1)))
    assert any(isinstance(event, Waiting) for event in seen)
    assert report.verified and weight_bytes(tmp_path / "out") == whole
