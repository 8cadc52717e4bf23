"""Floating-point schemes on the CPU: what `CpuBackend` does with them."""

from __future__ import annotations

from math import lcm

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods
from qtquant_app.quant.chunk import (
    RAW_TYPES,
    Fixed,
    QuantizedChunk,
    Raw,
    RowErrors,
    bits_of,
    checked,
    checked_chunk,
    first_non_finite,
    row_bytes,
)
from qtquant_app.quant.floats import FP8, NVFP4, code_of, rows_a_scale, scale_shape, tried, whole_divisor
from qtquant_app.quant.kernels import floats, floats_rows
from qtquant_app.quant.kernels.fused import DONE, Scratch
from qtquant_app.quant.kernels.packing import BLOCK
from qtquant_app.quant.kernels.source import KINDS, flat

TILE = 2048
"""Columns worked on at once, roughly, as in `cpu`."""


def quantize(raw: Raw, dtype: str, scheme: Scheme, align: int, fixed: Fixed | None) -> QuantizedChunk:
    """As `Backend.quantize`, of a floating-point scheme."""
    rows, columns = checked(raw, dtype).shape
    code, factors = code_of(scheme), np.array(tried(scheme, methods.check(scheme).factors))
    if scheme.needs_extremes and fixed is None:
        fixed = fix(*_extremes(raw, dtype), dtype, scheme)
    scale, whole = _parameters(raw, dtype, scheme, fixed)
    if scheme.strategy in ("tensor", "block"):
        factors = factors[:0]
    packed = np.empty((rows, row_bytes(columns, scheme.bits, align)), np.uint8)
    sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
    group, tile = _tiling(scheme, columns)
    status, row = floats_rows.quantize_rows(
        flat(raw), columns, KINDS[dtype], code.number, group, tile, scheme.row_block, factors, _divisor(whole),
        packed.reshape(-1), packed.shape[1], _bits(scale).reshape(-1), sums.reshape(-1), peaks, Scratch.of(tile, group),
    )  # fmt: skip
    if status != DONE:
        raise first_non_finite(raw, dtype, row)
    return QuantizedChunk(packed, scale, None, RowErrors(sums[0], sums[1], sums[2], peaks), whole)


def fix(lo: float, hi: float, dtype: str, scheme: Scheme) -> Fixed:
    """As `Backend.fix`: the one scale of FP8, or the divisor of all scales of NVFP4."""
    size = np.float32(max(-lo, hi, 0.0))
    if code_of(scheme) is NVFP4:
        return Fixed(np.array([[1]], np.uint8), None, np.array([[whole_divisor(float(size))]], np.float32))
    bits, _ = floats.scale_of(size.view(np.uint32), 1.0, FP8.number, KINDS[dtype], np.float32(1))
    return Fixed(np.array([[bits]], np.uint32 if dtype == "F32" else np.uint16).view(RAW_TYPES[dtype]), None)


def compare(raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
    """As `Backend.compare`."""
    rows, columns = checked(raw, dtype).shape
    checked_chunk(chunk, dtype, scheme, columns, rows)
    sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
    group, tile = _tiling(scheme, columns)
    status, row = floats_rows.compare_rows(
        flat(raw), columns, KINDS[dtype], code_of(scheme).number, group, tile, _down(chunk, scheme), _divisor(chunk.whole),
        flat(chunk.packed), chunk.packed.shape[1], flat(chunk.scale), sums.reshape(-1), peaks, Scratch.of(tile, group),
    )  # fmt: skip
    if status != DONE:
        raise first_non_finite(raw, dtype, row)
    return RowErrors(sums[0], sums[1], sums[2], peaks)


def dequantize(chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
    """As `Backend.dequantize`."""
    out = np.empty((len(checked_chunk(chunk, dtype, scheme, columns).packed), columns), np.float32)
    group, tile = _tiling(scheme, columns)
    floats_rows.dequantize_rows(
        columns, KINDS[dtype], code_of(scheme).number, group, tile, _down(chunk, scheme), _divisor(chunk.whole),
        flat(chunk.packed), chunk.packed.shape[1], flat(chunk.scale), out.reshape(-1), Scratch.of(tile, group),
    )  # fmt: skip
    return out


def _parameters(raw: Raw, dtype: str, scheme: Scheme, fixed: Fixed | None) -> tuple[Raw, NDArray[np.float32] | None]:
    """(scales, to be filled in where neither given nor those of square blocks; NVFP4's divisor)."""
    rows, columns = raw.shape
    if scheme.strategy == "tensor":
        assert fixed is not None
        return fixed.scale, None
    code = code_of(scheme)
    scale = np.empty(scale_shape(scheme, rows, columns), np.uint8 if code.scale_dtype else raw.dtype)
    if scheme.strategy == "block":
        group = min(scheme.group_size or columns, columns)
        sizes, values = np.empty(scale.shape[1], np.uint32), np.empty(columns, np.float32)
        status, row = floats_rows.block_scales(
            flat(raw), columns, KINDS[dtype], code.number, group, scheme.row_block, np.float32(1),
            _bits(scale).reshape(-1), sizes, values,
        )  # fmt: skip
        if status != DONE:
            raise first_non_finite(raw, dtype, row)
    return scale, None if fixed is None else fixed.whole


def _extremes(raw: Raw, dtype: str) -> tuple[float, float]:
    from qtquant_app.quant.kernels.cpu import CpuBackend

    return CpuBackend().extremes(raw, dtype)


def _tiling(scheme: Scheme, columns: int) -> tuple[int, int]:
    """(columns of a group, columns of a tile); a channel is one group, and so one tile."""
    if scheme.strategy == "channel":
        return columns, columns
    if scheme.group_size is None:
        return TILE, TILE
    group = min(scheme.group_size, columns)
    step = lcm(group, BLOCK)
    return group, min(step * max(1, TILE // step), columns)


def _down(chunk: QuantizedChunk, scheme: Scheme) -> int:
    return 1 if scheme.strategy == "tensor" else rows_a_scale(scheme, len(chunk.packed), len(chunk.scale))


def _divisor(whole: NDArray[np.float32] | None) -> np.float32:
    return np.float32(1) if whole is None else np.float32(whole[0, 0])


def _bits(scale: Raw) -> NDArray[np.generic]:
    return scale if scale.dtype == np.uint8 else bits_of(scale)
