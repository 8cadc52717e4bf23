"""Nets over checkpoints that a test saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import PreTrainedModel

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.walk.net import Net, open_net
from qtquant_app.engine.walk.reading import float_weights


def saved(model: PreTrainedModel, folder: Path) -> Checkpoint:
    model.save_pretrained(folder)
    return open_checkpoint(folder)


@contextmanager
def opened(checkpoint: Checkpoint, dtype: torch.dtype = torch.float32) -> Iterator[Net]:
    with TensorReader(checkpoint) as reader:
        yield open_net(checkpoint, "cpu", dtype, float_weights(reader))
