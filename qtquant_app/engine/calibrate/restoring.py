"""The weights of a block as a reader of the result will see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.shared_range import fixed_of
from qtquant_app.engine.tensor_work import located
from qtquant_app.engine.tools import Tools
from qtquant_app.engine.walk.fills import Read
from qtquant_app.quant.chunk import QuantizedChunk

if TYPE_CHECKING:
    from torch import Tensor


def restored_by(tools: Tools, schemes: Mapping[str, Scheme], chunks: Mapping[str, QuantizedChunk], read: Read) -> Read:
    """Reads tensors by name: those in `chunks` as their codes say, others with one of `schemes` quantized without samples, and all
    else as `read` does."""

    def restored(name: str) -> Tensor:
        tensor, scheme = tools.reader.checkpoint.by_name[name], schemes.get(name)
        if scheme is None:
            return read(name)
        if name in chunks:
            return _decoded(tools, tensor, scheme, chunks[name])
        return _rounded(tools, tensor, scheme)

    return restored


def _decoded(tools: Tools, tensor: TensorInfo, scheme: Scheme, chunk: QuantizedChunk) -> Tensor:
    import torch

    return torch.from_numpy(tools.backend.dequantize(chunk, tensor.dtype, scheme, tensor.shape[1]))


def _rounded(tools: Tools, tensor: TensorInfo, scheme: Scheme) -> Tensor:
    import torch

    steps = fixed_of(tools, tensor, scheme)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            fixed = end.value
            break
    out = np.empty(tensor.shape, np.float32)
    for start, stop in tools.spans(tensor, scheme):
        raw = tools.reader.rows(tensor, start, stop)
        with located(tensor, start):
            chunk = tools.quantized(raw, tensor, scheme, fixed)
        out[start:stop] = tools.backend.dequantize(chunk, tensor.dtype, scheme, tensor.shape[1])
    return torch.from_numpy(out)
