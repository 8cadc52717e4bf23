"""Floats as their bits: reading a dtype, the range of a group, rounding a scale to the dtype that stores it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.quant.kernels.intrinsics import bits_float, float_bits
from qtquant_app.quant.kernels.jit import compiled

KINDS = {"F32": 0, "F16": 1, "BF16": 2}
"""The number by which kernels know a dtype."""

F16, BF16 = KINDS["F16"], KINDS["BF16"]


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """`array` as a vector that cannot be written to, floats as their bits; a copy only where it is not contiguous.

    Kernels take every input so: they would be compiled once more for arrays that can be written to.
    """
    vector = np.require(array, requirements=["C", "A"]).reshape(-1)
    if vector.dtype.kind == "f":
        vector = vector.view(np.uint32 if vector.dtype.itemsize == 4 else np.uint16)
    vector = vector.view()
    vector.flags.writeable = False
    return vector


@compiled
def span(first: int, last: int) -> Any:
    """range(first, last), counted without a sign: an index that may be negative costs a test for each element."""
    return range(np.uint64(first), np.uint64(last))


@compiled
def decode(source: Any, base: int, count: int, kind: int, out: Any) -> None:
    """Writes the floats whose bits are in `source` (uint16 or uint32) from `base` on to out[:count], float32; exact."""
    offset = np.uint64(base)
    if kind == BF16:
        for i in span(0, count):
            out[i] = bits_float(np.uint32(source[offset + i]) << np.uint32(16))
    elif kind == F16:
        for i in span(0, count):
            out[i] = half_float(np.uint32(source[offset + i]))
    else:
        for i in span(0, count):
            out[i] = bits_float(np.uint32(source[offset + i]))


@compiled
def half_float(bits: Any) -> Any:
    """The float32 that a float16's bits (uint32) stand for: exponent and mantissa shifted into place, rebiased by 2^112."""
    size = np.uint32(bits & np.uint32(0x7FFF))
    value = float_bits(np.float32(bits_float(np.uint32(size << np.uint32(13))) * np.float32(2.0**112)))
    endless = np.uint32(0x7F800000) if size >= np.uint32(0x7C00) else np.uint32(0)
    return bits_float(np.uint32(value | endless | (np.uint32(bits & np.uint32(0x8000)) << np.uint32(16))))


@compiled
def extremes(values: Any, first: int, last: int) -> Any:
    """(smallest, largest) of values[first:last], float32; one of them is NaN or infinite where any value is.

    Compares bits, put in the order of the numbers, so that a NaN lies beyond the infinities.
    """
    smallest = np.int32(0x7FFFFFFF)
    largest = np.int32(-0x80000000)
    for i in span(first, last):
        key = _ordered(np.int32(float_bits(values[i])))
        smallest = min(smallest, key)
        largest = max(largest, key)
    return bits_float(np.uint32(_ordered(smallest))), bits_float(np.uint32(_ordered(largest)))


@compiled
def _ordered(bits: Any) -> Any:
    return np.int32(bits ^ ((bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


@compiled
def is_finite(value: Any) -> Any:
    """Whether a float32 is neither NaN nor infinite."""
    return (float_bits(value) & np.uint32(0x7FFFFFFF)) < np.uint32(0x7F800000)


@compiled
def stored(value: Any, kind: int) -> Any:
    """The bits (uint32) of a float32 not below zero, rounded to nearest even in the dtype `kind`."""
    bits = float_bits(value)
    if kind == BF16:
        return np.uint32((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))
    if kind == F16:
        if bits >= np.uint32(0x47800000):
            return np.uint32(0x7C00)
        if bits < np.uint32(0x38800000):
            return np.uint32(float_bits(np.float32(value + np.float32(0.5))) - np.uint32(0x3F000000))
        even = (bits >> np.uint32(13)) & np.uint32(1)
        return np.uint32(((bits + np.uint32(0xFFF) + even) >> np.uint32(13)) - np.uint32(0x1C000))
    return bits


@compiled
def loaded(bits: Any, kind: int) -> Any:
    """The float32 that stored bits (uint16 or uint32) stand for."""
    if kind == BF16:
        return bits_float(np.uint32(np.uint32(bits) << np.uint32(16)))
    if kind == F16:
        return half_float(np.uint32(bits))
    return bits_float(np.uint32(bits))
