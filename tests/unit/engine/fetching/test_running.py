"""Runs whose source is on the Hub: shard by shard, each fetched once, with the result of a run from files that are here."""

from __future__ import annotations

from pathlib import Path

import pytest

from qtquant_app.core.events import Calibrated, Event, Fetched, ShardWritten, TensorDone, Verified
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.engine.fetching import pieces
from qtquant_app.engine.hub.listing import listing
from qtquant_app.engine.hub.names import HubId
from qtquant_app.engine.hub.remote import HubRemote
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import verify
from tests.checkpoints import small_llama
from tests.hub.exchange import Fault
from tests.hub.server import HubServer
from tests.unit.engine.calibrate.running import planned as calibrated_plan
from tests.unit.engine.fetching.models import ID, SHARDS, Model, contents, finished, planned, quantized


def sent(hub: HubServer, model: Model) -> list[int]:
    return [hub.sent[f"{ID}/{file}"] for file in model.shards]


@pytest.mark.parametrize("how", ["full", "quick", "none"])
def test_a_run_from_the_hub_writes_what_one_from_here_does_and_fetches_each_byte_once(
    hub: HubServer, model: Model, tmp_path: Path, how: str
) -> None:
    here, _ = quantized(model.folder, tmp_path / "local", verify=how)
    away, events = quantized(ID, tmp_path / "out", verify=how)
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert (away.verified, away.tensors, away.sha256.keys()) == (here.verified, here.tensors, here.sha256.keys())
    assert sent(hub, model) == [model.size] * SHARDS
    assert sum(isinstance(event, Verified) for event in events) == (0 if how == "none" else 2 * SHARDS)
    checked, _ = finished(verify(tmp_path / "out", model.folder))  # type: ignore[arg-type]
    assert checked.ok  # type: ignore[attr-defined]


def test_a_plan_says_what_will_be_fetched_and_what_room_it_takes(hub: HubServer, model: Model) -> None:
    local, away = planned(model.folder), planned(ID)
    assert (local.download_bytes, local.source_disk_bytes) == (0, 0)
    assert "download_bytes" not in local.to_json()
    known = sum(hub.sent[f"{ID}/{file}"] for file in model.shards)  # their headers, and what came along
    carried = (model.folder / "tokenizer_config.json").stat().st_size
    assert away.download_bytes == SHARDS * model.size - known + carried
    assert 1.8 * model.size < away.source_disk_bytes < 2 * model.size
    again = Plan.from_json(away.to_json())
    assert (again.download_bytes, again.source_disk_bytes) == (away.download_bytes, away.source_disk_bytes)
    assert away.peak_ram_bytes >= local.peak_ram_bytes and away.digest == local.digest


def test_no_more_than_the_shard_in_work_and_the_next_are_here_at_once(
    hub: HubServer, model: Model, tmp_path: Path
) -> None:
    most, seen = 0, set()
    for event in run(planned(ID), RunOptions(str(tmp_path / "out"))):
        folder = tmp_path / "out.partial" / "source"
        there = {path.name: path.stat().st_size for path in folder.glob("*")} if folder.is_dir() else {}
        most, seen = max(most, sum(there.values())), seen | set(there)
        if isinstance(event, TensorDone):
            assert there  # what it is compared with
    assert seen == set(model.shards) and 0 < most < 2 * model.size
    assert not (tmp_path / "out" / "source").exists()


