"""Floating-point codes of one group: its scale, its codes, and the way back, as in `qtquant_app.quant.float_codes`, bit for bit.

A float is rounded to few mantissa bits as a whole number: its bits, half of what is cut off added. Below the smallest normal number
codes are equally far apart, and adding a large float rounds to them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.floats import FP8 as _FP8
from qtquant_app.quant.floats import NVFP4 as _NVFP4
from qtquant_app.quant.kernels.intrinsics import bits_float, float_bits
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.source import loaded, span, stored

FP8, NVFP4 = _FP8.number, _NVFP4.number

_SIZE, _SIGN = np.uint32(0x7FFFFFFF), np.uint32(0x80000000)
_ENDLESS = np.uint32(0x7F800000)

_TOP8, _LEAST8, _FLOOR8 = np.uint32(0x43E00000), np.uint32(0x3C800000), np.float32(2.0**14)
"""The bits of E4M3's largest number, 448, and of its smallest normal one; a float whose last bit is worth a code below that."""
_TOP4, _LEAST4, _FLOOR4 = np.uint32(0x40C00000), np.uint32(0x3F800000), np.float32(2.0**22)
"""The same of E2M1: 6, 1, and steps of 1/2."""


@compiled
def largest(values: Any, first: int, last: int) -> Any:
    """The bits (uint32) of the largest |value| of values[first:last], float32; no less than infinity's where one is not finite."""
    size = np.int32(0)
    for i in span(first, last):
        size = max(size, np.int32(float_bits(values[i]) & _SIZE))
    return np.uint32(size)


@compiled
def endless(size: Any) -> Any:
    """Whether what `largest` gave is not a number's."""
    return size >= _ENDLESS


@compiled
def scale_of(size: Any, factor: Any, rule: int, kind: int, whole: Any) -> Any:
    """(stored bits uint32, step float32) for a group whose largest |w| has the bits `size`, its range times `factor`.

    A group of zeros has the scale 1; a scale that would round to zero is the smallest there is. `whole` is NVFP4's divisor.
    """
    span = np.float64(bits_float(size)) * factor
    empty = size == 0
    if rule == FP8:
        bits = stored(np.float32(1.0), kind) if empty else max(stored(np.float32(span / 448.0), kind), np.uint32(1))
        return np.uint32(bits), loaded(bits, kind)
    if rule == NVFP4:
        wanted = np.float32(span / 6.0 * np.float64(whole))
        bits = np.uint32(0x38) if empty else max(code8(wanted), np.uint32(1))
        return np.uint32(bits), step_of(bits, rule, kind, whole)
    # The power of two next to a quarter of the largest: from 1.75 of one on it is the next, which the last code cannot serve well.
    exponent = np.int32((float_bits(np.float32(span)) + np.uint32(0x200000)) >> np.uint32(23)) - np.int32(2)
    bits = np.uint32(127) if empty else np.uint32(min(max(exponent, np.int32(0)), np.int32(254)))
    return bits, step_of(bits, rule, kind, whole)


@compiled
def step_of(bits: Any, rule: int, kind: int, whole: Any) -> Any:
    """The float32 that codes are multiplied by under a scale stored as `bits`."""
    if rule == FP8:
        return loaded(bits, kind)
    if rule == NVFP4:
        return np.float32(value8(np.uint32(bits)) / whole)
    return bits_float(np.uint32(max(np.uint32(bits) << np.uint32(23), np.uint32(0x400000))))


@compiled
def code8(value: Any) -> Any:
    """The E4M3 code (uint32) nearest to a float32."""
    bits = float_bits(value)
    size = min(np.uint32(bits & _SIZE), _TOP8)
    even = np.uint32(size >> np.uint32(20)) & np.uint32(1)
    normal = np.uint32(np.uint32(size + np.uint32(0x7FFFF) + even) >> np.uint32(20)) - np.uint32(960)
    small = np.uint32(float_bits(np.float32(bits_float(size) + _FLOOR8)) - np.uint32(0x46800000))
    code = normal if size >= _LEAST8 else small
    return np.uint32(code | (np.uint32(bits >> np.uint32(24)) & np.uint32(0x80)))


