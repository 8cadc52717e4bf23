"""The CPU backend: one fused pass per chunk, on the calling thread, without the GIL. Loads neither torch nor files."""

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
    ScaleOverflow,
    bits_of,
    checked,
    checked_chunk,
    first_non_finite,
    row_bytes,
)
from qtquant_app.quant.floats import is_float
from qtquant_app.quant.kernels import blocks_codec, floats_cpu, fused, offsets_cpu
from qtquant_app.quant.kernels.affine import parameters
from qtquant_app.quant.kernels.fused import Scratch
from qtquant_app.quant.kernels.packing import BLOCK
from qtquant_app.quant.kernels.ranges import Ranges
from qtquant_app.quant.kernels.source import KINDS, flat

TILE = 2048
"""Columns worked on at once, roughly: weights, restored weights and codes of a tile fit the first-level cache."""


class CpuBackend:
    """Quantizes chunks with compiled kernels. Holds no state: threads may share one, each with its own chunks."""

    name = "cpu"

    def quantize(
        self,
        raw: Raw,
        dtype: str,
        scheme: Scheme,
        align: int,
        fixed: Fixed | None = None,
        importance: NDArray[np.float32] | None = None,
    ) -> QuantizedChunk:
        """As `Backend.quantize`."""
        if scheme.layout is not None:
            return blocks_codec.quantize(raw, dtype, scheme, importance)
        if is_float(scheme):
            return floats_cpu.quantize(raw, dtype, scheme, align, fixed)
        if scheme.offset == "float":
            return offsets_cpu.quantize(raw, dtype, scheme, align, importance)
        method = methods.check(scheme)
        factors = np.array(method.factors)
        rows, columns = checked(raw, dtype).shape
        if scheme.strategy == "tensor":
            fixed = fixed or self.fix(*self.extremes(raw, dtype), dtype, scheme)
            scale, zero = fixed.scale, _zeros(fixed.zero, fixed.scale, scheme)
            factors = factors[:0]
        else:
            scale = np.empty((rows, scheme.groups(columns)), raw.dtype)
            zero = np.empty(scale.shape, np.uint8)
        packed = np.empty((rows, row_bytes(columns, scheme.bits, align)), np.uint8)
        sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
        group, tile = _tiling(scheme, columns)
        status, row = fused.quantize_rows(
            flat(raw), columns, KINDS[dtype], scheme.bits, scheme.symmetric, group, tile,
            Ranges.of(factors, importance, columns, group, method.shrinks),
            packed.reshape(-1), packed.shape[1], bits_of(scale).reshape(-1), zero.reshape(-1),
            sums.reshape(-1), peaks, Scratch.of(tile, group),
        )  # fmt: skip
        _refuse(status, row, raw, dtype)
        errors = RowErrors(sums[0], sums[1], sums[2], peaks)
        return QuantizedChunk(packed, scale, None if scheme.symmetric else zero, errors)

    def extremes(self, raw: Raw, dtype: str) -> tuple[float, float]:
        """As `Backend.extremes`."""
        status, row, lo, hi = fused.extremes_rows(
            flat(checked(raw, dtype)), raw.shape[1], KINDS[dtype], np.empty(raw.shape[1], np.float32)
        )
        _refuse(status, row, raw, dtype)
        return float(lo), float(hi)

    def fix(self, lo: float, hi: float, dtype: str, scheme: Scheme) -> Fixed:
        """As `Backend.fix`."""
        if is_float(scheme):
            return floats_cpu.fix(lo, hi, dtype, scheme)
        bits, scale, zero = parameters(
            np.float32(lo), np.float32(hi), 1.0, scheme.levels - 1, scheme.symmetric, KINDS[dtype]
        )
        if not np.isfinite(scale):
            raise ScaleOverflow(0)
        width = np.uint32 if dtype == "F32" else np.uint16
        stored = np.array([[bits]], width).view(RAW_TYPES[dtype])
        return Fixed(stored, None if scheme.symmetric else np.array([[zero]], np.uint8))

    def compare(self, raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
        """As `Backend.compare`."""
        if scheme.layout is not None:
            return blocks_codec.compare(raw, dtype, checked_chunk(chunk, dtype, scheme, raw.shape[1], len(raw)), scheme)
        if is_float(scheme):
            return floats_cpu.compare(raw, dtype, chunk, scheme)
        if scheme.offset == "float":
            return offsets_cpu.compare(raw, dtype, chunk, scheme)
        rows, columns = checked(raw, dtype).shape
        checked_chunk(chunk, dtype, scheme, columns, rows)
        sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
        group, tile = _tiling(scheme, columns)
        zero = _zeros(chunk.zero, chunk.scale, scheme)
        status, row = fused.compare_rows(
            flat(raw), columns, KINDS[dtype], scheme.bits, group, tile, flat(chunk.packed), chunk.packed.shape[1],
            flat(chunk.scale), flat(zero), sums.reshape(-1), peaks, Scratch.of(tile, group),
        )  # fmt: skip
        _refuse(status, row, raw, dtype)
        return RowErrors(sums[0], sums[1], sums[2], peaks)

    def dequantize(self, chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
        """As `Backend.dequantize`."""
        if scheme.layout is not None:
            return blocks_codec.dequantize(checked_chunk(chunk, dtype, scheme, columns).packed, scheme.layout, columns)
        if is_float(scheme):
            return floats_cpu.dequantize(chunk, dtype, scheme, columns)
        if scheme.offset == "float":
            return offsets_cpu.dequantize(chunk, dtype, scheme, columns)
        out = np.empty((len(checked_chunk(chunk, dtype, scheme, columns).packed), columns), np.float32)
        group, tile = _tiling(scheme, columns)
        zero = _zeros(chunk.zero, chunk.scale, scheme)
        fused.dequantize_rows(
            columns, KINDS[dtype], scheme.bits, group, tile, flat(chunk.packed), chunk.packed.shape[1],
            flat(chunk.scale), flat(zero), out.reshape(-1), Scratch.of(tile, group),
        )  # fmt: skip
        return out


def _tiling(scheme: Scheme, columns: int) -> tuple[int, int]:
    """(columns of a group, columns of a tile); a channel is one group, and so one tile."""
    if scheme.strategy == "channel":
        return columns, columns
    if scheme.group_size is None:
        return TILE, TILE
    group = min(scheme.group_size, columns)
    step = lcm(group, BLOCK)
    return group, min(step * max(1, TILE // step), columns)


def _zeros(zero: NDArray[np.uint8] | None, scale: Raw, scheme: Scheme) -> NDArray[np.uint8]:
    return np.full(scale.shape, scheme.levels // 2, np.uint8) if zero is None else zero


def _refuse(status: int, row: int, raw: Raw, dtype: str) -> None:
    if status == fused.NON_FINITE:
        raise first_non_finite(raw, dtype, row)
    if status == fused.OVERFLOW:
        raise ScaleOverflow(row)
