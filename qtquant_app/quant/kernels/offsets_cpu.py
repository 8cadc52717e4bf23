"""Schemes with float offsets on the CPU: what `CpuBackend` does with them."""

from __future__ import annotations

from math import lcm

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods
from qtquant_app.quant.chunk import (
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
from qtquant_app.quant.kernels import offsets_rows
from qtquant_app.quant.kernels.fused import NON_FINITE, OVERFLOW, Scratch
from qtquant_app.quant.kernels.packing import BLOCK
from qtquant_app.quant.kernels.ranges import Ranges
from qtquant_app.quant.kernels.source import KINDS, flat

TILE = 2048
"""Columns worked on at once, roughly, as in `cpu`."""


def quantize(
    raw: Raw, dtype: str, scheme: Scheme, align: int, importance: NDArray[np.float32] | None = None
) -> QuantizedChunk:
    """As `Backend.quantize`, of a scheme with float offsets."""
    method = methods.check(scheme)
    factors = np.array(method.factors)
    rows, columns = checked(raw, dtype).shape
    scale, offset = np.empty((2, rows, scheme.groups(columns)), raw.dtype)
    packed = np.empty((rows, row_bytes(columns, scheme.bits, align)), np.uint8)
    sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
    group, tile = _tiling(scheme, columns)
    status, row = offsets_rows.quantize_rows(
        flat(raw), columns, KINDS[dtype], scheme.bits, group, tile, Ranges.of(factors, importance, columns, group, method.shrinks),
        packed.reshape(-1), packed.shape[1], bits_of(scale).reshape(-1), bits_of(offset).reshape(-1),
        sums.reshape(-1), peaks, Scratch.of(tile, group),
    )  # fmt: skip
    if status == OVERFLOW:
        raise ScaleOverflow(row)
    _refuse(status, row, raw, dtype)
    return QuantizedChunk(packed, scale, offset, RowErrors(sums[0], sums[1], sums[2], peaks))


def compare(raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
    """As `Backend.compare`."""
    rows, columns = checked(raw, dtype).shape
    checked_chunk(chunk, dtype, scheme, columns, rows)
    assert chunk.zero is not None
    sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
    group, tile = _tiling(scheme, columns)
    status, row = offsets_rows.compare_rows(
        flat(raw), columns, KINDS[dtype], scheme.bits, group, tile, flat(chunk.packed), chunk.packed.shape[1],
        flat(chunk.scale), flat(chunk.zero), sums.reshape(-1), peaks, Scratch.of(tile, group),
    )  # fmt: skip
    _refuse(status, row, raw, dtype)
    return RowErrors(sums[0], sums[1], sums[2], peaks)


def dequantize(chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
    """As `Backend.dequantize`."""
    out = np.empty((len(checked_chunk(chunk, dtype, scheme, columns).packed), columns), np.float32)
    assert chunk.zero is not None
    group, tile = _tiling(scheme, columns)
    offsets_rows.dequantize_rows(
        columns, KINDS[dtype], scheme.bits, group, tile, flat(chunk.packed), chunk.packed.shape[1],
        flat(chunk.scale), flat(chunk.zero), out.reshape(-1), Scratch.of(tile, group),
    )  # fmt: skip
    return out


def _tiling(scheme: Scheme, columns: int) -> tuple[int, int]:
    """(columns of a group, columns of a tile); a channel is one group, and so one tile."""
    if scheme.group_size is None:
        return columns, columns
    group = min(scheme.group_size, columns)
    step = lcm(group, BLOCK)
    return group, min(step * max(1, TILE // step), columns)


def _refuse(status: int, row: int, raw: Raw, dtype: str) -> None:
    if status == NON_FINITE:
        raise first_non_finite(raw, dtype, row)
