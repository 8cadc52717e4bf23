"""gpt-oss as it is published, with MXFP4 stacks: decoded to the bits that transformers decodes, whole and matrix by matrix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import LLAMA_CONFIG, write_checkpoint
from tests.stacked_experts import EXPERTS, HIDDEN, INNER, Tensors

PLACE = "model.layers.0.mlp.experts"
CONFIG = {**LLAMA_CONFIG, "model_type": "gpt_oss", "quantization_config": {"quant_method": "mxfp4"}}


def packed() -> Tensors:
    """Blocks and scales of one layer: scales from the smallest bfloat16 on, and codes of all kinds."""
    random = torch.Generator().manual_seed(2)
    found: Tensors = {"model.layers.0.self_attn.q_proj.weight": torch.ones(HIDDEN, HIDDEN, dtype=torch.bfloat16)}
    for name, outputs, inputs in (("gate_up_proj", 2 * INNER, HIDDEN), ("down_proj", HIDDEN, INNER)):
        shape = (EXPERTS, outputs, inputs // 32)
        found[f"{PLACE}.{name}_blocks"] = torch.randint(0, 256, (*shape, 16), dtype=torch.uint8, generator=random)
        found[f"{PLACE}.{name}_scales"] = torch.randint(100, 140, shape, dtype=torch.uint8, generator=random)
    return found


def decoded(tensors: Tensors, name: str) -> torch.Tensor:
    """[experts, inputs, outputs], as transformers has it."""
    found: torch.Tensor = convert_moe_packed_tensors(tensors[f"{name}_blocks"], tensors[f"{name}_scales"])
    return found.to(torch.bfloat16).contiguous()


def as_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_checkpoint(tmp_path_factory.mktemp("mxfp4"), packed(), CONFIG, shards=3))


def test_each_matrix_is_what_transformers_decodes(opened: Checkpoint) -> None:
    tensors = packed()
    gate_up, down = (decoded(tensors, f"{PLACE}.{name}") for name in ("gate_up_proj", "down_proj"))
    with TensorReader(opened) as reader:
        for expert in range(EXPERTS):
            wanted = {
                "gate_proj": gate_up[expert].T[::2],
                "up_proj": gate_up[expert].T[1::2],
                "down_proj": down[expert].T,
            }
            for leaf, matrix in wanted.items():
                tensor = opened.by_name[f"{PLACE}.{expert}.{leaf}.weight"]
                assert reader.rows(tensor, 0, len(matrix)).tobytes() == as_bytes(matrix)
                assert reader.rows(tensor, 7, 19).tobytes() == as_bytes(matrix[7:19])


@given(data=st.data())
def test_any_stretch_of_the_whole_is_what_transformers_decodes(opened: Checkpoint, data: st.DataObject) -> None:
    stack = data.draw(st.sampled_from(opened.stacks))
    whole = as_bytes(decoded(packed(), stack.tensor.name))
    first, last = sorted(data.draw(st.lists(st.integers(0, len(whole)), min_size=2, max_size=2, unique=True)))
    with TensorReader(opened) as reader:
        assert reader.bytes_of(stack.tensor, first, last).tobytes() == whole[first:last]


def test_it_counts_as_a_quantized_source_of_its_own_size(opened: Checkpoint) -> None:
    tensors = packed()
    assert opened.packed_by == "mxfp4"
    assert opened.stored_bytes == sum(tensor.nbytes for tensor in tensors.values())
    plan = make_plan(opened, Recipe(Scheme(4, group_size=32)), device="cpu")
    assert "already-quantized" in {warning.code for warning in plan.warnings}
    assert not any(name.endswith(("_blocks", "_scales")) for name in opened.by_name)


def test_blocks_without_scales_that_fit_are_left_alone(tmp_path: Path) -> None:
    tensors = packed()
    tensors[f"{PLACE}.down_proj_scales"] = tensors[f"{PLACE}.down_proj_scales"][:, :-1].contiguous()
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, tensors, CONFIG))
    assert [stack.tensor.name for stack in checkpoint.stacks] == [f"{PLACE}.gate_up_proj"]
    assert f"{PLACE}.down_proj_blocks" in checkpoint.by_name
