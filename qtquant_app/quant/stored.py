"""Weights of every dtype as a matrix that a backend takes: exact where the numbers allow it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.matrix import WORKED

if TYPE_CHECKING:
    from qtquant_app.quant.chunk import Raw

_PLAIN = {"F64": "<f8", "I16": "<i2", "U16": "<u2", "I32": "<i4", "U32": "<u4", "I64": "<i8", "U64": "<u8"}

# Exponent bits, mantissa bits, bias, and the codes that are infinite or not a number.
# OCP 8-bit floating point specification 1.0; for FNUZ, Noune et al., "8-bit Numerical Formats for Deep Neural Networks", 2022.
_EIGHT_BIT_FLOATS: dict[str, tuple[int, int, int]] = {
    "F8_E4M3": (4, 3, 7),
    "F8_E5M2": (5, 2, 15),
    "F8_E4M3FNUZ": (4, 3, 8),
    "F8_E5M2FNUZ": (5, 2, 16),
}


def worked(data: NDArray[np.uint8], stored: str) -> Raw:
    """The numbers whose bytes are `data`, of dtype `stored`, as a flat raw array of `WORKED[stored]`: a copy.

    Raises KeyError where a backend takes `stored` as it is.
    """
    if WORKED[stored] == "F32":
        with np.errstate(over="ignore"):  # beyond float32 it is infinite, and refused as such
            return data.view(_PLAIN[stored]).astype(np.float32)
    bits: Raw = _table(stored)[data]
    return bits


@cache
def _table(stored: str) -> NDArray[np.uint16]:
    """The bfloat16 bits of each of the 256 bytes of an 8-bit dtype; every one of them is exact."""
    values = np.array([number(code, stored) for code in range(256)], np.float32)
    table: NDArray[np.uint16] = (values.view(np.uint32) >> 16).astype(np.uint16)
    return table


def number(code: int, stored: str) -> float:
    """What one byte stands for in an 8-bit dtype."""
    if stored == "I8":
        return float(code - 256 if code > 127 else code)
    if stored in ("U8", "BOOL"):
        return float(code)
    if stored == "F8_E8M0":
        return float("nan") if code == 255 else 2.0 ** (code - 127)
    exponent_bits, mantissa_bits, bias = _EIGHT_BIT_FLOATS[stored]
    sign = -1.0 if code & 0x80 else 1.0
    exponent = code >> mantissa_bits & (1 << exponent_bits) - 1
    mantissa = code & (1 << mantissa_bits) - 1
    special = _special(code, exponent, mantissa, stored)
    if special is not None:
        return sign * special
    if exponent == 0:
        return sign * mantissa * 2.0 ** (1 - bias - mantissa_bits)
    return sign * (1 + mantissa / (1 << mantissa_bits)) * 2.0 ** (exponent - bias)


def _special(code: int, exponent: int, mantissa: int, stored: str) -> float | None:
    if stored.endswith("FNUZ"):
        return float("nan") if code == 0x80 else None
    if stored == "F8_E4M3":
        return float("nan") if code & 0x7F == 0x7F else None
    if exponent == 31:
        return float("nan") if mantissa else float("inf")
    return None
