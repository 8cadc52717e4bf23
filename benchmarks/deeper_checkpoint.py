"""Writes a checkpoint with twice the blocks of another, all with random weights: memory must not grow with depth.

usage: python -m benchmarks.deeper_checkpoint MODEL OUT

Widths, embedding, norms, tokenizer and config are MODEL's; a block's matrices are normal with the spread of MODEL's own. MODEL
names its blocks model.layers.N, as Llama and its kin do.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

_BLOCK = re.compile(r"(?<=\.layers\.)\d+(?=\.)")


def write_deeper(model: Path, out: Path) -> int:
    """Returns how many blocks the new checkpoint has. Raises FileExistsError where `out` is there."""
    out.mkdir(parents=True)
    for file in model.iterdir():
        if file.suffix != ".safetensors" and file.is_file() and not file.name.endswith(".index.json"):
            shutil.copy(file, out)
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    blocks: int = config["num_hidden_layers"]
    config["num_hidden_layers"] = 2 * blocks
    (out / "config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
    weights = {name: weight for file in sorted(model.glob("*.safetensors")) for name, weight in load_file(file).items()}
    save_file(_deepened(weights, blocks), out / "model.safetensors", {"format": "pt"})
    return 2 * blocks


def _deepened(weights: dict[str, torch.Tensor], blocks: int) -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    found = {}
    for name, weight in weights.items():
        at = _BLOCK.search(name)
        for block in (int(at[0]), int(at[0]) + blocks) if at else ():
            noise = torch.randn(weight.shape, generator=random) * weight.float().std()
            found[_BLOCK.sub(str(block), name)] = noise.to(weight.dtype) if weight.ndim > 1 else weight.clone()
        if not at:
            found[name] = weight
    return found


if __name__ == "__main__":
    print(f"{write_deeper(Path(sys.argv[1]), Path(sys.argv[2]))} blocks")
