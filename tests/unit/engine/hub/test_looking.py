"""A model on the Hub, opened by its headers alone: what a checkpoint here can do, it can do, and little is transferred."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError
from qtquant_app.core.events import Warned
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Target
from qtquant_app.core.view import View
from qtquant_app.engine.budget import solve, weigh
from qtquant_app.engine.hub.cost import bring_tensor, cost_of
from qtquant_app.engine.inspect import describe
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.preview import preview
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.sampled import sampled
from qtquant_app.engine.scan import scan
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import finish, quantize, result
from tests.hub.exchange import Fault
from tests.hub.giants import CONFIG, giant
from tests.hub.repos import Account
from tests.hub.server import HubServer

LAYER = "model.layers.1.mlp.up_proj.weight"
SCHEME = Scheme(bits=4, group_size=32)
MODEST = {**CONFIG, "hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 3, "vocab_size": 1000}


def published(hub: HubServer, folder: Path, name: str = "org/small") -> Path:
    """Puts the files of a folder into a repository."""
    hub.add(name, {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()})
    return folder


def sent(hub: HubServer) -> int:
    return sum(hub.sent.values())


@pytest.mark.parametrize("shards", [1, 3])
def test_a_model_on_the_hub_is_the_checkpoint_that_its_folder_is(hub: HubServer, tmp_path: Path, shards: int) -> None:
    folder = published(hub, small_llama(tmp_path / "m", shards=shards))
    here, there = open_checkpoint(folder), open_checkpoint("org/small")
    assert there.tensors == here.tensors and there.fingerprint == here.fingerprint
    assert there.carried_files == here.carried_files and there.config == here.config
    assert {**describe(there), "source": ""} == {**describe(here), "source": ""}
    ours, theirs = make_plan(here, Recipe(SCHEME)), make_plan(there, Recipe(SCHEME))
    assert theirs.tensors == ours.tensors and theirs.output_bytes == ours.output_bytes and theirs.copied == ours.copied


def test_its_weights_are_those_of_the_folder_to_the_last_bit(hub: HubServer, tmp_path: Path) -> None:
    folder = published(hub, small_llama(tmp_path / "m", shards=2))
    here, there = open_checkpoint(folder), open_checkpoint("org/small")
    with TensorReader(here) as ours, TensorReader(there) as theirs:
        for one, other in zip(here.tensors, there.tensors, strict=True):
            assert np.array_equal(ours.bytes_of(one, 0, one.nbytes), theirs.bytes_of(other, 0, other.nbytes))


def test_a_run_from_the_hub_writes_the_bytes_of_a_run_from_the_folder(hub: HubServer, tmp_path: Path) -> None:
    folder = published(hub, small_llama(tmp_path / "m", shards=2))
    ours, theirs = (quantize(source, tmp_path / out, SCHEME) for source, out in ((folder, "a"), ("org/small", "b")))
    assert theirs.sha256 == ours.sha256 and theirs.verified
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == sorted(p.name for p in (tmp_path / "b").iterdir())
    record = json.loads((tmp_path / "b" / "qtquant.json").read_bytes())
    assert record["plan"]["source"] == f"org/small@{hub.repos['org/small'].commit('main')}"


def test_a_scan_of_it_finds_what_a_scan_of_the_folder_finds(hub: HubServer, tmp_path: Path) -> None:
    folder = published(hub, small_llama(tmp_path / "m"))
    ours, theirs = (result(scan(open_checkpoint(s), [SCHEME], device="cpu")) for s in (folder, "org/small"))
    assert theirs.tensors == ours.tensors
    assert result(scan(open_checkpoint("org/small"), [SCHEME], device="cpu")).cached == len(ours.tensors)


def test_planning_a_model_of_140_gb_transfers_less_than_5_mb(hub: HubServer) -> None:
    hub.add("org/giant", giant())
    checkpoint = open_checkpoint("org/giant")
    assert checkpoint.nbytes > 140e9 and len(checkpoint.weight_files) == 60 and len(checkpoint.tensors) == 723
    plan = make_plan(checkpoint, Recipe(Scheme(bits=4, group_size=128)))
    assert 35e9 < plan.output_bytes < 45e9
    assert sent(hub) < 5_000_000
    hub.sent.clear()
    assert open_checkpoint("org/giant").fingerprint == checkpoint.fingerprint
    assert not any(file.startswith("org/giant/model-") for file in hub.sent)  # the headers are known now


def looked_at(checkpoint: Checkpoint) -> object:
    return result(preview(checkpoint, LAYER, SCHEME, device="cpu", view=View.ABSOLUTE)).errors


def test_previewing_a_tensor_transfers_that_tensor_and_no_more_and_only_once(hub: HubServer) -> None:
    hub.add("org/model", giant(MODEST, shards=3))
    checkpoint = open_checkpoint("org/model")
    size = checkpoint.by_name[LAYER].nbytes
    assert cost_of(checkpoint, LAYER) == size
    hub.sent.clear()
    first = looked_at(checkpoint)
    assert sent(hub) == size and cost_of(checkpoint, LAYER) == 0
    hub.sent.clear()
    assert looked_at(open_checkpoint("org/model")) == first
    assert not any(file.endswith(".safetensors") for file in hub.sent)


def test_a_few_rows_are_fetched_alone(hub: HubServer) -> None:
    hub.add("org/model", giant(MODEST, shards=3))
    checkpoint = open_checkpoint("org/model")
    tensor = checkpoint.by_name[LAYER]
    hub.sent.clear()
    with TensorReader(checkpoint) as reader:
        rows = reader.rows(tensor, 7, 9).copy()
        assert sent(hub) == 2 * tensor.nbytes // tensor.shape[0]
        assert cost_of(checkpoint, LAYER) == tensor.nbytes - sent(hub)
        assert np.array_equal(reader.rows(tensor, 0, tensor.shape[0])[7:9], rows)
    assert sent(hub) == tensor.nbytes


def test_a_tensor_that_was_brought_is_read_without_asking(hub: HubServer) -> None:
    hub.add("org/model", giant(MODEST, shards=3))
    checkpoint = open_checkpoint("org/model")
    bring_tensor(checkpoint, LAYER)
    hub.asked.clear()
    looked_at(checkpoint)
    assert not hub.asked and cost_of(checkpoint, LAYER) == 0


def test_what_was_looked_at_is_there_without_a_network(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("org/model", giant(MODEST, shards=3))
    first = looked_at(open_checkpoint("org/model@main"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.asked.clear()
    checkpoint = open_checkpoint("org/model@main")
    assert looked_at(checkpoint) == first and not hub.asked
    with pytest.raises(SourceError, match="switched off by HF_HUB_OFFLINE"), TensorReader(checkpoint) as reader:
        reader.rows(checkpoint.by_name["lm_head.weight"], 0, 1)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE") as found:
        open_checkpoint("org/other")
    assert found.value.code == "not-found"


def test_a_model_in_the_local_cache_is_opened_without_asking(hub: HubServer, tmp_path: Path) -> None:
    from huggingface_hub import snapshot_download

    published(hub, small_llama(tmp_path / "m", shards=2))
    snapshot_download("org/small")
    hub.asked.clear()
    checkpoint = open_checkpoint("org/small")
    assert checkpoint.remote is None and not hub.asked


def test_files_that_are_in_the_local_cache_are_not_fetched_again(hub: HubServer, tmp_path: Path) -> None:
    from huggingface_hub import hf_hub_download

    published(hub, small_llama(tmp_path / "m", shards=2))
    hf_hub_download("org/small", "model-00001-of-00002.safetensors")
    hub.sent.clear()
    checkpoint = open_checkpoint("org/small")
    with TensorReader(checkpoint) as reader:
        for tensor in checkpoint.tensors:
            reader.bytes_of(tensor, 0, tensor.nbytes)
    assert "org/small/model-00001-of-00002.safetensors" not in hub.sent
    assert hub.sent["org/small/model-00002-of-00002.safetensors"]


def test_a_branch_that_has_moved_is_seen_and_a_commit_stays_what_it_is(hub: HubServer, tmp_path: Path) -> None:
    published(hub, small_llama(tmp_path / "m"))
    first = open_checkpoint("org/small")
    repo = hub.repos["org/small"]
    repo.revisions["old"] = dict(repo.revisions["main"])
    published(hub, small_llama(tmp_path / "n", blocks=1))
    second = open_checkpoint("org/small")
    assert len(second.tensors) < len(first.tensors)
    assert open_checkpoint(first.source).fingerprint == first.fingerprint != second.fingerprint


@pytest.mark.parametrize("damage", [b"", b"\xff" * 8, b"\x10" + bytes(7) + b"{"], ids=["empty", "long", "cut"])
def test_a_header_that_is_none_is_refused_by_name(hub: HubServer, damage: bytes) -> None:
    hub.add("org/spoilt", {"config.json": b"{}", "model.safetensors": damage})
    with pytest.raises(SourceError, match=r"model\.safetensors"):
        open_checkpoint("org/spoilt")


def test_pickles_are_refused_before_they_are_fetched(hub: HubServer) -> None:
    hub.add("org/old", {"config.json": b"{}", "pytorch_model.bin": bytes(1000)})
    with pytest.raises(SourceError, match="pickles") as found:
        open_checkpoint("org/old")
    assert found.value.code == "hub-pickles" and "org/old/pytorch_model.bin" not in hub.sent


def test_an_index_that_leads_elsewhere_is_refused(hub: HubServer) -> None:
    index = json.dumps({"weight_map": {"a.weight": "../../model.safetensors"}}).encode()
    hub.add("org/evil", {"config.json": b"{}", "model.safetensors.index.json": index})
    with pytest.raises(SourceError) as found:
        open_checkpoint("org/evil")
    assert found.value.code == "index"


def test_a_gated_model_says_what_is_missing_and_opens_once_it_is_granted(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(hub, small_llama(tmp_path / "m"), "org/gated")
    hub.repos["org/gated"].gated = "manual"
    hub.accounts = {"hf_good": Account("someone"), "hf_old": Account("someone", left=0)}
    said = {}
    for token in ("", "hf_good", "hf_old"):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(SourceError) as found:
            open_checkpoint("org/gated")
        said[token] = found.value
    assert "nobody is signed in" in said[""].message and "/org/gated" in said[""].hint
    assert "not granted" in said["hf_good"].message and "/org/gated" in said["hf_good"].hint
    assert "expired" in said["hf_old"].message and "HF_TOKEN" in said["hf_old"].hint
    assert [error.code for error in said.values()] == ["hub-gated", "hub-gated", "hub-token"]
    hub.repos["org/gated"].granted.add("someone")
    monkeypatch.setenv("HF_TOKEN", "hf_good")
    assert open_checkpoint("org/gated").tensors


def test_a_gguf_model_is_opened_by_its_header(hub: HubServer, tmp_path: Path) -> None:
    quantize("sample", tmp_path / "out", Scheme.of_layout("Q8_0"), "gguf")
    folder = published(hub, tmp_path / "out", "org/gguf")
    here, there = open_checkpoint(folder), open_checkpoint("org/gguf")
    assert there.tensors == here.tensors and there.fingerprint == here.fingerprint


def test_a_token_that_expires_while_weights_are_read_is_told(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(hub, small_llama(tmp_path / "m"), "org/private")
    hub.repos["org/private"].private = True
    account = hub.accounts["hf_once"] = Account("org")
    monkeypatch.setenv("HF_TOKEN", "hf_once")
    checkpoint = open_checkpoint("org/private")
    account.left = 0
    hub.faults.append(Fault("/stored/", status=403))  # the signed address has run out too
    with pytest.raises(SourceError) as found, TensorReader(checkpoint) as reader:
        reader.rows(checkpoint.by_name[LAYER], 0, 4)
    assert found.value.code == "hub-token"


def test_a_budget_for_a_model_of_140_gb_is_planned_from_a_few_rows_of_each_tensor(hub: HubServer) -> None:
    hub.add("org/giant", giant())
    schemes = [Scheme(bits=bits, group_size=128) for bits in (3, 4, 5)]
    events, measured = finish(weigh(open_checkpoint("org/giant"), Recipe(), schemes=schemes, device="cpu"))
    found = solve(measured, Target(bytes=40_000_000_000))
    assert found.plan.output_bytes <= 40_000_000_000 and len(found.plan.quantized) == 560
    assert any(isinstance(event, Warned) and event.code == "sampled" for event in events)
    assert sent(hub) < 5_000_000


@pytest.mark.parametrize("scheme", ["W4 g128 sym", "W8 ch sym", "FP8 128x128", "W2 g32 asym mse"])
def test_a_sample_tells_the_errors_of_the_whole(hub: HubServer, scheme: str) -> None:
    hub.add("org/model", giant(MODEST, shards=3))
    checkpoint = open_checkpoint("org/model")
    scans = (result(scan(each, [parse_label(scheme)], device="cpu")) for each in (checkpoint, sampled(checkpoint)))
    whole, part = (
        {tensor.name: tensor.reports[0].errors for tensor in each.tensors if tensor.reports} for each in scans
    )
    assert set(part) == set(whole) == {tensor.name for tensor in checkpoint.quantizable}
    for name, errors in part.items():
        assert errors.relative_error == pytest.approx(whole[name].relative_error, rel=0.15)


def test_an_api_that_falls_silent_once_is_asked_again(hub: HubServer, tmp_path: Path) -> None:
    published(hub, small_llama(tmp_path / "m"))
    hub.faults = [Fault("/api/", cut=100), Fault("/api/", status=429, headers={"Retry-After": "0"})]
    assert open_checkpoint("org/small").tensors
