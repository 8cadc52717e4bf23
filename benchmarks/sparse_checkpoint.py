"""Writes a mixture-of-experts checkpoint of any size that takes no room: its headers are real, its weights holes in sparse files.

usage: python -m benchmarks.sparse_checkpoint OUT [--tensors 60000] [--shards 1000] [--fp8]
Names and shapes are those of DeepSeek-V3: latent attention, 256 experts a block in all but the first three. It has as many blocks
as it takes for so many tensors: 76 for 60,000, and 39 where each fp8 weight has its scales beside it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from itertools import count, islice
from math import ceil
from pathlib import Path

from qtquant_app.core.dtypes import nbytes
from qtquant_app.engine.safetensors_header import build_header

Tensor = tuple[str, str, tuple[int, ...]]
"""Name, dtype, shape."""

HIDDEN, MLP, EXPERT_MLP, VOCABULARY = 7168, 18432, 2048, 129280
DENSE_BLOCKS, EXPERTS = 3, 256
FP8_BLOCK = 128
ATTENTION = {
    "q_a_proj": (1536, HIDDEN),
    "q_b_proj": (24576, 1536),
    "kv_a_proj_with_mqa": (576, HIDDEN),
    "kv_b_proj": (32768, 512),
    "o_proj": (HIDDEN, 16384),
}
NORMS = {
    "input_layernorm": HIDDEN,
    "post_attention_layernorm": HIDDEN,
    "self_attn.q_a_layernorm": 1536,
    "self_attn.kv_a_layernorm": 512,
}


def tensors(total: int, fp8: bool, experts: int = EXPERTS) -> list[Tensor]:
    """The first `total` tensors of a model that has blocks without end, each of so many experts."""
    return list(islice(_endless(experts, fp8), total))


def _endless(experts: int, fp8: bool) -> Iterator[Tensor]:
    yield "model.embed_tokens.weight", "BF16", (VOCABULARY, HIDDEN)
    yield "model.norm.weight", "BF16", (HIDDEN,)
    yield "lm_head.weight", "BF16", (VOCABULARY, HIDDEN)
    for block in count():
        yield from _block(block, experts, fp8)


def _block(block: int, experts: int, fp8: bool) -> Iterator[Tensor]:
    prefix = f"model.layers.{block}"
    for name, size in NORMS.items():
        yield f"{prefix}.{name}.weight", "BF16", (size,)
    for name, shape in ATTENTION.items():
        yield from _matrix(f"{prefix}.self_attn.{name}", shape, fp8)
    if block < DENSE_BLOCKS:
        yield from _mlp(f"{prefix}.mlp", MLP, fp8)
        return
    yield f"{prefix}.mlp.gate.weight", "BF16", (EXPERTS, HIDDEN)
    yield f"{prefix}.mlp.gate.e_score_correction_bias", "F32", (EXPERTS,)
    yield from _mlp(f"{prefix}.mlp.shared_experts", EXPERT_MLP, fp8)
    for expert in range(experts):
        yield from _mlp(f"{prefix}.mlp.experts.{expert}", EXPERT_MLP, fp8)


def _mlp(prefix: str, size: int, fp8: bool) -> Iterator[Tensor]:
    yield from _matrix(f"{prefix}.gate_proj", (size, HIDDEN), fp8)
    yield from _matrix(f"{prefix}.up_proj", (size, HIDDEN), fp8)
    yield from _matrix(f"{prefix}.down_proj", (HIDDEN, size), fp8)


def _matrix(name: str, shape: tuple[int, int], fp8: bool) -> Iterator[Tensor]:
    yield f"{name}.weight", "F8_E4M3" if fp8 else "BF16", shape
    if fp8:
        yield f"{name}.weight_scale_inv", "F32", (ceil(shape[0] / FP8_BLOCK), ceil(shape[1] / FP8_BLOCK))


def write_sparse(
    folder: Path, total: int = 60_000, shards: int = 1_000, *, fp8: bool = False, experts: int = EXPERTS
) -> int:
    """Writes `total` tensors in `shards` files with index and config; returns the bytes that the files would take, if full."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = tensors(total, fp8, experts)
    weight_map: dict[str, str] = {}
    size = 0
    for shard in range(shards):
        part = listed[shard * total // shards : (shard + 1) * total // shards]
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        size += write_shard(folder / file, part)
        weight_map.update(dict.fromkeys((name for name, _, _ in part), file))
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True))
    (folder / "config.json").write_text(
        json.dumps(_config(sum(name.endswith(".input_layernorm.weight") for name in weight_map), fp8))
    )
    return size


def write_shard(path: Path, part: Sequence[Tensor]) -> int:
    """One file: its header, then a hole as long as the tensors; returns its bytes."""
    header = build_header(((name, dtype, shape, nbytes(dtype, shape)) for name, dtype, shape in part), {"format": "pt"})
    size = len(header) + sum(nbytes(dtype, shape) for _, dtype, shape in part)
    with path.open("wb") as stream:
        stream.write(header)
        stream.truncate(size)
    return size


def _config(blocks: int, fp8: bool) -> dict[str, object]:
    plain: dict[str, object] = {
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "hidden_size": HIDDEN,
        "num_hidden_layers": blocks,
        "n_routed_experts": EXPERTS,
        "vocab_size": VOCABULARY,
        "tie_word_embeddings": False,
    }
    scaled = {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [FP8_BLOCK, FP8_BLOCK]}
    return {**plain, "quantization_config": scaled} if fp8 else plain


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tensors", type=int, default=60_000)
    parser.add_argument("--shards", type=int, default=1_000)
    parser.add_argument("--fp8", action="store_true", help="fp8 weights with a scale for each block of 128 by 128")
    options = parser.parse_args()
    size = write_sparse(options.out, options.tensors, options.shards, fp8=options.fp8)
    print(f"{options.tensors:,} tensors in {options.shards:,} shards, {size:,} bytes")


if __name__ == "__main__":
    main()
