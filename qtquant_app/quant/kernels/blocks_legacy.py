"""The legacy GGUF types, one scale for 32 weights: the bytes that gguf-py's own quantizers write, ties and all.

The step is the largest weight over the number of its steps, in float32; codes are computed against it, and only then is it
rounded to float16. Where 1 / step overflows, every code is zero. Codes are stored from `lowest` up, uint8; those of Q8_0,
signed bytes in the file, with 128 added.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.blocks.search import NUMBERS
from qtquant_app.quant.kernels.blocks_pack import pack_half, unpack_half
from qtquant_app.quant.kernels.intrinsics import bits_float, float_bits
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.source import F16, extremes, half_float, is_finite, span, stored

Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 = (NUMBERS[name] for name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"))
SIZE = 32
"""Weights of a block. Loops take it as an argument: one whose length is known is unrolled before it is made vector code."""


@compiled
def half_bits(value: Any) -> Any:
    """The bits (uint32) of the float16 nearest to a float32 of either sign."""
    size = bits_float(np.uint32(float_bits(value) & np.uint32(0x7FFFFFFF)))
    return np.uint32(stored(size, F16) | ((float_bits(value) >> np.uint32(16)) & np.uint32(0x8000)))


@compiled
def first_of(values: Any, first: int, size: int, value: Any) -> Any:
    """The first of 32 weights as large in size as `value`, or `value` where there is none."""
    largest = abs(value)
    for i in span(first, first + size):
        if abs(values[i]) == largest:
            return values[i]
    return value


@compiled
def plain_step(values: Any, first: int, size: int, lowest: int, top: int) -> Any:
    """(step, base), float32, of 32 weights from `first` on. `lowest` is 0 for a type with a base, -top for one without a middle."""
    low, high = extremes(values, first, first + size)
    if lowest == 0:
        if low == 0:
            low = first_of(values, first, size, low)
        return np.float32(np.float32(high - low) / np.float32(top)), low
    largest = high if high > -low else low
    if lowest == -top:
        return np.float32(abs(largest) / np.float32(top)), np.float32(0)
    if high == -low:
        largest = first_of(values, first, size, high)
    return np.float32(largest / np.float32(lowest)), np.float32(0)


@compiled
def encode_plain(values: Any, count: int, size: int, lowest: int, top: int, codes: Any, steps: Any, bases: Any) -> bool:
    """Codes uint8 of `count` weights, and the float16 bits uint32 of each block's step and base; False where one overflows."""
    bias = np.float32(np.float32(-lowest) + np.float32(0.5))
    last = np.int32(top - lowest)
    for index in range(count // size):
        first = index * size
        step, base = plain_step(values, first, size, lowest, top)
        bits, low = half_bits(step), half_bits(base)
        if (bits & np.uint32(0x7FFF)) >= np.uint32(0x7C00) or (low & np.uint32(0x7FFF)) >= np.uint32(0x7C00):
            return False
        steps[index], bases[index] = bits, low
        inverse = np.float32(np.float32(1) / step) if step != 0 else np.float32(0)
        if not is_finite(inverse):
            for i in span(first, first + size):
                codes[i] = 128 if lowest == -top else 0
        elif lowest == -top:
            for i in span(first, first + size):
                scaled = np.float32(values[i] * inverse)
                apart = abs(scaled)
                whole = np.int32(apart)
                whole = whole + np.int32(np.float32(2) * np.float32(apart - np.float32(whole)))
                codes[i] = np.uint8(np.int32(128) + (-whole if scaled < 0 else whole))
        else:
            for i in span(first, first + size):
                scaled = np.float32(np.float32(np.float32(values[i] - base) * inverse) + bias)
                codes[i] = np.uint8(min(np.int32(scaled), last))
    return True


@compiled
def pack(
    layout: int, codes: Any, count: int, steps: Any, bases: Any, out: Any, begin: int, size: int, nbytes: int
) -> None:
    """Writes blocks from `begin` on: the codes of `count` weights under the steps and bases, float16 bits uint32."""
    half: Any = np.uint64(size // 2)
    for index in range(count // size):
        at, first = np.uint64(begin + index * nbytes), np.uint64(index * size)
        pack_half(steps[index], out, at)
        at += np.uint64(2)
        if layout in (Q4_1, Q5_1):
            pack_half(bases[index], out, at)
            at += np.uint64(2)
        if layout == Q8_0:
            for i in span(0, size):
                out[at + i] = codes[first + i] ^ np.uint8(128)
            continue
        if layout in (Q5_0, Q5_1):
            high = np.uint32(0)
            for i in span(0, size):
                high |= np.uint32(np.uint32(codes[first + i] >> np.uint8(4)) << np.uint32(i))
            for i in span(0, 4):
                out[at + i] = np.uint8(high >> np.uint32(8 * i))
            at += np.uint64(4)
        for i in span(0, half):
            out[at + i] = (codes[first + i] & np.uint8(15)) | np.uint8(codes[first + half + i] << np.uint8(4))


@compiled
def restore(
    layout: int, data: Any, begin: int, size: int, nbytes: int, count: int, middle: int, out: Any, out_at: int
) -> None:
    """Writes to out[out_at:] the float32 that `count` weights of blocks stand for, rounded as gguf-py rounds."""
    half: Any = np.uint64(size // 2)
    shift = np.int32(middle)
    for index in range(count // size):
        at, first = np.uint64(begin + index * nbytes), np.uint64(out_at + index * size)
        step = half_float(unpack_half(data, at))
        at += np.uint64(2)
        base = np.float32(-0.0)
        if layout in (Q4_1, Q5_1):
            base = half_float(unpack_half(data, at))
            at += np.uint64(2)
        if layout == Q8_0:
            for i in span(0, size):
                out[first + i] = np.float32(np.int32(data[at + i] ^ np.uint8(128)) - shift) * step
            continue
        high = np.uint32(0)
        if layout in (Q5_0, Q5_1):
            high = np.uint32(unpack_half(data, at) | (unpack_half(data, at + np.uint64(2)) << np.uint32(16)))
            at += np.uint64(4)
        for i in span(0, half):
            code = np.int32(data[at + i] & np.uint8(15)) | np.int32(
                ((high >> np.uint32(i)) & np.uint32(1)) << np.uint32(4)
            )
            out[first + i] = np.float32(np.float32(code - shift) * step) + base
        for i in span(0, half):
            bit = (high >> np.uint32(i + half)) & np.uint32(1)
            code = np.int32(data[at + i] >> np.uint8(4)) | np.int32(bit << np.uint32(4))
            out[first + half + i] = np.float32(np.float32(code - shift) * step) + base
