"""Floating-point schemes in torch: what `TorchBackend` does with them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods
from qtquant_app.quant.affine import DTYPES, grouped, ungrouped
from qtquant_app.quant.chunk import Fixed
from qtquant_app.quant.float_codes import best_scales, block_scales, encode, restore, scales, steps
from qtquant_app.quant.floats import FP8, NVFP4, code_of, rows_a_scale, tried, whole_divisor


def quantize(
    values: Tensor, dtype: str, scheme: Scheme, given: Tensor | None, whole: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """(codes uint8 [rows, columns], stored scales, restored float32 [rows, columns]) of float32 values [rows, columns].

    `given` is the scale of a whole tensor; `whole` the divisor of NVFP4's, 1 for any other.
    """
    code, columns = code_of(scheme), values.shape[1]
    parts = grouped(values, _group(scheme, columns))
    if scheme.strategy == "tensor":
        assert given is not None
        scale = given
    elif scheme.strategy == "block":
        scale = block_scales(values, scheme, dtype)
    else:
        factors = tried(scheme, methods.check(scheme).factors)
        scale = best_scales(parts, factors, code, DTYPES[dtype], whole)
    step = _by_row(steps(scale, code, whole), scheme, len(values))
    codes = encode(parts, step, code)
    return ungrouped(codes, columns), scale, ungrouped(restore(codes, step, code), columns)


def dequantize(codes: Tensor, scale: Tensor, scheme: Scheme, whole: Tensor) -> Tensor:
    """What codes uint8 [rows, columns] stand for under stored scales, float32."""
    rows, columns = codes.shape
    step = _by_row(steps(scale, code_of(scheme), whole), scheme, rows)
    return ungrouped(restore(grouped(codes, _group(scheme, columns)), step, code_of(scheme)), columns)


def fix(lo: float, hi: float, dtype: str, scheme: Scheme) -> tuple[Tensor | None, Fixed | None]:
    """(the one scale of FP8 [1, 1], None), or (None, the divisor of NVFP4's scales) for weights from `lo` to `hi`."""
    size = max(-lo, hi, 0.0)
    if code_of(scheme) is NVFP4:
        divisor = np.array([[whole_divisor(size)]], np.float32)
        return None, Fixed(np.array([[1]], np.uint8), None, divisor)
    largest = torch.tensor([[size]], dtype=torch.float32)
    return scales(largest, 1.0, FP8, DTYPES[dtype], torch.ones(())), None


def _by_row(step: Tensor, scheme: Scheme, rows: int) -> Tensor:
    """Steps [rows, groups], whatever the rows that share one; [1, 1] for a whole tensor."""
    if scheme.strategy == "tensor":
        return step
    return step.repeat_interleave(rows_a_scale(scheme, rows, len(step)), 0)[:rows]


def _group(scheme: Scheme, columns: int) -> int:
    return columns if scheme.group_size is None else min(scheme.group_size, columns)
