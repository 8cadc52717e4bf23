"""The legacy GGUF types in torch, as gguf-py's own quantizers write them; see `quant.kernels.blocks_legacy`."""

from __future__ import annotations

import torch
from torch import Tensor

from qtquant_app.quant.blocks.fit import number
from qtquant_app.quant.blocks.pack import Blocks


def plain(values: Tensor, lowest: int, top: int) -> Blocks:
    """float32 values [n, 32] as blocks; d and the base are infinite where float16 does not reach."""
    step, base = plain_step(values, lowest, top)
    inverse = torch.where(step != 0, 1 / step, 0.0)
    if lowest == -top:
        scaled = values * inverse[:, None]
        whole = scaled.abs().trunc()
        whole = whole + (2 * (scaled.abs() - whole)).trunc()
        codes = torch.where(scaled < 0, -whole, whole) + 128
    else:
        codes = ((values - base[:, None]) * inverse[:, None] + (0.5 - lowest)).trunc().clamp(max=top - lowest)
    codes = torch.where(inverse.isfinite()[:, None], codes, 128.0 if lowest == -top else 0.0)
    return Blocks(codes.to(torch.uint8), step.half(), base.half() if lowest == 0 else None, None, None)


def plain_step(values: Tensor, lowest: int, top: int) -> tuple[Tensor, Tensor]:
    """(step, base), float32 [n], before they are rounded."""
    if lowest == -top:
        return values.abs().amax(1) / number(top, values), torch.zeros_like(values[:, 0])
    if lowest == 0:
        low = values.amin(1)
        low = torch.where(low == 0, _first(values, values == 0), low)
        high = values.amax(1)
        return torch.where(high == low, 0.0, high - low) / number(top, values), low
    size = values.abs()
    return _first(values, size == size.amax(1, keepdim=True)) / number(lowest, values), torch.zeros_like(values[:, 0])


def _first(values: Tensor, there: Tensor) -> Tensor:
    """The first of each row's values that is `there`; its last where none is."""
    last = values.shape[1] - 1
    order = torch.arange(last + 1, device=values.device)
    at = torch.where(there, order, last).amin(1)
    return values.gather(1, at[:, None])[:, 0]
