"""A linear layer whose weight stays packed: 2, 4 or 8 bits a weight with float activations, W8A8, or FP8 with inputs in either."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.runtime import fp8, int8
from qtquant_app.engine.runtime.decode import dequantize
from qtquant_app.formats.base import Stored
from qtquant_app.formats.qtquant import QtQuantFormat

TORCH_DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "U8": torch.uint8}
"""What the plain format stores, by its safetensors names."""

_CHUNK_WEIGHTS = 1 << 24
"""Weights that are in float at a time; a larger layer is worked off in chunks of rows."""


def stored_tensors(module: str, rows: int, columns: int, scheme: Scheme, scale_dtype: str) -> tuple[Stored, ...]:
    """The tensors that the plain format stores for the weight [rows, columns] of `module`."""
    return QtQuantFormat().stored(TensorInfo(f"{module}.weight", scale_dtype, (rows, columns), "", 0, 0), scheme)


class QuantizedLinear(nn.Module):
    """y = x W^T + b with W in the plain format: `weight_packed`, `weight_scale` and, where asymmetric, `weight_zero_point`.

    The float weight exists only inside `forward`, a chunk of rows at a time. Gradients reach x and the bias, never W.
    `dtype` is what `weight` and an unrelated `.to(dtype)` mean; `forward` computes in the dtype of its input. Scales keep
    the dtype they are stored in through any `.to(dtype)`: rounding them again would move whole groups of weights.
    """

    weight_packed: nn.Parameter
    weight_scale: nn.Parameter
    weight_zero_point: nn.Parameter | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        scheme: Scheme,
        *,
        bias: bool,
        scale_dtype: str,
        dtype: torch.dtype,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.scheme, self.dtype = scheme, dtype
        self.register_parameter("weight_zero_point", None)
        for stored in stored_tensors("", out_features, in_features, scheme, scale_dtype):
            empty = torch.empty(stored.shape, dtype=TORCH_DTYPES[stored.dtype], device=device)
            self.register_parameter(stored.name.removeprefix("."), nn.Parameter(empty, requires_grad=False))
        self.bias = nn.Parameter(torch.empty(out_features, dtype=dtype, device=device)) if bias else None

    @property
    def weight(self) -> torch.Tensor:
        """The dequantized weight, made anew at each access: for code that reaches past `forward`."""
        return self.dequantize(self.dtype)

    def dequantize(self, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """The weight [out_features, in_features] in `dtype`."""
        return self._rows(slice(0, self.out_features), dtype)

    def to_linear(self, dtype: torch.dtype | None = None) -> nn.Linear:
        """A float layer of the same weights, in `dtype` (this layer's own by default)."""
        chosen = dtype or self.dtype
        layer = nn.Linear(self.in_features, self.out_features, self.bias is not None, device="meta", dtype=chosen)
        layer.weight = nn.Parameter(self.dequantize(chosen), requires_grad=False)
        if self.bias is not None:
            layer.bias = nn.Parameter(self.bias.detach().to(chosen), requires_grad=False)
        return layer.train(self.training)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() and (x.requires_grad or (self.bias is not None and self.bias.requires_grad)):
            result: torch.Tensor = _Apply.apply(x, self.bias, self)  # type: ignore[no-untyped-call]
            return result
        return self._apply_to(x, self.bias)

    def extra_repr(self) -> str:
        shape = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{shape}, bias={self.bias is not None}, scheme={self.scheme.label}"

    def _apply_to(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        pieces = []
        if self.scheme.activations == "fp8":
            x = fp8.rounded_tokens(x, self.scheme.group_size)
        for rows in self._chunks():
            part = None if bias is None else bias[rows]
            pieces.append(self._integer(x, rows, part) if self._is_w8a8 else self._float(x, rows, part))
        return pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=-1)

    def _float(self, x: torch.Tensor, rows: slice, bias: torch.Tensor | None) -> torch.Tensor:
        return functional.linear(x, self._rows(rows, x.dtype), None if bias is None else bias.to(x.dtype))

    def _integer(self, x: torch.Tensor, rows: slice, bias: torch.Tensor | None) -> torch.Tensor:
        # A code is the weight's integer plus 128; flipping its top bit gives the integer as a signed byte.
        weight = (self.weight_packed[rows] ^ 0x80).view(torch.int8)
        tokens = x.reshape(-1, self.in_features)
        return int8.linear(tokens, weight, self._scale(rows), bias).reshape(*x.shape[:-1], -1)

    def _gradient(self, upstream: torch.Tensor) -> torch.Tensor:
        """The gradient with respect to x of an upstream gradient [..., out_features]; rounding of inputs counts as identity."""
        parts = (upstream[..., rows] @ self._rows(rows, upstream.dtype) for rows in self._chunks())
        total = next(parts)
        for part in parts:
            total = total + part
        return total

    def _chunks(self) -> Iterator[slice]:
        step = max(1, _CHUNK_WEIGHTS // self.in_features // self.scheme.row_block) * self.scheme.row_block
        return (slice(start, start + step) for start in range(0, self.out_features, step))

    def _rows(self, rows: slice, dtype: torch.dtype) -> torch.Tensor:
        zero = self.weight_zero_point
        shift = zero if zero is None or zero.dim() == 1 else zero[rows]
        return dequantize(self.weight_packed[rows], self._scale(rows), shift, self.scheme, self.in_features, dtype)

    def _scale(self, rows: slice) -> torch.Tensor:
        if self.weight_scale.dim() == 1:
            return self.weight_scale
        high = self.scheme.row_block
        return self.weight_scale[rows.start // high : -(-rows.stop // high)]

    @property
    def _is_w8a8(self) -> bool:
        return self.scheme.activations == "int8"

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> QuantizedLinear:
        scale = self.weight_scale

        def keeping_scales(tensor: torch.Tensor) -> torch.Tensor:
            moved = fn(tensor)
            return tensor.to(moved.device) if tensor is scale and moved.dtype != tensor.dtype else moved

        self.dtype = fn(torch.empty(0, dtype=self.dtype, device=scale.device)).dtype
        super()._apply(keeping_scales, recurse)  # type: ignore[no-untyped-call]
        return self


class _Apply(torch.autograd.Function):
    """The layer under autograd: the weight is dequantized again in backward, so that no graph keeps it alive."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, bias: torch.Tensor | None, layer: QuantizedLinear) -> torch.Tensor:
        ctx.layer, ctx.dtype = layer, x.dtype
        return layer._apply_to(x, bias)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, torch.Tensor | None, None]:
        gradient = upstream[0]
        wants_x, wants_bias, _ = ctx.needs_input_grad
        to_x = ctx.layer._gradient(gradient).to(ctx.dtype) if wants_x else None
        to_bias = gradient.flatten(0, -2).sum(0).to(ctx.layer.bias.dtype) if wants_bias else None
        return to_x, to_bias, None
