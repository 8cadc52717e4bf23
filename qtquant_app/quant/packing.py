"""Codes to bytes and back in torch: the dense little-endian bit stream, code k of a row at bits [k*b, k*b + b).

As 32-bit words it is the layout of compressed-tensors (from 0.18 on), GPTQ (transposed) and MLX; as bytes of 2, 4 or 8
bits it is plain uint8 packing, the lowest code first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from qtquant_app.quant.affine import grouped, ungrouped
from qtquant_app.quant.chunk import row_bytes

PLAIN_WIDTHS = (2, 4, 8)
"""The widths at which no code crosses a byte."""


def pack_bits(codes: Tensor, bits: int, align: int = 1) -> Tensor:
    """Packs codes uint8 [rows, columns], below 2^bits, into uint8 [rows, row bytes]; unused bits are zero.

    A row's bytes are filled up to a multiple of `align`. Raises ValueError where a code needs more than `bits` bits.
    """
    _check_width(bits)
    if codes.numel() and int(codes.max()) >> bits:
        raise ValueError(f"code {int(codes.max())} needs more than {bits} bits")
    rows, columns = codes.shape
    words = (grouped(codes, 8).long() << _places(8, bits, codes)).sum(-1)
    stream = ((words[..., None] >> _places(bits, 8, codes)) & 0xFF).flatten(1)
    packed = torch.zeros((rows, row_bytes(columns, bits, align)), dtype=torch.uint8, device=codes.device)
    used = row_bytes(columns, bits, 1)
    packed[:, :used] = stream[:, :used]
    return packed


def unpack_bits(packed: Tensor, bits: int, columns: int) -> Tensor:
    """The first `columns` codes, uint8 [rows, columns], of packed uint8 [rows, row bytes]; the inverse of pack_bits."""
    _check_width(bits)
    needed = row_bytes(columns, bits, 1)
    if packed.shape[1] < needed:
        raise ValueError(f"{packed.shape[1]} bytes do not hold {columns} codes of {bits} bits")
    words = (grouped(packed[:, :needed], bits).long() << _places(bits, 8, packed)).sum(-1)
    codes = (words[..., None] >> _places(8, bits, packed)) & ((1 << bits) - 1)
    return ungrouped(codes.to(torch.uint8), columns)


def pack_words(codes: Tensor, bits: int) -> Tensor:
    """As `pack_bits`, as int32 words [rows, ceil(columns * bits / 32)]."""
    return pack_bits(codes, bits, align=4).view(torch.int32)


def unpack_words(words: Tensor, bits: int, columns: int) -> Tensor:
    """The inverse of `pack_words`."""
    return unpack_bits(words.contiguous().view(torch.uint8), bits, columns)


def pack_uint8(codes: Tensor, bits: int) -> Tensor:
    """Packs codes uint8 [..., n] of 2, 4 or 8 bits into bytes [..., ceil(n * bits / 8)]: 1, 0, 3, 2 become 177."""
    _check_plain(bits)
    packed = pack_bits(codes.reshape(-1, codes.shape[-1]), bits)
    return packed.reshape(*codes.shape[:-1], -1)


def unpack_uint8(packed: Tensor, bits: int, count: int) -> Tensor:
    """The first `count` codes of 2, 4 or 8 bits of packed bytes [..., m], uint8 [..., count]."""
    _check_plain(bits)
    codes = unpack_bits(packed.reshape(-1, packed.shape[-1]), bits, count)
    return codes.reshape(*packed.shape[:-1], count)


def _places(count: int, step: int, like: Tensor) -> Tensor:
    return torch.arange(count, device=like.device) * step


def _check_width(bits: int) -> None:
    if not 2 <= bits <= 8:
        raise ValueError(f"{bits} bits are outside 2 to 8")


def _check_plain(bits: int) -> None:
    if bits not in PLAIN_WIDTHS:
        raise ValueError(f"uint8 packing takes 2, 4 or 8 bits, not {bits}")
