"""Downloads that go wrong on the way: what comes of the run, and what is here when it is over."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from qtquant_app.core.errors import QtQuantError, SourceError, VerifyError
from qtquant_app.core.events import Event, Fetched, TensorDone, Verified, Waiting
from qtquant_app.core.plan import RunOptions
from qtquant_app.engine.fetching import pieces
from qtquant_app.engine.hub import ranges
from qtquant_app.engine.output import OutputFolder
from qtquant_app.engine.quantize import run
from tests.hub.exchange import Fault
from tests.hub.repos import Account
from tests.hub.server import HubServer
from tests.unit.engine.fetching.models import ID, Model, contents, planned, quantized

TOKEN = "hf_MADEUPFORATESTONLY"


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE", 1 << 14)
    monkeypatch.setattr(pieces, "_AWAY_SECONDS", 0.1)
    monkeypatch.setattr(ranges.time, "sleep", lambda seconds: None)


def stored(hub: HubServer, model: Model, shard: int) -> str:
    """The path under which a shard is asked for where it is stored."""
    from tests.hub.contents import sha256_of

    return sha256_of(hub.repos[ID].revisions["main"][model.shards[shard]])


def until_error(output: Path, **options: object) -> tuple[QtQuantError, list[Event]]:
    events: list[Event] = []
    with pytest.raises(QtQuantError) as error:
        for event in run(planned(ID), RunOptions(str(output), **options)):  # type: ignore[arg-type]
            events.append(event)
    return error.value, events


def test_cuts_refusals_and_patience_asked_for_change_nothing(hub: HubServer, model: Model, tmp_path: Path) -> None:
    quantized(model.folder, tmp_path / "local")
    plan = planned(ID)
    hub.faults = [
        Fault(stored(hub, model, 1), cut=5000, times=3),
        Fault(stored(hub, model, 2), status=429, headers={"Retry-After": "0"}, times=2),
        Fault(stored(hub, model, 3), status=500, times=1),
        Fault(stored(hub, model, 4), status=403, after=8),
    ]
    for _ in run(plan, RunOptions(str(tmp_path / "out"))):
        pass
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert not any(fault.times for fault in hub.faults)


def test_a_shard_that_arrives_wrong_is_fetched_once_more(hub: HubServer, model: Model, tmp_path: Path) -> None:
    quantized(model.folder, tmp_path / "local")
    plan = planned(ID)
    hub.faults = [Fault(stored(hub, model, 2), spoil=True, times=1)]
    for _ in run(plan, RunOptions(str(tmp_path / "out"))):
        pass
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    sent = hub.sent[f"{ID}/{model.shards[2]}"]
    assert sent <= 2 * model.size and sent > 1.9 * model.size - pieces.PIECE


def test_a_shard_that_arrives_wrong_again_is_refused_by_name_before_anything_is_made_of_it(
    hub: HubServer, model: Model, tmp_path: Path
) -> None:
    plan = planned(ID)
    hub.faults = [Fault(stored(hub, model, 2), spoil=True, times=-1)]
    done: list[str] = []
    with pytest.raises(SourceError) as error:
        for event in run(plan, RunOptions(str(tmp_path / "out"))):
            done += [event.report.name] if isinstance(event, TensorDone) else []
    assert error.value.code == "hub-hash" and model.shards[2] in error.value.message and error.value.hint
    assert len(done) == 4  # those of the shards before it
    hub.faults.clear()
    report, _ = quantized(ID, tmp_path / "out", resume=True)
    assert report.verified


def test_a_token_that_expires_in_between_stops_the_run_and_a_new_one_goes_on_with_it(
    hub: HubServer, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized(model.folder, tmp_path / "local")
    hub.repos[ID].token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    plan = planned(ID)
    hub.accounts[TOKEN] = Account(left=9)
    with pytest.raises(SourceError) as error:
        for _ in run(plan, RunOptions(str(tmp_path / "out"))):
            pass
    assert error.value.code == "hub-token" and TOKEN not in f"{error.value}{error.value.hint}"
    hub.accounts[TOKEN] = Account()
    quantized(ID, tmp_path / "out", resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    again = sum(hub.sent[f"{ID}/{shard}"] for shard in model.shards) - len(model.shards) * model.size
    assert again <= pieces.CONNECTIONS * pieces.PIECE  # what was on its way, and not yet written


def test_a_run_is_cancelled_at_once_while_the_hub_says_nothing(hub: HubServer, model: Model, tmp_path: Path) -> None:
    plan = planned(ID)
    hub.faults = [Fault("/stored/", stall=1.5, times=-1)]
    events = run(plan, RunOptions(str(tmp_path / "out")))
    while not isinstance(next(events), Fetched):  # it waits
        pass
    for _ in range(3):
        began = time.monotonic()
        next(events)
        assert time.monotonic() - began < 1.0
    began = time.monotonic()
    events.close()
    assert time.monotonic() - began < 1.0
    assert not any(thread.name == "fetcher" for thread in threading.enumerate())


def test_a_network_that_goes_is_waited_for_in_words(
    hub: HubServer, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = planned(ID)
    real, gone = ranges.Ranges._target, threading.Event()

    def nowhere(self: ranges.Ranges, file: str) -> tuple[str, dict[str, str]]:
        return ("http://127.0.0.1:9/", {}) if gone.is_set() else real(self, file)

    monkeypatch.setattr(ranges.Ranges, "_target", nowhere)
    monkeypatch.setattr(ranges, "TRIES", 2)
    gone.set()
    waited = []
    for event in run(plan, RunOptions(str(tmp_path / "out"))):
        if isinstance(event, Waiting):
            waited.append(event)
            gone.clear()
    assert waited and waited[0].code == "hub-offline" and "cannot be reached" in waited[0].text
    assert (tmp_path / "out" / "qtquant.json").exists()


def test_what_is_written_wrong_is_found_while_its_source_is_here_and_done_again(
    hub: HubServer, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quantized(model.folder, tmp_path / "local")
    real, spoilt = OutputFolder.write, []

    def write(self: OutputFolder, file: str, offset: int, data: bytes) -> None:
        real(self, file, offset, data)
        if file == model.shards[2] and memoryview(data).nbytes > 10_000 and not spoilt:
            spoilt.append(file)
            real(self, file, offset, bytes(1000))

    with monkeypatch.context() as patch:
        patch.setattr(OutputFolder, "write", write)
        error, events = until_error(tmp_path / "out")
    assert isinstance(error, VerifyError) and spoilt
    assert sum(isinstance(event, Verified) for event in events) < 8  # before the other shards were here
    quantized(ID, tmp_path / "out", resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert [hub.sent[f"{ID}/{file}"] for file in model.shards[:3]] == [model.size] * 3
