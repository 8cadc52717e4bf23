"""Runs whose source is on the Hub: shard by shard, each fetched once, with the result of a run from files that are here."""

from __future__ import annotations

from pathlib import Path

from qtquant_app.core.events import Fetched
from tests.hub.server import HubServer
from tests.unit.engine.fetching.models import ID, Model, contents, quantized


def test_a_run_from_the_hub_writes_what_one_from_here_does_and_fetches_each_byte_once(
    hub: HubServer, model: Model, tmp_path: Path
) -> None:
    quantized(model.folder, tmp_path / "local")
    report, events = quantized(ID, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "local")
    assert report.verified
    assert {hub.sent[f"{ID}/{file}"] for file in model.shards} == {model.size}
    fetched = [event for event in events if isinstance(event, Fetched)]
    assert fetched
