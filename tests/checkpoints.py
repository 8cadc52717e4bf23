"""Small checkpoints for tests, written by the safetensors package."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

LLAMA_CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 96,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def llama_tensors(blocks: int = 2, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random weights under the names of a small Llama: hidden 64, MLP 128, 2 key-value heads of 16."""
    random = torch.Generator().manual_seed(seed)

    def weight(*shape: int) -> torch.Tensor:
        return (torch.randn(shape, generator=random) * 0.05).to(dtype)

    tensors = {"model.embed_tokens.weight": weight(96, 64), "model.norm.weight": torch.ones(64, dtype=dtype)}
    tensors["lm_head.weight"] = weight(96, 64)
    shapes = {
        "self_attn.q_proj": (64, 64),
        "self_attn.k_proj": (32, 64),
        "self_attn.v_proj": (32, 64),
        "self_attn.o_proj": (64, 64),
        "mlp.gate_proj": (128, 64),
        "mlp.up_proj": (128, 64),
        "mlp.down_proj": (64, 128),
    }
    for block in range(blocks):
        for name, shape in shapes.items():
            tensors[f"model.layers.{block}.{name}.weight"] = weight(*shape)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{block}.{norm}.weight"] = torch.ones(64, dtype=dtype)
    return tensors


def write_checkpoint(
    folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, object] | None = None, shards: int = 1
) -> Path:
    """Writes `tensors` as one or more safetensors files with an index, a config and a tokenizer file."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(tensors)
    if shards == 1:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        files = [f"model-{i + 1:05d}-of-{shards:05d}.safetensors" for i in range(shards)]
        weight_map = {name: files[i * shards // len(names)] for i, name in enumerate(names)}
        for file in files:
            part = {name: tensors[name] for name in names if weight_map[name] == file}
            save_file(part, folder / file, metadata={"format": "pt"})
        index = {"metadata": {"total_size": 0}, "weight_map": weight_map}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(LLAMA_CONFIG if config is None else config))
    (folder / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    return folder


def small_llama(folder: Path, *, shards: int = 1, blocks: int = 2, dtype: torch.dtype = torch.bfloat16) -> Path:
    """A small random Llama checkpoint."""
    return write_checkpoint(folder, llama_tensors(blocks, dtype), {**LLAMA_CONFIG, "num_hidden_layers": blocks}, shards)
