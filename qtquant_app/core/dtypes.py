"""The data types a checkpoint holds, by their safetensors names."""

from __future__ import annotations

from functools import lru_cache
from math import prod

from qtquant_app.core.layouts import LAYOUTS

ITEM_BITS: dict[str, int] = {
    "F64": 64,
    "I64": 64,
    "U64": 64,
    "C64": 64,
    "F32": 32,
    "I32": 32,
    "U32": 32,
    "F16": 16,
    "BF16": 16,
    "I16": 16,
    "U16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "I8": 8,
    "U8": 8,
    "BOOL": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
}
"""Bits per element of each dtype that the safetensors format names."""

FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})
"""The dtypes that hold weights as floating-point numbers."""

QUANTIZABLE = frozenset({"F32", "F16", "BF16"})
"""The dtypes that a run quantizes; their own dtype also stores the scales."""


@lru_cache(maxsize=4096)
def nbytes(dtype: str, shape: tuple[int, ...]) -> int:
    """Bytes of a tensor of `shape`, whose dtype may be a block layout; raises ValueError where the elements do not fill whole bytes
    or blocks."""
    if dtype not in ITEM_BITS:
        return prod(shape[:-1]) * LAYOUTS[dtype].row_bytes(shape[-1])
    elements = 1
    for side in shape:
        elements *= side
    bits = elements * ITEM_BITS[dtype]
    if bits % 8:
        raise ValueError(f"{elements} elements of {dtype} do not fill whole bytes")
    return bits // 8
