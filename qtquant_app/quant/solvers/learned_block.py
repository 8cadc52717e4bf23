"""A block under trial: its linear layers get weights that are learned, and its output is compared with the float block's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

_FLOOR = 0.01
"""A token's mean square counts as at least this share of the median one: a token of zeros must not weigh without bound."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The device that a block runs on and the dtype it multiplies in; hidden states, norms and losses are float32."""

    device: torch.device
    multiply: torch.dtype

    @classmethod
    def of(cls, device: torch.device, multiply: torch.dtype | None) -> Arithmetic:
        """`multiply`, or else bfloat16 where the device has instructions for it, and float32 elsewhere."""
        if multiply is None:
            multiply = torch.bfloat16 if _has_bfloat16(device) else torch.float32
        return cls(device, multiply)

    def run(self, block: nn.Module, call: tuple[tuple[Any, ...], dict[str, Any]]) -> Tensor:
        """The block's hidden state for (args, kwargs), of the dtype that the block gives."""
        reduced = self.multiply != torch.float32
        with torch.autocast(self.device.type, self.multiply if reduced else None, enabled=reduced):
            return hidden_state(block(*call[0], **call[1]))


def hidden_state(output: object) -> Tensor:
    """A block's hidden state: its output, or the first of its outputs. Raises TypeError where that is no tensor."""
    first = next(iter(output.values()), None) if isinstance(output, Mapping) else output
    if isinstance(first, tuple | list) and first:
        first = first[0]
    if not isinstance(first, Tensor):
        raise TypeError(f"a block gave {type(output).__name__}, and no hidden state in it")
    return first


@contextmanager
def replaced(block: nn.Module, linears: Mapping[str, nn.Linear], dtype: torch.dtype) -> Iterator[dict[str, Tensor]]:
    """Gives the linear layers weights of `dtype` to be written, by name, which alone take gradients; at the end all is as before.

    The block's own weights are kept, never written.
    """
    wanted = [(parameter, parameter.requires_grad) for parameter in block.parameters()]
    own = {name: linear.weight for name, linear in linears.items()}
    training = block.training
    try:
        block.eval().requires_grad_(False)
        for linear in linears.values():
            linear.weight = nn.Parameter(linear.weight.detach().to(dtype, copy=True))
        yield {name: linear.weight for name, linear in linears.items()}
    finally:
        for name, linear in linears.items():
            linear.weight = own[name]
        for parameter, flag in wanted:
            parameter.requires_grad_(flag)
        block.train(training)


def loss_and_gradient(output: Tensor, target: Tensor, sensitivity: Tensor | None = None) -> tuple[float, Tensor]:
    """The loss of output [..., n] against target [..., n], and its gradient with respect to the output, in the output's dtype.

    The loss is the mean over tokens of |e|^2 / |t|^2, where e = output - target and t = target: what follows a block normalizes its
    hidden state, so that errors count relative to its size. With a `sensitivity`, float32 [n] or [n, n], |e|^2 is e S e^T.
    """
    wanted = target.float()
    error = output.detach().float() - wanted
    size = wanted.square().sum(-1, keepdim=True)
    size = size.clamp(min=float(size.median()) * _FLOOR + torch.finfo(torch.float32).tiny)
    pulled = error if sensitivity is None else error * sensitivity if sensitivity.dim() == 1 else error @ sensitivity
    pulled = pulled / (size * (size.numel()))
    return float((error * pulled).sum()), (2 * pulled).to(output.dtype)


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return device.type == "xpu"
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
