"""Checkpoints of any size that nobody holds: their headers are real, and their weights a function of where they lie."""

from __future__ import annotations

import json
from functools import partial

import numpy as np

from qtquant_app.engine.safetensors_header import build_header
from tests.hub.contents import Content, Sparse

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 128256,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
}
"""A Llama of 70 billion parameters: 141 GB."""


def shapes_of(config: dict[str, object]) -> dict[str, tuple[int, ...]]:
    """The tensors of a Llama of this config."""
    hidden, wide, layers = (int(str(config[k])) for k in ("hidden_size", "intermediate_size", "num_hidden_layers"))
    keys = int(str(config["num_key_value_heads"])) * int(str(config["head_dim"]))
    words = int(str(config["vocab_size"]))
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        found |= {f"{at}self_attn.{name}_proj.weight": (hidden, hidden) for name in "qo"}
        found |= {f"{at}self_attn.{name}_proj.weight": (keys, hidden) for name in "kv"}
        found |= {f"{at}mlp.{name}_proj.weight": (wide, hidden) for name in ("gate", "up")}
        found[f"{at}mlp.down_proj.weight"] = (hidden, wide)
        found |= {f"{at}{name}_layernorm.weight": (hidden,) for name in ("input", "post_attention")}
    return {**found, "model.norm.weight": (hidden,), "lm_head.weight": (words, hidden)}


def giant(config: dict[str, object] | None = None, shards: int = 60) -> dict[str, Content]:
    """The files of a checkpoint in bfloat16: config, index, and sparse shards of about the same size."""
    config = config or CONFIG
    sizes = {name: 2 * int(np.prod(shape)) for name, shape in shapes_of(config).items()}
    held: list[list[str]] = [[] for _ in range(shards)]
    total, at = sum(sizes.values()), 0
    for name, size in sizes.items():
        held[min(shards - 1, at * shards // total)].append(name)
        at += size
    held = [names for names in held if names]
    files: dict[str, Content] = {"config.json": json.dumps(config).encode()}
    index: dict[str, str] = {}
    for number, names in enumerate(held, 1):
        file = f"model-{number:05d}-of-{len(held):05d}.safetensors"
        files[file] = shard(file, {name: shapes_of(config)[name] for name in names})
        index |= dict.fromkeys(names, file)
    files["model.safetensors.index.json"] = json.dumps(
        {"metadata": {"total_size": total}, "weight_map": index}
    ).encode()
    return files


def shard(file: str, shapes: dict[str, tuple[int, ...]]) -> Sparse:
    """A safetensors file of bfloat16 tensors."""
    header = build_header([(n, "BF16", s, 2 * int(np.prod(s))) for n, s in shapes.items()], {"format": "pt"})
    size = len(header) + sum(2 * int(np.prod(s)) for s in shapes.values())
    return Sparse(f"{file} {len(header)}", size, partial(_made, header))


def _made(header: bytes, start: int, stop: int) -> bytes:
    """Bytes of a shard: its header, then numbers of about 0.01 to 0.06 of either sign."""
    head = header[start:stop]
    first, last = max(start, len(header)) - len(header), max(stop, len(header)) - len(header)
    if last <= first:
        return head
    numbers = np.arange(first // 2, (last + 1) // 2, dtype=np.uint32) * np.uint32(2654435761)
    values = (0x3C00 + (numbers >> 16 & 0x80FF) + (numbers >> 8 & 0x0100)).astype("<u2").tobytes()
    return head + values[first % 2 : first % 2 + last - first]
