"""Writes a random Llama-shaped checkpoint of any size, a tensor at a time: bfloat16 safetensors in shards, with config and index.

usage: python -m benchmarks.random_checkpoint OUT [--blocks 22] [--shards 2]
22 blocks of hidden size 2048 with vocabulary 32000 make 1.1 billion parameters, the shape of TinyLlama.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from qtquant_app.engine.safetensors_header import build_header

HIDDEN, MLP, KEY_VALUE, VOCABULARY = 2048, 5632, 256, 32000


def shapes(blocks: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for block in range(blocks):
        prefix = f"model.layers.{block}"
        for name, rows in (("q_proj", HIDDEN), ("k_proj", KEY_VALUE), ("v_proj", KEY_VALUE), ("o_proj", HIDDEN)):
            yield f"{prefix}.self_attn.{name}.weight", (rows, HIDDEN)
        yield f"{prefix}.mlp.gate_proj.weight", (MLP, HIDDEN)
        yield f"{prefix}.mlp.up_proj.weight", (MLP, HIDDEN)
        yield f"{prefix}.mlp.down_proj.weight", (HIDDEN, MLP)
        yield f"{prefix}.input_layernorm.weight", (HIDDEN,)
        yield f"{prefix}.post_attention_layernorm.weight", (HIDDEN,)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def write_random(folder: Path, blocks: int = 22, shards: int = 2, seed: int = 0) -> int:
    """Writes the checkpoint and returns its number of parameters. Memory stays at one tensor."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = list(shapes(blocks))
    total = sum(int(np.prod(shape)) for _, shape in tensors)
    noise = np.random.default_rng(seed).standard_normal(1 << 22, np.float32) * np.float32(0.02)
    pool = (noise.view(np.uint32) >> 16).astype("<u2")
    weight_map: dict[str, str] = {}
    part: list[tuple[str, tuple[int, ...]]] = []
    done = shard = 0
    for i, (name, shape) in enumerate(tensors):
        part.append((name, shape))
        done += int(np.prod(shape))
        if done >= total * (shard + 1) / shards or i == len(tensors) - 1:
            file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
            _write_shard(folder / file, part, pool, seed + shard)
            weight_map.update(dict.fromkeys((name for name, _ in part), file))
            part, shard = [], shard + 1
    index = {"metadata": {"total_size": 2 * total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps(_config(blocks)))
    return total


def _write_shard(path: Path, part: list[tuple[str, tuple[int, ...]]], pool: np.ndarray, seed: int) -> None:
    """Each tensor is a different rotation of one pool of random numbers: as good as random for timing, and quick."""
    random = np.random.default_rng(seed)
    sizes = [int(np.prod(shape)) for _, shape in part]
    with path.open("wb") as stream:
        header = [(name, "BF16", shape, 2 * size) for (name, shape), size in zip(part, sizes, strict=True)]
        stream.write(build_header(header, {"format": "pt"}))
        for size in sizes:
            shift = int(random.integers(len(pool)))
            turned = np.roll(pool, shift)
            for start in range(0, size, len(pool)):
                stream.write(turned[: min(len(pool), size - start)].tobytes())


def _config(blocks: int) -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": HIDDEN,
        "intermediate_size": MLP,
        "num_hidden_layers": blocks,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "dtype": "bfloat16",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--blocks", type=int, default=22)
    parser.add_argument("--shards", type=int, default=2)
    options = parser.parse_args()
    print(f"{write_random(options.out, options.blocks, options.shards):,} parameters")


if __name__ == "__main__":
    main()
