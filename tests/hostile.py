"""A checkpoint whose every name means something elsewhere: to a browser, to a terminal, to a label that guesses at markup."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

EVIL = "<img src=x onerror=alert(1)><b>b</b>&amp;\x1b[31m\u202egnp\x07\n=1+1|`x`](y)"
LONG = "n" * 10_000
LAYER = f"model.layers.0.{EVIL}.mlp.down_proj.weight"


def hostile_checkpoint(parent: Path) -> Path:
    """Small, and able to be quantized: names, folder, weight file, architecture and config are all hostile."""
    folder = parent / "<b>folder\x1b[31m\u202e\n"
    folder.mkdir(parents=True)
    random = torch.Generator().manual_seed(0)
    shapes = {
        LAYER: (64, 128),
        f"model.layers.0.{EVIL}.self_attn.q_proj.weight": (64, 128),
        f"model.layers.1.{LONG}.mlp.down_proj.weight": (64, 128),
        f"{EVIL}.norm.weight": (128,),
        f"{EVIL}": (3, 5, 7),
        "lm_head.weight": (96, 128),
    }
    tensors = {name: torch.randn(shape, generator=random) * 0.05 for name, shape in shapes.items()}
    save_file(tensors, folder / "<b>w\x1b[31m\u202e.safetensors", metadata={"format": EVIL})
    config = {"architectures": [EVIL], "model_type": EVIL, "hidden_size": 128, "vocab_size": 96, "note": EVIL}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "<b>\x1b.json").write_text("{}")
    return folder
