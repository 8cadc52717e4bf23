"""Tensors that are not quantized, as numbers of another width."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.formats.base import Bytes, as_bytes

_NUMPY = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def to_float32(data: Bytes, dtype: str, offset: float) -> Bytes:
    """The bytes of numbers of `dtype`, each plus `offset`, as float32."""
    values = _values(data, dtype)
    return as_bytes(values + np.float32(offset) if offset else values)


def from_float32(data: Bytes, dtype: str, offset: float) -> Bytes:
    """The inverse of `to_float32`, rounded to the nearest of `dtype`, the even one of two."""
    values: NDArray[Any] = data.view("<f4")
    if offset:
        values = values - np.float32(offset)
    if dtype != "BF16":
        return as_bytes(values.astype(_NUMPY[dtype]))
    bits = np.ascontiguousarray(values).view("<u4")
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return as_bytes(np.where(np.isnan(values), bits >> 16 | 0x40, rounded).astype("<u2"))


def _values(data: Bytes, dtype: str) -> NDArray[np.float32]:
    if dtype == "BF16":
        return (data.view("<u2").astype("<u4") << 16).view("<f4")
    values: NDArray[np.float32] = data.view(_NUMPY[dtype]).astype("<f4")
    return values
