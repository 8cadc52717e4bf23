"""Integer arithmetic of W8A8 layers: activations become int8 token by token, and products are summed as integers.

y = sum_k a_k * w_k, an exact int32, times the token's scale, times the row's scale, in float32. The token's scale is max|x| / 127,
as vLLM's dynamic per-token kernels have it.
"""

from __future__ import annotations

import torch
from torch.nn.functional import pad

_LEVELS = 127
_EXACT_COLUMNS = 1024
"""Sums of this many products of int8 (at most 127 * 128 each) stay below 2^24, so float32 adds them exactly in any order."""
_CUDA_ROWS, _CUDA_MULTIPLE = 32, 8
"""torch._int_mm on CUDA wants more than 16 rows, and the other sides in multiples of 8."""


def quantize_tokens(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """int8 codes [tokens, columns] and float32 scales [tokens, 1] of activations [tokens, columns]; zero rows get scale 1."""
    values = x.float()
    scale = values.abs().amax(dim=-1, keepdim=True) / _LEVELS
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (values / scale).round_().clamp_(-_LEVELS, _LEVELS).to(torch.int8), scale


def linear(x: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """x [tokens, columns] times int8 weights [rows, columns], with scales [rows, 1] or [1]: [tokens, rows] in x's dtype."""
    with torch.autocast(x.device.type, enabled=False):
        codes, token_scale = quantize_tokens(x)
        result = matmul(codes, weight).float() * token_scale * scale.float().reshape(1, -1)
        return (result if bias is None else result + bias.float()).to(x.dtype)


def matmul(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a [m, k] times the transpose of b [n, k], both int8, as exact int32 [m, n]."""
    return _on_tensor_cores(a, b) if a.is_cuda else _in_float_blocks(a, b)


def _on_tensor_cores(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    (m, k), n = a.shape, b.shape[0]
    more_k, more_n = -k % _CUDA_MULTIPLE, -n % _CUDA_MULTIPLE
    padded = pad(a, (0, more_k, 0, max(0, _CUDA_ROWS - m)))
    product: torch.Tensor = torch._int_mm(padded, pad(b, (0, more_k, 0, more_n)).t())
    return product[:m, :n]


def _in_float_blocks(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Through the float32 product of blocks of columns: exact, and far quicker than torch's int32 product on a CPU.

    CPUs without VNNI saturate inside their int8 product, so torch._int_mm is not exact there.
    """
    total = torch.zeros(a.shape[0], b.shape[0], dtype=torch.int32, device=a.device)
    for start in range(0, a.shape[1], _EXACT_COLUMNS):
        block = slice(start, start + _EXACT_COLUMNS)
        total += (a[:, block].float() @ b[:, block].float().t()).to(torch.int32)
    return total
