"""In which arithmetic blocks are run while they are calibrated."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def computing(device: torch.device) -> AbstractContextManager[Any]:
    """Products of matrices in bfloat16 where the device is made for it, sums and what lies between in float32.

    Four times as fast on a processor with AVX-512 BF16; the inputs that layers are given are rounded no more than a runtime in
    bfloat16 rounds them.
    """
    import torch

    if device.type == "cpu" and not _cpu_has_bfloat16():
        return nullcontext()
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)


def as_floats(output: Any) -> Any:
    """What a block gave, its numbers in float32: what comes between blocks is not run in the arithmetic that blocks are."""
    import torch

    if isinstance(output, torch.Tensor):
        return output.float() if output.is_floating_point() else output
    if isinstance(output, tuple):
        return tuple(as_floats(part) for part in output)
    return output


def _cpu_has_bfloat16() -> bool:
    import torch

    asks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(ask()) for name in asks if (ask := getattr(torch.cpu, name, None)) is not None)
