"""Checkpoints made of loose tensors, and what they decode to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.source import open_checkpoint

GOLDEN = Path(__file__).parent / "golden"
TORCH = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def write(folder: Path, tensors: dict[str, torch.Tensor], config: dict[str, Any] | None = None) -> Checkpoint:
    """A checkpoint of `tensors` beside a config."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(config or {}))
    return open_checkpoint(folder)


def golden(folder: Path, name: str) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    """The checkpoint in a golden file, and by module what its own library decodes it to."""
    with safe_open(GOLDEN / f"{name}.safetensors", "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    expected = {key.removeprefix("expected."): tensors.pop(key) for key in list(tensors) if key.startswith("expected.")}
    return write(folder, tensors, config), expected


def decoded(checkpoint: Checkpoint, name: str, step: int = 0) -> torch.Tensor:
    """All of a tensor, `step` rows at a time where given."""
    tensor = checkpoint.by_name[name]
    with TensorReader(checkpoint) as reader:
        step = step or tensor.shape[0]
        parts = [
            reader.rows(tensor, at, min(at + step, tensor.shape[0])).copy() for at in range(0, tensor.shape[0], step)
        ]
    return as_torch(np.concatenate(parts), tensor)


def as_torch(raw: np.ndarray, tensor: TensorInfo) -> torch.Tensor:
    """What the reader gives, as torch has it."""
    plain = torch.from_numpy(np.ascontiguousarray(raw).reshape(-1).view(np.uint8).copy())
    return plain.view(TORCH[tensor.dtype]).reshape(tensor.shape)