def test_what_comes_in_is_told_with_its_rate(
    hub: HubServer, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE", 1 << 15)
    plan = planned(ID)
    hub.faults = [Fault("/stored/", stall=0.05, times=-1)]
    _, events = finished(run(plan, RunOptions(str(tmp_path / "out"))))
    told = [event for event in events if isinstance(event, Fetched)]
    assert [event.done for event in told] == sorted(event.done for event in told)
    assert {event.total for event in told} == {SHARDS * model.size}
    middle = next(event for event in told if event.done > event.total // 2)
    assert middle.rate > 0 and middle.file in model.shards
    assert middle.seconds_left == pytest.approx((middle.total - middle.done) / middle.rate)


def test_a_run_that_was_closed_goes_on_from_the_end_of_what_was_fetched(
    hub: HubServer, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "PIECE", 1 << 13)
    quantized(model.folder, tmp_path / "local")
    plan = planned(ID)
    hub.faults = [Fault("/stored/", stall=0.01, times=-1)]
    events, written = run(plan, RunOptions(str(tmp_path / "out"))), 0
    while written < 2:
        written += isinstance(next(events), ShardWritten)
    events.close()
    _, after = quantized(ID, tmp_path / "out", resume=True)
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert sum(sent(hub, model)) <= SHARDS * model.size + pieces.CONNECTIONS * pieces.PIECE
    assert (
        sum(isinstance(event, Verified) for event in after) < 2 * SHARDS
    )  # those before were, and are not fetched for it


def test_what_was_not_verified_when_its_shard_went_is_fetched_again_for_who_asks_for_it(
    hub: HubServer, model: Model, tmp_path: Path
) -> None:
    events = run(planned(ID), RunOptions(str(tmp_path / "out"), verify="none"))
    written = 0
    while written < 3:
        written += isinstance(next(events), ShardWritten)
    events.close()
    report, after = quantized(ID, tmp_path / "out", resume=True)
    assert report.verified and sum(isinstance(event, Verified) for event in after) == 2 * SHARDS
    assert sent(hub, model)[0] > model.size


def test_the_plain_way_leaves_the_model_in_the_shared_cache(hub: HubServer, model: Model, tmp_path: Path) -> None:
    quantized(model.folder, tmp_path / "local")
    events, written = run(planned(ID), RunOptions(str(tmp_path / "out"), source_shards="cache")), 0
    while written < 3:
        event: Event = next(events)
        written += isinstance(event, ShardWritten)
    events.close()
    _, told = quantized(ID, tmp_path / "out", resume=True, source_shards="cache")
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    remote = HubRemote(listing(HubId(ID)))
    assert all(remote.has(file) for file in model.shards)
    assert open_checkpoint(remote.name).remote is None
    assert sum(sent(hub, model)) < (SHARDS + 3) * model.size
    assert all(event.done <= event.total for event in told if isinstance(event, Fetched))
    hub.sent.clear()
    quantized(ID, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "local") and sum(sent(hub, model)) == 0


def test_a_run_that_ended_with_all_in_the_cache_is_gone_on_with_from_there(
    hub: HubServer, model: Model, tmp_path: Path
) -> None:
    events, done = run(planned(ID), RunOptions(str(tmp_path / "out"), source_shards="cache")), 0
    while done < 2 * SHARDS:
        done += isinstance(next(events), TensorDone)
    events.close()
    hub.asked.clear()
    report, _ = quantized(ID, tmp_path / "out", resume=True)
    assert report.verified and not any("/stored/" in path for _, path in hub.asked)


def test_calibration_has_all_of_the_model_here_and_then_lets_go_of_it_shard_by_shard(
    hub: HubServer, tmp_path: Path
) -> None:
    folder = small_llama(tmp_path / "small", shards=3)
    hub.add("org/small", {path.name: path.read_bytes() for path in folder.iterdir()})
    plans = [calibrated_plan(open_checkpoint(place), "gptq") for place in (folder, "org/small")]
    assert plans[1].source_disk_bytes == sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    assert [warning.code for warning in plans[1].warnings if warning not in plans[0].warnings] == ["fetched-whole"]
    finished(run(plans[0], RunOptions(str(tmp_path / "local"))))
    there, done = [], 0
    for event in run(plans[1], RunOptions(str(tmp_path / "out"))):
        names = sorted(path.name for path in (tmp_path / "out.partial" / "source").glob("*"))
        there += [names] if there or isinstance(event, Calibrated) else []
        done += isinstance(event, TensorDone)
    counts = [len(names) for names in there]
    assert done and counts[0] == 3 and counts == sorted(counts, reverse=True) and counts[-1] <= 1
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert all(hub.sent[f"org/small/{path.name}"] == path.stat().st_size for path in folder.glob("*.safetensors"))
