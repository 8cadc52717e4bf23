"""All weights of a quantized checkpoint as torch tensors, for running the model."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError
from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.engine.output import RECORD
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.source import open_checkpoint

if TYPE_CHECKING:
    from torch import Tensor


def somebody_elses(output: str | Path) -> Checkpoint | None:
    """The quantized checkpoint at `output` where it is none that a run of QtQuant recorded; None for anything else."""
    if (Path(output) / RECORD).is_file():
        return None
    with suppress(SourceError):
        found = open_checkpoint(output)
        return found if found.packed_by else None
    return None


def whole_weights(checkpoint: Checkpoint) -> Generator[Event, None, dict[str, Tensor]]:
    """Every tensor by name, decoded where it is quantized."""
    import torch

    from qtquant_app.engine.torch_dtypes import TORCH_DTYPES

    found: dict[str, Tensor] = {}
    with TensorReader(checkpoint) as reader:
        for tensor in checkpoint.tensors:
            if tensor.tied_to is None:
                data = torch.from_numpy(reader.bytes_of(tensor, 0, tensor.nbytes).copy())
                found[tensor.name] = data.view(TORCH_DTYPES[tensor.dtype]).reshape(tensor.shape)
                yield ChunkDone(tensor.name, tensor.nbytes)
    return found


def all_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """As `whole_weights`, at once."""
    work = whole_weights(checkpoint)
    while True:
        try:
            next(work)
        except StopIteration as end:
            found: dict[str, Tensor] = end.value
            return found


def as_float(config: Any) -> Any:
    """A config of transformers without the words that make it look for quantized weights."""
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    return config