@compiled
def code4(value: Any) -> Any:
    """The E2M1 code (uint32) nearest to a float32."""
    bits = float_bits(value)
    size = min(np.uint32(bits & _SIZE), _TOP4)
    even = np.uint32(size >> np.uint32(22)) & np.uint32(1)
    normal = np.uint32(np.uint32(size + np.uint32(0x1FFFFF) + even) >> np.uint32(22)) - np.uint32(252)
    small = np.uint32(float_bits(np.float32(bits_float(size) + _FLOOR4)) - np.uint32(0x4A800000))
    code = normal if size >= _LEAST4 else small
    return np.uint32(code | (np.uint32(bits >> np.uint32(28)) & np.uint32(8)))


@compiled
def value8(code: Any) -> Any:
    """The float32 that an E4M3 code (uint32) stands for; NaN for the two codes that are none."""
    size = np.uint32(code & np.uint32(0x7F))
    value = float_bits(np.float32(bits_float(np.uint32(size << np.uint32(20))) * np.float32(2.0**120)))
    value = np.uint32(0x7FC00000) if size == np.uint32(0x7F) else value
    return bits_float(np.uint32(value | (np.uint32(code & np.uint32(0x80)) << np.uint32(24))))


@compiled
def value4(code: Any) -> Any:
    """The float32 that an E2M1 code (uint32) stands for: twice it is 0, 1, 2, 3, 4, 6, 8 or 12."""
    size = np.int32(code & np.uint32(7))
    doubled = size + max(size - np.int32(4), np.int32(0)) + np.int32(2) * max(size - np.int32(6), np.int32(0))
    value = float_bits(np.float32(np.float32(0.5) * np.float32(np.int32(doubled))))
    return bits_float(np.uint32(value | (np.uint32(code & np.uint32(8)) << np.uint32(28))))


@compiled
def near8(value: Any) -> Any:
    """`value8` of `code8` of a float32, without a number so small that a processor takes long over it."""
    bits = float_bits(value)
    size = min(np.uint32(bits & _SIZE), _TOP8)
    even = np.uint32(size >> np.uint32(20)) & np.uint32(1)
    normal = np.uint32(np.uint32(size + np.uint32(0x7FFFF) + even) & np.uint32(0xFFF00000))
    small = float_bits(np.float32(np.float32(bits_float(size) + _FLOOR8) - _FLOOR8))
    return bits_float(np.uint32((normal if size >= _LEAST8 else small) | (bits & _SIGN)))


@compiled
def near4(value: Any) -> Any:
    """`value4` of `code4` of a float32."""
    bits = float_bits(value)
    size = min(np.uint32(bits & _SIZE), _TOP4)
    even = np.uint32(size >> np.uint32(22)) & np.uint32(1)
    normal = np.uint32(np.uint32(size + np.uint32(0x1FFFFF) + even) & np.uint32(0xFFC00000))
    small = float_bits(np.float32(np.float32(bits_float(size) + _FLOOR4) - _FLOOR4))
    return bits_float(np.uint32((normal if size >= _LEAST4 else small) | (bits & _SIGN)))


