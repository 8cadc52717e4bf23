"""A model run block by block is the model, whatever kind it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.walk.walk import Chain, Walk
from qtquant_app.engine.walk.watch import Places, Product, Watch
from tests.checkpoints import small_llama
from tests.end2end import tiny_models
from tests.end2end.test_load_experts import FAMILIES, made
from tests.unit.engine.walk.nets import opened, saved

Tensors = dict[str, torch.Tensor]


def text() -> Tensors:
    return {"input_ids": torch.randint(3, 100, (2, 12))}


def picture() -> Tensors:
    return {"pixel_values": torch.randn(2, 3, 32, 32)}


def sound() -> Tensors:
    return {"input_features": torch.randn(2, 8, 32), "decoder_input_ids": torch.randint(3, 100, (2, 12))}


def both() -> Tensors:
    return {**text(), "attention_mask": torch.ones(2, 12, dtype=torch.long), **picture()}


KINDS: dict[str, tuple[Callable[[], PreTrainedModel], Callable[[], Tensors], int]] = {
    "llama": (tiny_models.llama, text, 2),
    "mixtral": (tiny_models.mixtral, text, 2),
    "qwen3_moe": (tiny_models.qwen3_moe, text, 2),
    "bert": (tiny_models.bert, text, 2),
    "vit": (tiny_models.vit, picture, 2),
    "whisper": (tiny_models.whisper, sound, 4),
    "clip": (tiny_models.clip, both, 4),
    **{name: (lambda family=family: made(family, torch.float32), text, 2) for name, family in FAMILIES.items()},
}


def whole(model: PreTrainedModel, inputs: Tensors) -> torch.Tensor:
    with torch.no_grad():
        return first(model.eval()(**inputs, **({"use_cache": False} if "input_ids" in inputs else {})))


def first(output: Any) -> torch.Tensor:
    """The tensor that matters most."""
    return output.logits_per_image if "logits_per_image" in output else output.logits


def by_blocks(net: Any, batches: list[Tensors]) -> tuple[list[str], list[torch.Tensor]]:
    visited = []
    with Walk([Chain(net, batches)]) as walk:
        for visit in walk.visits():
            visited.append(visit.block)
            with net.filled(visit.block) as module:
                assert list(visit.run(module)) == list(range(1, len(batches) + 1))
        return visited, [first(output) for output in walk.outputs()]


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_is_run_block_by_block_says_what_the_whole_model_says(kind: str, tmp_path: Path) -> None:
    build, inputs, count = KINDS[kind]
    torch.manual_seed(0)
    model, batches = build(), [inputs(), inputs()]
    with opened(saved(model, tmp_path)) as net:
        visited, found = by_blocks(net, batches)
        assert all(value.is_meta for value in net.model.parameters()), "weights are left in memory"
    assert len(visited) == len(set(visited)) == len(net.blocks) == count
    for batch, output in zip(batches, found, strict=True):
        torch.testing.assert_close(output, whole(model, batch), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_every_matrix_of_a_block_is_known_by_its_memory_and_its_inputs_seen(kind: str, tmp_path: Path) -> None:
    build, inputs, _ = KINDS[kind]
    torch.manual_seed(0)
    checkpoint = saved(build(), tmp_path)
    seen: dict[str, int] = {}
    with opened(checkpoint) as net, Walk([Chain(net, [inputs()])]) as walk:
        wanted = [t.name for t in checkpoint.quantizable]
        for visit in walk.visits():

            def note(product: Product) -> None:
                for name in product.names:
                    assert product.inputs.shape[-1] == checkpoint.by_name[name].shape[1], name
                    seen[name] = seen.get(name, 0) + product.inputs.numel()

            with net.filled(visit.block) as module, Watch(Places(net, visit.block, wanted), note):
                list(visit.run(module))
        inside = {name for block in net.blocks for name in net.matrices(block)}
    experts = {name for name in wanted if ".experts." in name}
    assert set(seen) >= (set(wanted) & inside) - experts
    if experts:
        assert len(set(seen) & experts) > len(experts) // 2, "tokens go to most experts"


def test_a_matrix_can_be_swapped_for_another_while_a_block_runs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batch = tiny_models.mixtral(), text()
    checkpoint = saved(model, tmp_path)
    name = "model.layers.1.self_attn.o_proj.weight"
    with opened(checkpoint) as net, Walk([Chain(net, [batch])]) as walk:
        for visit in walk.visits():
            with net.filled(visit.block) as module:
                places = Places(net, visit.block, [name])
                with Watch(places, swap=lambda product: (product.inputs, product.weight * 0)):
                    list(visit.run(module))
        (found,) = walk.outputs()
    model.get_parameter(name).data.zero_()
    torch.testing.assert_close(found.logits, whole(model, batch), rtol=1e-4, atol=1e-4)


def test_a_walk_that_is_left_in_the_middle_leaves_no_thread_and_no_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batch = tiny_models.llama(), text()
    before = threading.active_count()
    with opened(saved(model, tmp_path)) as net:
        with Walk([Chain(net, [batch, batch])]) as walk:
            next(walk.visits())
            assert threading.active_count() > before
        assert threading.active_count() == before
        assert all(value.is_meta for value in net.model.parameters())
        _, found = by_blocks(net, [batch])
    torch.testing.assert_close(found[0], whole(model, batch), rtol=1e-4, atol=1e-4)


def test_what_a_model_raises_between_its_blocks_is_raised_by_the_walk(tmp_path: Path) -> None:
    with opened(saved(tiny_models.llama(), tmp_path)) as net, pytest.raises(IndexError):
        by_blocks(net, [{"input_ids": torch.tensor([[10_000]])}])


def test_a_model_without_repeated_layers_is_one_block(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, batch = tiny_models.llama(num_hidden_layers=1), text()
    with opened(saved(model, tmp_path)) as net:
        visited, found = by_blocks(net, [batch])
    assert visited == [""]
    torch.testing.assert_close(found[0], whole(model, batch), rtol=1e-4, atol=1e-4)


def test_a_checkpoint_that_lacks_a_weight_is_refused_by_name(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = small_llama(tmp_path / "source")
    tensors = load_file(source / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, source / "model.safetensors")
    from qtquant_app.engine.source import open_checkpoint

    with opened(open_checkpoint(source)) as net, pytest.raises(EvaluateError, match=r"layers\.1\.mlp\.up_proj"):
        by_blocks(net, [{"input_ids": torch.tensor([[1, 2, 3]])}])
