"""Integer affine quantization in torch: the reference, and what runs on a GPU. w' = s * (u - z), u in [0, 2^b - 1].

Each step is one rounding in float32 or float64, in the order that `quant.kernels.affine` follows bit for bit. The range
of a group includes zero. Scales as in compressed-tensors (`compute_dynamic_scales_and_zp`), rounded to the dtype that
stores them before any code is computed: a reader multiplies with the stored scale.
"""

from __future__ import annotations

import torch
from torch import Tensor

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""torch's name for each dtype tag."""

_BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}


def grouped(values: Tensor, size: int) -> Tensor:
    """[rows, columns] as [rows, groups, size]; the last group is filled up with zeros."""
    rows, columns = values.shape
    groups = -(-columns // size)
    return torch.nn.functional.pad(values, (0, groups * size - columns)).reshape(rows, groups, size)


def ungrouped(parts: Tensor, columns: int) -> Tensor:
    """The inverse of `grouped`: [rows, groups, size] as [rows, columns], contiguous."""
    return parts.flatten(1)[:, :columns].contiguous()


def parameters(
    lo: Tensor, hi: Tensor, factor: float, bits: int, symmetric: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """(scale in `dtype`, zero point int32) for groups from `lo` to `hi` (float32, any shape), their range times `factor`.

    A group of zeros has the scale 1; a scale that would round to zero is the smallest of `dtype`. It is infinite where
    `dtype` does not reach.
    """
    top = (1 << bits) - 1
    low, high = lo.double().clamp(max=0) * factor, hi.double().clamp(min=0) * factor
    span = torch.maximum(-low, high) / (top / 2) if symmetric else (high - low) / top
    scale = span.float().to(dtype)
    smallest = torch.ones((), dtype=_BITS[dtype], device=scale.device).view(dtype)
    scale = torch.where(scale == 0, smallest, scale)
    empty = (lo == 0) & (hi == 0)
    scale = torch.where(empty, torch.ones_like(scale), scale)
    if symmetric:
        return scale, torch.full_like(lo, (top + 1) // 2, dtype=torch.int32)
    zero = (-low / scale.double()).round().clamp(0, top).to(torch.int32)
    return scale, torch.where(empty, torch.zeros_like(zero), zero)


def encode(values: Tensor, scale: Tensor, zero: Tensor, bits: int) -> Tensor:
    """Codes uint8 of float32 values [..., n] under a stored scale and a zero point [...]: the nearest, ties to even."""
    steps = (values / scale.float()[..., None]).round()
    return (steps + zero[..., None]).clamp(0, (1 << bits) - 1).to(torch.uint8)


def restore(codes: Tensor, scale: Tensor, zero: Tensor) -> Tensor:
    """What codes uint8 [..., n] stand for, float32, under a stored scale and a zero point [...]."""
    return (codes.float() - zero[..., None]) * scale.float()[..., None]
