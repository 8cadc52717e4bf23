"""Floating-point codes: FP8 E4M3, NVFP4 and MXFP4. What they stand for, and how their scales lie in memory. Needs numpy only.

w' = c * s, each code c the one nearest to w / s, ties to the even code, codes beyond the last held at it. Sources: OCP 8-bit
Floating Point Specification 1.0 (E4M3), OCP Microscaling Formats Specification 1.0 (E2M1, E8M0); scales as compressed-tensors 0.20
makes them (`calculate_qparams`, `generate_gparam`, `generate_mx_scales`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.stored import number

if TYPE_CHECKING:
    from qtquant_app.quant.chunk import QuantizedChunk, Raw

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
"""What the codes 0 to 7 stand for; bit 3 is the sign."""

E4M3_TOP = 448.0
WHOLE_TOP = np.float32(3.4028234663852886e38)
"""The largest divisor of a whole tensor: beyond it float32 has none."""


@dataclass(frozen=True, slots=True)
class FloatCode:
    """One kind of floating-point codes."""

    number: int
    """By which kernels know it."""
    name: str
    bits: int
    top: float
    """The largest number a code stands for."""
    scale_dtype: str
    """What its scales are stored in; empty where that is the weight's own dtype."""


FP8 = FloatCode(0, "FP8", 8, E4M3_TOP, "")
NVFP4 = FloatCode(1, "NVFP4", 4, E2M1[-1], "F8_E4M3")
MXFP4 = FloatCode(2, "MXFP4", 4, E2M1[-1], "F8_E8M0")


def is_float(scheme: Scheme) -> bool:
    """Whether the codes of `scheme` are those of this module."""
    return scheme.type == "float" and scheme.layout is None


def code_of(scheme: Scheme) -> FloatCode:
    """The kind of codes of a floating-point scheme."""
    if scheme.bits == 8:
        return FP8
    return NVFP4 if scheme.group_size == 16 else MXFP4


def tried(scheme: Scheme, factors: tuple[float, ...]) -> tuple[float, ...]:
    """What a method that tries `factors` on a group's range tries here: a scale that is a power of two has but its neighbours."""
    return (1.0, 2.0, 0.5) if len(factors) > 1 and code_of(scheme) is MXFP4 else factors


def scale_shape(scheme: Scheme, rows: int, columns: int) -> tuple[int, int]:
    """[1, 1] for a whole tensor, [row blocks, column blocks], or [rows, groups]."""
    if scheme.strategy == "tensor":
        return 1, 1
    return -(-rows // scheme.row_block), scheme.groups(columns)


def rows_a_scale(scheme: Scheme, rows: int, scales: int) -> int:
    """How many of `rows` rows share one of `scales` rows of scales; raises ValueError where they do not go together.

    Rows cut out of their blocks bring a row of scales each.
    """
    if scales == rows:
        return 1
    if scales != -(-rows // scheme.row_block):
        raise ValueError(f"{scales} rows of scales do not serve {rows} rows of codes under {scheme.label}")
    return scheme.row_block


def check_scales(chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> None:
    """Raises ValueError where the scales of `chunk`, rows of `columns` weights of `dtype`, are not those of its scheme."""
    from qtquant_app.quant.chunk import RAW_TYPES

    code, (rows, groups) = code_of(scheme), chunk.scale.shape
    kind = np.dtype(np.uint8) if code.scale_dtype else RAW_TYPES[dtype]
    wanted = (1, 1) if scheme.strategy == "tensor" else (rows, scheme.groups(columns))
    if chunk.scale.dtype != kind or (rows, groups) != wanted:
        raise ValueError(f"scales are {chunk.scale.dtype} {(rows, groups)}, not {kind} {wanted}")
    if scheme.strategy != "tensor":
        rows_a_scale(scheme, len(chunk.packed), rows)
    if chunk.zero is not None or (chunk.whole is None) == (code is NVFP4):
        raise ValueError(f"zero points or a divisor do not go with {scheme.label}")


def whole_divisor(largest: float) -> np.float32:
    """What NVFP4 multiplies its scales by where a tensor's largest |w| is `largest`, so that they fill E4M3: 2688 / largest."""
    if largest == 0:
        return np.float32(1)
    with np.errstate(over="ignore"):
        return min(np.float32(E4M3_TOP * E2M1[-1]) / np.float32(largest), WHOLE_TOP)


def numbers(code: FloatCode) -> NDArray[np.float32]:
    """What each code stands for under the scale 1, float32 [2^bits]; NaN where a code is none."""
    return np.array(_numbers(code.bits), np.float32)


@cache
def _numbers(bits: int) -> tuple[float, ...]:
    if bits == 4:
        return (*E2M1, *(-value for value in E2M1))
    return tuple(number(byte, "F8_E4M3") for byte in range(256))


def levels(code: FloatCode) -> NDArray[np.float32]:
    """The numbers that codes stand for under the scale 1, ascending, each once; float32."""
    found = numbers(code)
    ascending: NDArray[np.float32] = np.unique(found[np.isfinite(found)] + np.float32(0))
    return ascending


def steps(scale: Raw, dtype: str, scheme: Scheme, whole: Raw | None) -> NDArray[np.float32]:
    """What a code is multiplied by: scales as they are stored as float32 of the same shape, NVFP4's divided by its `whole`."""
    from qtquant_app.quant.chunk import as_float32

    code = code_of(scheme)
    if not code.scale_dtype:
        return as_float32(scale, dtype)
    table = np.array([number(byte, code.scale_dtype) for byte in range(256)], np.float32)
    found: NDArray[np.float32] = table[scale]
    return found if whole is None else found / whole.reshape(-1)[0]
