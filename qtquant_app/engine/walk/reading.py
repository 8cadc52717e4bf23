"""Gives the tensors of a checkpoint as torch tensors, one at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.walk.fills import Read

if TYPE_CHECKING:
    from torch import Tensor


def float_weights(reader: TensorReader) -> Read:
    """Reads a tensor by its name, whole, as it is in the files, or decoded where they hold it quantized."""

    def read(name: str) -> Tensor:
        import torch

        from qtquant_app.engine.torch_dtypes import TORCH_DTYPES

        tensor = reader.checkpoint.by_name[name]
        data = torch.from_numpy(reader.bytes_of(tensor, 0, tensor.nbytes).copy())
        return data.view(TORCH_DTYPES[tensor.dtype]).reshape(tensor.shape)

    return read
