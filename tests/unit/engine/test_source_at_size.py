"""Opening checkpoints of many shards: the same answers and the same refusals, however the headers are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.sparse_checkpoint import tensors, write_shard, write_sparse
from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.errors import SourceError
from qtquant_app.core.matrix import find
from qtquant_app.core.recipe import Recipe
from qtquant_app.engine import source
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint

INDEX = "model.safetensors.index.json"


def sparse(folder: Path, *, fp8: bool = False, shards: int = 50) -> Path:
    write_sparse(folder / "model", 1_000, shards, fp8=fp8, experts=16)
    return folder / "model"


def test_many_shards_open_to_the_tensors_that_were_written(tmp_path: Path) -> None:
    found = open_checkpoint(sparse(tmp_path))
    assert [(t.name, t.dtype, t.shape) for t in found.tensors] == tensors(1_000, False, 16)
    assert found.weight_files == tuple(f"model-{n:05d}-of-00050.safetensors" for n in range(1, 51))
    assert {t.kind for t in found.tensors} == set(Kind) - {Kind.CONV}


def test_reading_ahead_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sparse(tmp_path)
    ahead = open_checkpoint(folder)
    monkeypatch.setattr(source, "_READ_AHEAD", 1_000)
    assert open_checkpoint(folder) == ahead


def test_a_long_index_is_read_as_a_short_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sparse(tmp_path)
    short = open_checkpoint(folder)
    monkeypatch.setattr(source, "_LONG_JSON", 0)
    assert open_checkpoint(folder) == short
    (folder / INDEX).write_text('{"weight_map": {"a": ')
    with pytest.raises(SourceError, match="is not JSON"):
        open_checkpoint(folder)


@pytest.mark.parametrize("at", [1, 17, 50])
def test_a_damaged_shard_is_named_wherever_it_is(tmp_path: Path, at: int) -> None:
    folder = sparse(tmp_path)
    shard = folder / f"model-{at:05d}-of-00050.safetensors"
    with shard.open("r+b") as stream:
        stream.truncate(shard.stat().st_size - 1)
    with pytest.raises(SourceError, match=shard.name):
        open_checkpoint(folder)


def test_of_two_damaged_shards_the_first_is_named(tmp_path: Path) -> None:
    folder = sparse(tmp_path)
    for at in (40, 3):
        (folder / f"model-{at:05d}-of-00050.safetensors").write_bytes(b"\1")
    with pytest.raises(SourceError, match="model-00003"):
        open_checkpoint(folder)


def test_a_tensor_in_two_shards_is_refused_with_both(tmp_path: Path) -> None:
    folder = sparse(tmp_path)
    write_shard(folder / "model-00050-of-00050.safetensors", tensors(1_000, False, 16)[:2])
    with pytest.raises(SourceError, match=r"model-00001-of-00050.*model-00050-of-00050"):
        open_checkpoint(folder)


@pytest.mark.parametrize("shard", ["../outside.safetensors", 3, None, ["a"], {"a": 1}, ""])
def test_one_strange_entry_among_many_is_found(tmp_path: Path, shard: object) -> None:
    folder = sparse(tmp_path)
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"]["model.layers.9.strange"] = shard
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(SourceError, match=r"names a shard|names the shard"):
        open_checkpoint(folder)


def test_fp8_weights_and_their_scales_are_one_weight_each(tmp_path: Path) -> None:
    found = open_checkpoint(sparse(tmp_path, fp8=True))
    weight = found.by_name["model.layers.4.mlp.experts.3.up_proj.weight"]
    assert (weight.dtype, weight.kind, weight.packed.label) == ("BF16", Kind.EXPERT, "float-quantized FP8 g128")
    assert weight.packed.part("scale").shape == (16, 56) and weight.packed.block_rows == 128
    assert find(found, weight.name).shape == (2048, 7168)
    # The last of the thousand tensors is a weight whose scale would be the next: it stays what it is, and is not quantized.
    (cut_off,) = [tensor for tensor in found.tensors if "scale" in tensor.name or tensor.dtype.startswith("F8")]
    assert (cut_off.dtype, cut_off.quantizable) == ("F8_E4M3", False)


def test_seventy_billion_parameters_in_eighty_blocks_open_and_plan(tmp_path: Path) -> None:
    shapes = {"q": (8192, 8192), "k": (1024, 8192), "v": (1024, 8192), "o": (8192, 8192)}
    listed = [("model.embed_tokens.weight", "BF16", (128256, 8192)), ("lm_head.weight", "BF16", (128256, 8192))]
    for block in range(80):
        prefix = f"model.layers.{block}"
        listed += [(f"{prefix}.self_attn.{name}_proj.weight", "BF16", shape) for name, shape in shapes.items()]
        listed += [(f"{prefix}.mlp.{name}_proj.weight", "BF16", (28672, 8192)) for name in ("gate", "up")]
        listed.append((f"{prefix}.mlp.down_proj.weight", "BF16", (8192, 28672)))
        listed += [(f"{prefix}.{name}_layernorm.weight", "BF16", (8192,)) for name in ("input", "post_attention")]
    for shard in range(30):
        write_shard(tmp_path / f"model-{shard:05d}.safetensors", listed[shard::30])
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    found = open_checkpoint(tmp_path)
    assert len(found.tensors) == 722
    assert 70e9 < found.parameters < 71e9
    assert len(make_plan(found, Recipe()).quantized) == 560


def test_stacks_convolutions_integers_and_vectors_are_all_listed(tmp_path: Path) -> None:
    listed = [
        ("model.layers.0.mlp.experts.gate_up_proj", "BF16", (8, 64, 32)),
        ("visual.patch_embed.proj.weight", "F32", (32, 3, 14, 14)),
        ("model.layers.0.mlp.up_proj.weight", "I8", (32, 64)),
        ("model.norm.weight", "BF16", (64,)),
        ("model.scale", "F32", ()),
    ]
    write_shard(tmp_path / "model.safetensors", listed)
    found = open_checkpoint(tmp_path)
    assert [(t.name, t.dtype, t.shape) for t in found.tensors] == listed
    assert find(found, "model.layers.0.mlp.experts.gate_up_proj[7]").shape == (64, 32)
    assert all(find(found, tensor.name).rows for tensor in found.tensors)
