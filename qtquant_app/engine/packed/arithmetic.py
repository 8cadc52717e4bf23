"""What layouts share: codes out of words, scales of any dtype as float32, and w = s (u - z), rounded once at the end."""

from __future__ import annotations

from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.matrix import WORKED
from qtquant_app.quant.chunk import RAW_TYPES, as_float32
from qtquant_app.quant.stored import worked

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]

WORD_BITS = 32


def floats(data: Bytes, dtype: str) -> Floats:
    """Numbers of `dtype` that lie in `data`, flat, as float32 of their own: exact but for F64, I32 and wider."""
    if dtype in RAW_TYPES:
        return as_float32(data.view(RAW_TYPES[dtype]).reshape(1, -1), dtype).reshape(-1).astype(np.float32)
    return as_float32(worked(data, dtype).reshape(1, -1), WORKED[dtype]).reshape(-1).astype(np.float32)


def dense(rows: Bytes, bits: int, columns: int) -> Bytes:
    """Codes uint8 [rows, columns] of a dense little-endian bit stream a row; `rows` is uint8 [rows, at least its bytes]."""
    if bits == 8:
        return rows[:, :columns]
    if bits in (1, 2, 4):
        shifts = np.arange(0, 8, bits, dtype=np.uint8)
        parts = (rows[:, : -(-columns * bits // 8), None] >> shifts) & np.uint8((1 << bits) - 1)
        found: Bytes = parts.reshape(len(rows), -1)[:, :columns]
        return found
    blocks = -(-columns // 8)
    room = np.zeros((len(rows), blocks, 8), np.uint8)  # eight codes fill `bits` bytes, read as one 64-bit word
    filled = np.zeros((len(rows), blocks * bits), np.uint8)
    used = min(rows.shape[1], blocks * bits)
    filled[:, :used] = rows[:, :used]
    room[:, :, :bits] = filled.reshape(len(rows), blocks, bits)
    words = room.view("<u8")
    codes = (words >> (np.arange(8, dtype=np.uint64) * np.uint64(bits))) & np.uint64((1 << bits) - 1)
    every: Bytes = codes.astype(np.uint8).reshape(len(rows), -1)[:, :columns]
    return every


def block_before(number: int, bits: int) -> tuple[int, int]:
    """(word, code) at or before code `number` of a dense stream where both a word and a code begin."""
    words = bits // gcd(bits, WORD_BITS)
    codes = words * WORD_BITS // bits
    return number // codes * words, number // codes * codes


def padded(rows: Bytes, bits: int, columns: int) -> Bytes:
    """Codes uint8 [rows, columns] of 32-bit words that hold whole codes alone: floor(32 / bits) each, lowest first."""
    words = rows.view("<u4")
    shifts = np.arange(WORD_BITS // bits, dtype=np.uint32) * np.uint32(bits)
    codes = (words[:, :, None] >> shifts) & np.uint32((1 << bits) - 1)
    every: Bytes = codes.astype(np.uint8).reshape(len(rows), -1)[:, :columns]
    return every


def affine(
    codes: NDArray[Any], scale: Floats, zero: Floats | float, size: int | None, index: NDArray[np.int64] | None = None
) -> Floats:
    """s (u - z) in float32 for codes [rows, columns], scales and zero points [rows, groups].

    A group is `size` columns, the last of a row may be shorter; `index` names the group of each column where they are not in order.
    """
    values: Floats = codes.astype(np.float32)
    rows, columns = values.shape
    if index is None and (size is None or columns % size == 0):
        parts = values.reshape(rows, scale.shape[1], columns // scale.shape[1])
        parts -= zero if isinstance(zero, float) else zero[:, :, None]
        parts *= scale[:, :, None]
        return values
    values -= zero if isinstance(zero, float) else spread(zero, size, columns, index)
    values *= spread(scale, size, columns, index)
    return values


def spread(values: Floats, size: int | None, columns: int, index: NDArray[np.int64] | None = None) -> Floats:
    """[rows, groups] as [rows, columns]: each column gets what belongs to its group."""
    if index is not None:
        return values[:, index]
    return np.repeat(values, size or columns, axis=1)[:, :columns]


def rounded_into(values: Floats, dtype: str, out: NDArray[Any]) -> None:
    """Writes float32 `values` into `out`, of the raw type of `dtype`, each rounded once to nearest even."""
    if dtype != "BF16":
        with np.errstate(over="ignore"):  # beyond float16 it is infinite, and refused as such
            out[...] = values
        return
    bits = values.view(np.uint32)
    out[...] = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    missing = np.isnan(values)
    if missing.any():
        out[missing] = 0x7FC0
