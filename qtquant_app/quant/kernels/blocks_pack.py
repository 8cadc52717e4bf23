"""Codes and scales of a K-quant's block to its bytes and back. Layouts as in llama.cpp's ggml-common.h; numbers as `NUMBERS`.

Codes are uint8, not below zero; a sub-block's whole-number scale and minimum are uint8 too, with what is signed moved up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from qtquant_app.quant.blocks.search import NUMBERS
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.source import span

Q2_K, Q3_K, Q4_K, Q5_K, Q6_K = (NUMBERS[name] for name in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"))


@compiled
def d_at(layout: int) -> int:
    """Where d lies in a block; dmin, where there is one, follows it."""
    if layout == Q2_K:
        return 80
    if layout == Q3_K:
        return 108
    return 208 if layout == Q6_K else 0


@compiled
def pack_half(bits: Any, out: Any, at: Any) -> None:
    """Writes a float16's bits."""
    out[at] = np.uint8(bits & np.uint32(0xFF))
    out[at + 1] = np.uint8(bits >> np.uint32(8))


@compiled
def unpack_half(data: Any, at: Any) -> Any:
    """The bits (uint32) of the float16 at `at`."""
    return np.uint32(np.uint32(data[at]) | (np.uint32(data[at + 1]) << np.uint32(8)))


@compiled
def pack_nibbles(codes: Any, at: int, count: int, out: Any, out_at: int) -> None:
    """Byte l holds the low four bits of the codes l and l + count."""
    source, target, stride = np.uint64(at), np.uint64(out_at), np.uint64(count)
    for i in span(0, count):
        out[target + i] = (codes[source + i] & np.uint8(15)) | np.uint8(codes[source + stride + i] << np.uint8(4))


@compiled
def unpack_nibbles(data: Any, at: int, count: int, codes: Any, out_at: int) -> None:
    """The inverse of `pack_nibbles`; what the codes held is overwritten."""
    source, target, stride = np.uint64(at), np.uint64(out_at), np.uint64(count)
    for i in span(0, count):
        codes[target + i] = data[source + i] & np.uint8(15)
        codes[target + stride + i] = data[source + i] >> np.uint8(4)


@compiled
def _pack_pairs(codes: Any, at: int, stride: int, shift: int, out: Any, out_at: int) -> None:
    """Byte l of `stride` holds two bits, from `shift` up, of each of the codes l, l + stride, l + 2 stride, l + 3 stride."""
    source, target, step, low = np.uint64(at), np.uint64(out_at), np.uint64(stride), np.uint8(shift)
    two = np.uint8(3)
    for i in span(0, stride):
        at_0 = source + i
        at_1, at_2 = at_0 + step, at_0 + np.uint64(2) * step
        at_3 = at_2 + step
        below = ((codes[at_0] >> low) & two) | np.uint8(((codes[at_1] >> low) & two) << np.uint8(2))
        above = np.uint8(((codes[at_2] >> low) & two) << np.uint8(4)) | np.uint8((codes[at_3] >> low) << np.uint8(6))
        out[target + i] = below | above


@compiled
def _add_pairs(data: Any, at: int, stride: int, shift: int, codes: Any, out_at: int) -> None:
    """The inverse of `_pack_pairs`, added to what the codes hold."""
    source, low = np.uint64(at), np.uint8(shift)
    for part in range(4):
        target, right = np.uint64(out_at + part * stride), np.uint8(2 * part)
        for i in span(0, stride):
            codes[target + i] |= np.uint8(((data[source + i] >> right) & np.uint8(3)) << low)


@compiled
def _pack_bits(codes: Any, at: int, stride: int, shift: int, out: Any, out_at: int) -> None:
    """Bit j of byte l of `stride` is the bit at `shift` of the code l + j * stride."""
    target, low = np.uint64(out_at), np.uint8(shift)
    for part in range(8):
        source, left = np.uint64(at + stride * part), np.uint8(part)
        for i in span(0, stride):
            bit = np.uint8(((codes[source + i] >> low) & np.uint8(1)) << left)
            out[target + i] = bit if part == 0 else out[target + i] | bit


@compiled
def _add_bits(data: Any, at: int, stride: int, shift: int, codes: Any, out_at: int) -> None:
    """The inverse of `_pack_bits`, added to what the codes hold."""
    source, low = np.uint64(at), np.uint8(shift)
    for part in range(8):
        target, right = np.uint64(out_at + stride * part), np.uint8(part)
        for i in span(0, stride):
            codes[target + i] |= np.uint8(((data[source + i] >> right) & np.uint8(1)) << low)


