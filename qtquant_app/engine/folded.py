"""Applies foldings to the bytes of tensors as they are read: whoever reads a checkpoint with foldings sees the folded weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import VerifyError
from qtquant_app.core.folding import Folding
from qtquant_app.engine.packed.arithmetic import rounded_into
from qtquant_app.quant.chunk import RAW_TYPES, as_float32

Factors = NDArray[np.float32]


def with_foldings(checkpoint: Checkpoint, foldings: Mapping[str, Folding]) -> Checkpoint:
    """`checkpoint`, its tensors folded. Raises VerifyError where a folding fits no tensor of it."""
    for name, folding in foldings.items():
        tensor = checkpoint.by_name.get(name)
        if tensor is None or not _fits(folding, tensor):
            raise VerifyError(f"a folding of {name} does not fit the checkpoint", code="record")
    return replace(checkpoint, foldings=dict(foldings))


def _fits(folding: Folding, tensor: TensorInfo) -> bool:
    rows, columns = len(folding.rows), len(folding.columns)
    return (
        tensor.dtype in RAW_TYPES
        and len(tensor.shape) in (1, 2)
        and rows in (0, 4 * tensor.shape[0])
        and (not columns or (len(tensor.shape) == 2 and columns == 4 * tensor.shape[1]))
    )


def with_rows(folding: Folding, factors: Factors, offset: float = 0.0) -> Folding:
    """`folding`, and then rows times `factors`."""
    return replace(folding, rows=_times(folding.rows, factors), offset=offset or folding.offset)


def with_columns(folding: Folding, factors: Factors) -> Folding:
    """`folding`, and then columns times `factors`."""
    return replace(folding, columns=_times(folding.columns, factors))


def _times(before: bytes, factors: Factors) -> bytes:
    product = factors if not before else np.frombuffer(before, "<f4") * factors
    return product.astype("<f4").tobytes()


def folded(data: NDArray[np.uint8], tensor: TensorInfo, folding: Folding, start: int) -> NDArray[np.uint8]:
    """The bytes of `tensor` from byte `start` on, folded: in float32, each rounded once to the tensor's dtype."""
    raw_type = RAW_TYPES[tensor.dtype]
    first, values = start // raw_type.itemsize, _values(data, tensor.dtype)
    columns = tensor.shape[1] if len(tensor.shape) == 2 else 1
    at = np.arange(first, first + len(values))
    if folding.offset:
        values += np.float32(folding.offset)
    if folding.rows:
        values *= np.frombuffer(folding.rows, "<f4")[at // columns]
    if folding.columns:
        values *= np.frombuffer(folding.columns, "<f4")[at % columns]
    if folding.offset:
        values -= np.float32(folding.offset)
    out: NDArray[Any] = np.empty(len(values), raw_type)
    rounded_into(values, tensor.dtype, out)
    return out.view(np.uint8)


def _values(data: NDArray[np.uint8], dtype: str) -> Factors:
    values: Factors = as_float32(data.view(RAW_TYPES[dtype]).reshape(1, -1), dtype)[0].astype(np.float32, copy=True)
    return values
