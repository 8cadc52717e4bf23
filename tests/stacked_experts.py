"""Checkpoints of models that store the experts of a block in two stacks, each family in its own way, and the matrices in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from tests.checkpoints import LLAMA_CONFIG, llama_tensors, write_checkpoint

HIDDEN, INNER, EXPERTS = 64, 96, 3

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Kind:
    """How a family names and lays out its stacks: each makes one of what `gate`, `up` and `down` of every expert are."""

    model_type: str
    architecture: str
    gate_up: str
    down: str
    prefix: str
    leaves: tuple[str, str, str]
    put_together: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    """Gate and up [experts, inner, hidden] as the stored tensor."""
    turned: bool


def _side_by_side(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return torch.cat([gate, up], dim=1)


def _turned(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    return torch.cat([gate.transpose(1, 2), up.transpose(1, 2)], dim=2)


def _taking_turns(gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
    whole = torch.empty(len(gate), HIDDEN, 2 * INNER, dtype=gate.dtype)
    for row in range(INNER):
        whole[:, :, 2 * row] = gate[:, row]
        whole[:, :, 2 * row + 1] = up[:, row]
    return whole


_USUAL = ("gate_proj", "up_proj", "down_proj")
_IN_MLP = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.experts", _USUAL)

KINDS = {
    "granite": Kind(
        "granitemoe",
        "GraniteMoeForCausalLM",
        "block_sparse_moe.input_linear.weight",
        "block_sparse_moe.output_linear.weight",
        "block_sparse_moe.experts",
        ("w1", "w3", "w2"),
        _side_by_side,
        False,
    ),
    "gemma": Kind(
        "gemma4_text",
        "Gemma4ForCausalLM",
        "experts.gate_up_proj",
        "experts.down_proj",
        "experts",
        _USUAL,
        _side_by_side,
        False,
    ),
    "qwen": Kind("qwen3_vl_moe_text", "Qwen3VLMoeTextModel", *_IN_MLP, _turned, True),
    "gpt-oss": Kind("gpt_oss", "GptOssForCausalLM", *_IN_MLP, _taking_turns, True),
}


def stacked_tensors(kind: Kind, blocks: int = 2, dtype: torch.dtype = torch.bfloat16) -> tuple[Tensors, Tensors]:
    """The tensors as stored, and the experts' matrices by the names that they have one by one."""
    stored = {name: tensor for name, tensor in llama_tensors(blocks, dtype).items() if ".mlp." not in name}
    matrices: Tensors = {}
    random = torch.Generator().manual_seed(1)
    for block in range(blocks):
        gate, up, down = (
            torch.randn(EXPERTS, *shape, generator=random).to(dtype)
            for shape in ((INNER, HIDDEN), (INNER, HIDDEN), (HIDDEN, INNER))
        )
        place = f"model.layers.{block}"
        stored[f"{place}.{kind.gate_up}"] = kind.put_together(gate, up).contiguous()
        stored[f"{place}.{kind.down}"] = (down.transpose(1, 2) if kind.turned else down).contiguous()
        stored[f"{place}.mlp.router.weight"] = torch.randn(EXPERTS, HIDDEN, generator=random).to(dtype)
        for leaf, part in zip(kind.leaves, (gate, up, down), strict=True):
            for expert in range(EXPERTS):
                matrices[f"{place}.{kind.prefix}.{expert}.{leaf}.weight"] = part[expert]
    return stored, matrices


def write_stacked(
    folder: Path, kind: str, dtype: torch.dtype = torch.bfloat16, shards: int = 1
) -> tuple[Path, Tensors]:
    """Writes a checkpoint of `kind`; returns its folder and the matrices."""
    chosen = KINDS[kind]
    stored, matrices = stacked_tensors(chosen, dtype=dtype)
    config = {**LLAMA_CONFIG, "model_type": chosen.model_type, "architectures": [chosen.architecture]}
    config |= {"num_local_experts": EXPERTS}
    return write_checkpoint(folder, stored, config, shards), matrices