@compiled
def pack_codes(layout: int, block: int, codes: Any, at: int, out: Any, begin: int) -> None:
    """Writes the codes of one block, codes[at:], to where they belong in the block that begins at `begin`.

    `block` is 256: a loop whose length is known is unrolled before it is made vector code.
    """
    row = block // 8
    if layout in (Q2_K, Q3_K):
        for half in range(2):
            _pack_pairs(codes, at + 128 * half, row, 0, out, begin + (16 if layout == Q2_K else 32) + 32 * half)
        if layout == Q3_K:
            _pack_bits(codes, at, row, 2, out, begin)
    elif layout == Q6_K:
        for half in range(2):
            pack_nibbles(codes, at + 128 * half, 2 * row, out, begin + 64 * half)
            _pack_pairs(codes, at + 128 * half, row, 4, out, begin + 128 + 32 * half)
    else:
        for part in range(4):
            pack_nibbles(codes, at + 64 * part, row, out, begin + (16 if layout == Q4_K else 48) + 32 * part)
        if layout == Q5_K:
            _pack_bits(codes, at, row, 4, out, begin + 16)


@compiled
def unpack_codes(layout: int, block: int, data: Any, begin: int, codes: Any) -> None:
    """The inverse of `pack_codes`: fills codes[:block]."""
    row = block // 8
    if layout in (Q2_K, Q3_K):
        for i in span(0, block):
            codes[i] = 0
        for half in range(2):
            _add_pairs(data, begin + (16 if layout == Q2_K else 32) + 32 * half, row, 0, codes, 128 * half)
        if layout == Q3_K:
            _add_bits(data, begin, row, 2, codes, 0)
    elif layout == Q6_K:
        for half in range(2):
            unpack_nibbles(data, begin + 64 * half, 2 * row, codes, 128 * half)
            _add_pairs(data, begin + 128 + 32 * half, row, 4, codes, 128 * half)
    else:
        for part in range(4):
            unpack_nibbles(data, begin + (16 if layout == Q4_K else 48) + 32 * part, row, codes, 64 * part)
        if layout == Q5_K:
            _add_bits(data, begin + 16, row, 4, codes, 0)


@compiled
def pack_scales(layout: int, scales: Any, minima: Any, out: Any, begin: int) -> None:
    """Writes a block's whole-number scales and minima, uint8 [16] each: Q3_K's plus 32, Q6_K's plus 128."""
    if layout == Q2_K:
        for i in range(16):
            out[begin + i] = scales[i] | np.uint8(minima[i] << np.uint8(4))
    elif layout == Q3_K:
        pack_nibbles(scales, 0, 8, out, begin + 96)
        _pack_pairs(scales, 0, 4, 4, out, begin + 104)
    elif layout == Q6_K:
        for i in range(16):
            out[begin + 192 + i] = scales[i] ^ np.uint8(128)
    else:
        at = begin + 4
        for i in range(4):
            out[at + i] = scales[i] | np.uint8((scales[4 + i] >> np.uint8(4)) << np.uint8(6))
            out[at + 4 + i] = minima[i] | np.uint8((minima[4 + i] >> np.uint8(4)) << np.uint8(6))
            out[at + 8 + i] = (scales[4 + i] & np.uint8(15)) | np.uint8(minima[4 + i] << np.uint8(4))


@compiled
def unpack_scales(layout: int, data: Any, begin: int, scales: Any, minima: Any) -> None:
    """The inverse of `pack_scales`."""
    low = np.uint8(15)
    if layout == Q2_K:
        for i in range(16):
            scales[i] = data[begin + i] & low
            minima[i] = data[begin + i] >> np.uint8(4)
    elif layout == Q3_K:
        unpack_nibbles(data, begin + 96, 8, scales, 0)
        _add_pairs(data, begin + 104, 4, 4, scales, 0)
    elif layout == Q6_K:
        for i in range(16):
            scales[i] = data[begin + 192 + i] ^ np.uint8(128)
    else:
        at = begin + 4
        for i in range(4):
            above = np.uint8((data[at + i] >> np.uint8(6)) << np.uint8(4))
            deeper = np.uint8((data[at + 4 + i] >> np.uint8(6)) << np.uint8(4))
            scales[i] = data[at + i] & np.uint8(63)
            minima[i] = data[at + 4 + i] & np.uint8(63)
            scales[4 + i] = (data[at + 8 + i] & low) | above
            minima[4 + i] = (data[at + 8 + i] >> np.uint8(4)) | deeper
