"""Quantizes the linear layers of a checkpoint with HQQ's solver, which looks at no data.

usage: python calibrated_hqq.py MODEL TOKENS OUT --bits B [--group-size 64]        (needs: pip install torch hqq safetensors)

OUT/model.safetensors holds what HQQ stores, scales and zero points in float16, which is its compute dtype where none is asked for;
OUT/dequantized.safetensors the weights those give, in float32. TOKENS is taken for the sake of the other scripts' and not read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from hqq.core.quantize import Quantizer
from safetensors import safe_open
from safetensors.torch import save_file


def quantized(weight: torch.Tensor, bits: int, group: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What is stored of a weight, and the weight it stands for in float32."""
    codes, meta = Quantizer.quantize(weight, nbits=bits, group_size=group, axis=1, optimize=True, device="cpu")
    stored = {"W_q": codes, "scale": meta["scale"].half(), "zero": meta["zero"].half()}
    as_read = {"scale": stored["scale"].float(), "zero": stored["zero"].float(), "compute_dtype": torch.float32}
    return stored, Quantizer.dequantize(codes, {**meta, **as_read})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("tokens")
    parser.add_argument("out", type=Path)
    parser.add_argument("--bits", type=int, required=True)
    parser.add_argument("--group-size", type=int, default=64)
    options = parser.parse_args()
    kept: dict[str, torch.Tensor] = {}
    restored: dict[str, torch.Tensor] = {}
    for path in sorted(options.model.glob("*.safetensors")):
        with safe_open(path, "pt") as shard:
            for name in shard.keys():  # noqa: SIM118 - the file is no mapping
                if name.endswith("_proj.weight"):
                    parts, restored[name] = quantized(shard.get_tensor(name), options.bits, options.group_size)
                    kept.update({name.removesuffix("weight") + key: part.contiguous() for key, part in parts.items()})
    options.out.mkdir(parents=True)
    save_file(kept, options.out / "model.safetensors")
    save_file(restored, options.out / "dequantized.safetensors")


if __name__ == "__main__":
    main()