@compiled
def sizes_of(values: Any, blocks: int, group: int, sizes: Any) -> None:
    """`largest` of each group of values float32 [16 * blocks], zeros where they fill up, into sizes int32 [blocks].

    Groups are of 16 or 32, or there is one.
    """
    for block in range(blocks):
        size, at = np.int32(0), np.uint64(16 * block)
        for j in span(0, 16):
            size = max(size, np.int32(float_bits(values[at + j]) & _SIZE))
        sizes[block] = size
    if group > 16:
        for index in range((blocks + 1) // 2):
            sizes[index] = max(sizes[2 * index], sizes[min(2 * index + 1, blocks - 1)])


@compiled
def scales_of(sizes: Any, count: int, rule: int, kind: int, whole: Any, stored_bits: Any, steps: Any) -> None:
    """`scale_of` for the first `count` of `sizes`, for NVFP4 and MXFP4, one step at a time for several of them at once.

    What is written on the way lies in `sizes`, which is used up.
    """
    if rule != NVFP4:
        for i in span(0, count):
            stored_bits[i], steps[i] = scale_of(np.uint32(sizes[i]), 1.0, rule, kind, whole)
        return
    for i in span(0, count):
        steps[i] = np.float32(np.float64(bits_float(np.uint32(sizes[i]))) / 6.0 * np.float64(whole))
    for i in span(0, count):
        bits = max(code8(steps[i]), np.uint32(1))
        sizes[i] = np.uint32(0x38) if sizes[i] == 0 else bits
    for i in span(0, count):
        steps[i] = np.float32(value8(np.uint32(sizes[i])) / whole)
    for i in span(0, count):
        stored_bits[i] = np.uint8(sizes[i])


@compiled
def encode8(values: Any, first: int, last: int, step: Any, codes: Any, restored: Any) -> None:
    """The E4M3 codes uint8 of values[first:last], float32, at the same places, and what each stands for in `restored`."""
    for i in span(first, last):
        codes[i] = np.uint8(code8(np.float32(values[i] / step)))
    for i in span(first, last):
        restored[i] = near8(np.float32(values[i] / step)) * step


@compiled
def encode4(values: Any, count: int, group: int, steps: Any, codes: Any, restored: Any, wide: Any) -> None:
    """The E2M1 codes uint8 of values[:count], float32, under the step of each group, and what each stands for in `restored`.

    Groups are of 16 or 32, or there is one. `wide` float32 [count + 32] is scratch: the step of each weight, so that no other loop
    has a group to look for.
    """
    per = (group + 15) // 16
    for index in range((count + group - 1) // group):
        step = steps[index]
        for block in range(per * index, per * (index + 1)):
            at = np.uint64(16 * block)
            for j in span(0, 16):
                wide[at + j] = step
    for i in span(0, count):
        restored[i] = near4(np.float32(values[i] / wide[i]))
    for i in span(0, count):
        bits = float_bits(restored[i])
        size = np.uint32(bits & _SIZE)
        normal = np.uint32(np.uint32(size >> np.uint32(22)) - np.uint32(252))
        code = normal if size >= _LEAST4 else min(size, np.uint32(1))
        codes[i] = np.uint8(np.uint32(code | (np.uint32(bits >> np.uint32(28)) & np.uint32(8))))
    for i in span(0, count):
        restored[i] *= wide[i]


@compiled
def restore(codes: Any, first: int, last: int, step: Any, rule: int, out: Any, out_at: int) -> None:
    """Writes to out[out_at:] the float32 that each of codes[first:last], uint8, stands for."""
    offset = np.uint64(out_at)
    if rule == FP8:
        for i in span(first, last):
            out[offset + i] = value8(np.uint32(codes[i])) * step
        return
    whole = first + (last - first) // 16 * 16
    for block in range(first, whole, 16):
        at = np.uint64(block)
        for j in span(0, 16):
            out[offset + at + j] = value4(np.uint32(codes[at + j])) * step
    for i in span(whole, last):
        out[offset + i] = value4(np.uint32(codes[i])) * step


@compiled
def search(values: Any, blocks: int, size: Any, factors: Any, rule: int, kind: int, whole: Any, lanes: Any) -> Any:
    """As `scale_of`, with the first of `factors` that gives the least squared error over values float32 [16 * blocks].

    A trial is left out where the error of the largest weight is by itself no less than the best sum. `lanes` float64 [16] is
    scratch.
    """
    bits, step = scale_of(size, factors[0], rule, kind, whole)
    if len(factors) == 1 or size == 0:
        return bits, step
    best, last = trial_error(values, blocks, step, rule, lanes), bits
    for index in range(1, len(factors)):
        trial_bits, trial = scale_of(size, factors[index], rule, kind, whole)
        if trial_bits == last:
            continue
        last = trial_bits
        alone = error_of(bits_float(size), trial, rule)
        if alone * alone >= best:
            continue
        error = trial_error(values, blocks, trial, rule, lanes)
        if error < best:
            best, bits, step = error, trial_bits, trial
    return bits, step


@compiled
def error_of(value: Any, step: Any, rule: int) -> Any:
    """The error (float64) of a float32 under `step`."""
    near = near8(np.float32(value / step)) if rule == FP8 else near4(np.float32(value / step))
    return np.float64(np.float32(value - np.float32(near * step)))


@compiled
def trial_error(values: Any, blocks: int, step: Any, rule: int, lanes: Any) -> Any:
    """The squared error of values float32 [16 * blocks] under `step`, added up as `quant.search.lane_sum` does it."""
    for j in span(0, 16):
        lanes[j] = 0.0
    if rule == FP8:
        for block in range(blocks):
            at = np.uint64(16 * block)
            for j in span(0, 16):
                error = error_of(values[at + j], step, FP8)
                lanes[j] += error * error
    else:
        for block in range(blocks):
            at = np.uint64(16 * block)
            for j in span(0, 16):
                error = error_of(values[at + j], step, NVFP4)
                lanes[j] += error * error
    for width in (8, 4, 2, 1):
        for j in span(0, width):
            lanes[j] += lanes[np.uint64(width) + j]
    return lanes[0]
