"""Floating-point codes in torch: the reference for `quant.kernels.floats`, and what runs on a GPU.

Each step is one rounding in float32 or float64, in the order that the kernels follow bit for bit. Scales are chosen before any
code, rounded to what stores them: a reader multiplies with the stored scale.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.affine import DTYPES, grouped
from qtquant_app.quant.floats import FP8, NVFP4, FloatCode, code_of, numbers
from qtquant_app.quant.search import lane_sum

_BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}


def encode(values: Tensor, step: Tensor, code: FloatCode) -> Tensor:
    """Codes uint8 of float32 values [..., n] under float32 steps [...]: the nearest, ties to even, no further than the last."""
    scaled = (values / step[..., None]).clamp(-code.top, code.top)
    if code.bits == 8:
        return scaled.to(torch.float8_e4m3fn).view(torch.uint8)
    size = scaled.abs()
    found = (size / 2).round() + 4
    for end, steps, first in ((4, 1, 2), (2, 2, 0)):  # steps to 1 of an octave, and the code of its multiple 0
        found = torch.where(size < end, (size * steps).round() + first, found)
    return (found + 8 * scaled.signbit()).to(torch.uint8)


def restore(codes: Tensor, step: Tensor, code: FloatCode) -> Tensor:
    """What codes uint8 [..., n] stand for under float32 steps [...], float32."""
    return torch.from_numpy(numbers(code)).to(codes.device)[codes.long()] * step[..., None]


def scales(largest: Tensor, factor: float, code: FloatCode, dtype: torch.dtype, whole: Tensor) -> Tensor:
    """Scales as they are stored for groups whose largest |w| is `largest` float32, their range times `factor`.

    In `dtype`, or uint8 codes of E4M3 or E8M0. A group of zeros has the scale 1; a scale that would round to zero is the smallest.
    """
    span, empty = largest.double() * factor, largest == 0
    if code is FP8:
        scale = (span / FP8.top).float().to(dtype)
        smallest = torch.ones((), dtype=_BITS[dtype], device=scale.device).view(dtype)
        return torch.where(empty, torch.ones_like(scale), torch.where(scale == 0, smallest, scale))
    if code is NVFP4:
        wanted = (span / NVFP4.top * whole.double()).float().clamp(max=FP8.top)
        found = wanted.to(torch.float8_e4m3fn).view(torch.uint8).clamp(min=1)
        return torch.where(empty, 0x38, found)
    # As compressed-tensors' `round_to_power_2`: up from 1.75 of a power of two on.
    exponent = ((span.float().view(torch.int32) + 0x200000) >> 23) - 2
    return torch.where(empty, 127, exponent.clamp(0, 254)).to(torch.uint8)


def steps(scale: Tensor, code: FloatCode, whole: Tensor) -> Tensor:
    """What codes are multiplied by under stored scales, float32 of the same shape."""
    if code is FP8:
        return scale.float()
    if code is NVFP4:
        return scale.view(torch.float8_e4m3fn).float() / whole
    return (scale.int() << 23).clamp(min=0x400000).view(torch.float32)


def best_scales(parts: Tensor, factors: Sequence[float], code: FloatCode, dtype: torch.dtype, whole: Tensor) -> Tensor:
    """Stored scales [rows, groups] for float32 parts [rows, groups, size], each by the first of `factors` with the least error."""
    largest = parts.abs().amax(-1)
    scale = scales(largest, factors[0], code, dtype, whole)
    if len(factors) == 1:
        return scale
    best = _error(parts, scale, code, whole)
    for factor in factors[1:]:
        trial = scales(largest, factor, code, dtype, whole)
        error = _error(parts, trial, code, whole)
        scale, best = torch.where(error < best, trial, scale), torch.where(error < best, error, best)
    return scale


def _error(parts: Tensor, scale: Tensor, code: FloatCode, whole: Tensor) -> Tensor:
    step = steps(scale, code, whole)
    error = (parts - restore(encode(parts, step, code), step, code)).double()
    return lane_sum(error * error)


def block_scales(values: Tensor, scheme: Scheme, dtype: str) -> Tensor:
    """Stored scales [row blocks, column blocks] of float32 values [rows, columns]; the last blocks may be smaller."""
    size = scheme.row_block
    down = torch.nn.functional.pad(values.abs(), (0, 0, 0, -len(values) % size))
    largest = grouped(down, size).amax(-1).reshape(len(down) // size, size, -1).amax(1)
    return scales(largest, 1.0, code_of(scheme), DTYPES[dtype], torch.ones(()))
