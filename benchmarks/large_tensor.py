"""Writes a checkpoint of one very large random matrix, and one an eighth as large in a second shard; memory stays small.

usage: python -m benchmarks.large_tensor OUT ROWS COLUMNS
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from qtquant_app.engine.safetensors_header import build_header

_POOL = 1 << 22
_FIRST, _SECOND = "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight"


def write_large(folder: Path, rows: int, columns: int, seed: int = 0) -> None:
    """Random bfloat16 of standard deviation 0.02 with config and index."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).standard_normal(_POOL, np.float32) * np.float32(0.02)
    pool = (noise.view(np.uint32) >> 16).astype("<u2").tobytes()
    weight_map: dict[str, str] = {}
    for number, (name, height) in enumerate(((_FIRST, rows), (_SECOND, max(1, rows // 8))), 1):
        file, nbytes = f"model-{number:05d}-of-00002.safetensors", 2 * height * columns
        weight_map[name] = file
        with (folder / file).open("wb") as stream:
            stream.write(build_header([(name, "BF16", (height, columns), nbytes)], {"format": "pt"}))
            for start in range(0, nbytes, len(pool)):
                stream.write(pool[: nbytes - start])
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": columns}
    (folder / "config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    write_large(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
