"""Quantizes the linear weights of a checkpoint with HQQ, 4 bits, group 128, a shard at a time, and keeps the rest.

usage: python hqq_quantize.py FOLDER OUT [--optimize]        (needs: pip install hqq)
Without --optimize HQQ rounds to nearest between minimum and maximum, the same work as the others; with it, its solver runs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from hqq.core.quantize import Quantizer
from safetensors import safe_open
from safetensors.torch import save_file


def quantized(name: str, weight: torch.Tensor, optimize: bool) -> dict[str, torch.Tensor]:
    """The packed codes, scales and zeros of one weight, by the names HQQ gives them."""
    codes, meta = Quantizer.quantize(
        weight, nbits=4, group_size=128, axis=1, optimize=optimize, compute_dtype=torch.bfloat16, device="cpu"
    )
    small = {part: meta[part].to(torch.bfloat16).contiguous() for part in ("scale", "zero")}
    prefix = name.removesuffix("weight")
    return {prefix + "W_q": codes.contiguous(), **{prefix + part: value for part, value in small.items()}}


def quantize_shard(source: Path, target: Path, optimize: bool) -> None:
    """Writes the shard `source`, quantized, as `target`."""
    result: dict[str, Any] = {}
    with safe_open(source, "pt") as shard:
        for name in shard.keys():  # noqa: SIM118 - the file is no mapping
            weight = shard.get_tensor(name)
            result.update(quantized(name, weight, optimize) if name.endswith("_proj.weight") else {name: weight})
    save_file(result, target)


if __name__ == "__main__":
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir()
    for path in sorted(folder.glob("*.safetensors")):
        quantize_shard(path, out / path.name, "--optimize" in sys.argv)
