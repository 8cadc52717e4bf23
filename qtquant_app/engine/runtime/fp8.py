"""Activations in FP8 E4M3, rounded as they come: each token's largest number becomes the largest that FP8 has.

As compressed-tensors defines dynamic quantization of type float with 8 bits (`strategy` "token", or "group" beside weights in
square blocks): scale = max|x| / 448, x' = scale * fp8(x / scale), products in the activations' own dtype.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad


def quantize_tokens(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """FP8 codes [..., columns] and float32 scales [..., 1] of activations [..., columns]. Zeros have the smallest normal scale."""
    values = x.float()
    largest = torch.finfo(torch.float8_e4m3fn).max
    scale = (values.abs().amax(-1, keepdim=True) / largest).clamp_min(torch.finfo(torch.float32).tiny)
    return (values / scale).clamp(-largest, largest).to(torch.float8_e4m3fn), scale


def rounded_tokens(x: torch.Tensor, columns: int | None = None) -> torch.Tensor:
    """What a kernel multiplies in the place of `x` [..., n], in its dtype. A scale serves `columns` columns of a token, or all of
    them."""
    size = x.shape[-1]
    width = columns or size
    parts = pad(x, (0, -size % width)).reshape(*x.shape[:-1], -1, width)
    codes, scale = quantize_tokens(parts)
    return (codes.float() * scale).flatten(-2)[..., :size].to(x.dtype)
