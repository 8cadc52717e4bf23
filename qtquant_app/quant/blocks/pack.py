"""Codes and scales to the bytes of blocks and back, in torch. Layouts as in llama.cpp's ggml-common.h.

Codes are uint8 [n, block], not below zero; whole-number scales and minima uint8 [n, groups], Q3_K's scales plus 32, Q6_K's
plus 128.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Blocks:
    """What the bytes of n blocks hold."""

    codes: Tensor
    d: Tensor
    """float16 [n]."""
    dmin: Tensor | None
    """float16 [n]: the factor of the minima, or the base of a legacy type; None where symmetric."""
    scales: Tensor | None
    minima: Tensor | None


def pack(name: str, blocks: Blocks) -> Tensor:
    """The bytes uint8 [n, bytes of a block]."""
    codes, d = blocks.codes, _half_bytes(blocks.d)
    low = _half_bytes(blocks.dmin) if blocks.dmin is not None else d[:, :0]
    if name == "Q8_0":
        return torch.cat([d, codes ^ 128], 1)
    if name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        high = _bits(codes, 4, 1, 8).flatten(1) if name.startswith("Q5") else d[:, :0]
        return torch.cat([d, low, high, _nibbles(codes, 16)], 1)
    scales = _pack_scales(name, blocks)
    if name == "Q2_K":
        return torch.cat([scales, _pairs(codes, 0), d, low], 1)
    if name == "Q3_K":
        return torch.cat([_bits(codes, 2, 32, 8).flatten(1), _pairs(codes, 0), scales, d], 1)
    if name == "Q6_K":
        return torch.cat([_nibbles(codes, 64), _pairs(codes, 4), scales, d], 1)
    high = _bits(codes, 4, 32, 8).flatten(1) if name == "Q5_K" else d[:, :0]
    return torch.cat([d, low, scales, high, _nibbles(codes, 32)], 1)


def unpack(name: str, data: Tensor) -> Blocks:
    """The inverse of `pack`."""
    if name == "Q8_0":
        return Blocks(data[:, 2:] ^ 128, _half(data, 0), None, None, None)
    if name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1"):
        based, five = name.endswith("_1"), name.startswith("Q5")
        at = 4 if based else 2
        codes = _from_nibbles(data[:, -16:], 16)
        if five:
            codes = codes | _from_bits(data[:, at : at + 4].reshape(-1, 4, 1), 4)
        return Blocks(codes, _half(data, 0), _half(data, 2) if based else None, None, None)
    return _unpack_k(name, data)


def _unpack_k(name: str, data: Tensor) -> Blocks:
    if name == "Q2_K":
        codes, packed, d, dmin = _from_pairs(data[:, 16:80], 0), data[:, :16], _half(data, 80), _half(data, 82)
        return Blocks(codes, d, dmin, packed & 15, packed >> 4)
    if name == "Q3_K":
        codes = _from_pairs(data[:, 32:96], 0) | _from_bits(data[:, None, :32], 2)
        low, high = data[:, 96:104], data[:, 104:108]
        scales = torch.cat([low & 15, low >> 4], 1) | torch.cat(
            [((high >> shift) & 3) << 4 for shift in (0, 2, 4, 6)], 1
        )
        return Blocks(codes, _half(data, 108), None, scales, None)
    if name == "Q6_K":
        codes = _from_nibbles(data[:, :128], 64) | _from_pairs(data[:, 128:192], 4)
        return Blocks(codes, _half(data, 208), None, data[:, 192:208] ^ 128, None)
    first, second, third = data[:, 4:8], data[:, 8:12], data[:, 12:16]
    scales = torch.cat([first & 63, (third & 15) | (first >> 6) << 4], 1)
    minima = torch.cat([second & 63, (third >> 4) | (second >> 6) << 4], 1)
    codes = _from_nibbles(data[:, -128:], 32)
    if name == "Q5_K":
        codes = codes | _from_bits(data[:, None, 16:48], 4)
    return Blocks(codes, _half(data, 0), _half(data, 2), scales, minima)


def _pack_scales(name: str, blocks: Blocks) -> Tensor:
    scales, minima = blocks.scales, blocks.minima
    assert scales is not None
    if name == "Q6_K":
        return scales ^ 128
    if name == "Q3_K":
        parts = [((scales[:, 4 * part : 4 * part + 4] >> 4) & 3) << (2 * part) for part in range(4)]
        return torch.cat([(scales[:, :8] & 15) | scales[:, 8:] << 4, parts[0] | parts[1] | parts[2] | parts[3]], 1)
    assert minima is not None
    if name == "Q2_K":
        return scales | minima << 4
    low, high = [part[:, :4] | (part[:, 4:] >> 4) << 6 for part in (scales, minima)]
    return torch.cat([low, high, (scales[:, 4:] & 15) | minima[:, 4:] << 4], 1)


def _half_bytes(values: Tensor) -> Tensor:
    return values.unsqueeze(-1).contiguous().view(torch.uint8)


def _half(data: Tensor, at: int) -> Tensor:
    return data[:, at : at + 2].contiguous().view(torch.float16)[:, 0]


def _nibbles(codes: Tensor, stride: int) -> Tensor:
    """Byte l of each 2 * stride codes holds the low four bits of the codes l and l + stride."""
    parts = codes.view(len(codes), -1, 2, stride)
    return ((parts[:, :, 0] & 15) | parts[:, :, 1] << 4).flatten(1)


def _from_nibbles(data: Tensor, stride: int) -> Tensor:
    parts = data.reshape(len(data), -1, stride)
    return torch.stack([parts & 15, parts >> 4], 2).flatten(1)


def _pairs(codes: Tensor, shift: int) -> Tensor:
    """Byte l of each 128 codes holds two bits, from `shift` up, of the codes l, l + 32, l + 64, l + 96."""
    parts = (codes.view(len(codes), -1, 4, 32) >> shift) & 3
    return (parts[:, :, 0] | parts[:, :, 1] << 2 | parts[:, :, 2] << 4 | parts[:, :, 3] << 6).flatten(1)


def _from_pairs(data: Tensor, shift: int) -> Tensor:
    parts = data.reshape(len(data), -1, 32)
    return torch.stack([((parts >> right) & 3) << shift for right in (0, 2, 4, 6)], 2).flatten(1)


def _bits(codes: Tensor, shift: int, stride: int, count: int) -> Tensor:
    """Bit j of byte l of each `count` * stride codes is the bit at `shift` of the code l + j * stride; uint8 [n, parts, stride]."""
    parts = ((codes.view(len(codes), -1, count, stride) >> shift) & 1) << torch.arange(
        count, dtype=torch.uint8, device=codes.device
    ).view(count, 1)
    return parts.sum(2, dtype=torch.uint8)


def _from_bits(data: Tensor, shift: int) -> Tensor:
    """The inverse of `_bits` from uint8 [n, parts, stride]."""
    right = torch.arange(8, dtype=torch.uint8, device=data.device).view(8, 1)
    return (((data[:, :, None] >> right) & 1) << shift).flatten(1)
