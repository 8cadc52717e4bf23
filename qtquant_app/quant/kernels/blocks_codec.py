"""Block layouts on the CPU: quantize, compare and dequantize chunks of rows. Loads no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods
from qtquant_app.quant.blocks.halves import HALVES, converted, stored_as
from qtquant_app.quant.blocks.search import NUMBERS, SEARCHES, middle
from qtquant_app.quant.blocks.shares import shares_of
from qtquant_app.quant.chunk import (
    QuantizedChunk,
    Raw,
    RowErrors,
    ScaleOverflow,
    as_float32,
    checked,
    first_non_finite,
    layout_named,
    of_blocks,
)
from qtquant_app.quant.kernels import blocks_rows, fused
from qtquant_app.quant.kernels.blocks_fit import Work
from qtquant_app.quant.kernels.blocks_rows import Shape, Tile
from qtquant_app.quant.kernels.lanes import LANES
from qtquant_app.quant.kernels.source import KINDS, flat


def quantize(raw: Raw, dtype: str, scheme: Scheme, importance: NDArray[np.float32] | None = None) -> QuantizedChunk:
    """Blocks of a scheme's layout, uint8 [rows, row bytes], for raw [rows, columns]; and what they cost.

    With an `importance` float32 [columns] the squared errors are weighted by it. A legacy type is written as gguf-py writes
    it, unless there is one or the scheme's method asks for the least squared error. Raises ValueError where blocks do not
    fill a row, NonFinite, ScaleOverflow where float16 does not reach a scale, RestoredOverflow where F16 or BF16 does not a weight.
    """
    methods.check(scheme)
    rows, columns = checked(raw, dtype).shape
    layout = layout_named(scheme.layout or "")
    if layout.name in HALVES:
        return _halved(raw, dtype, layout.name)
    packed = np.empty((rows, layout.row_bytes(columns)), np.uint8)
    sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
    out = (packed.reshape(-1), sums.reshape(-1), peaks, Tile.of())
    source, search = (flat(raw), columns, KINDS[dtype], shape_of(layout.name)), SEARCHES[layout.name]
    if layout.block == layout.group and importance is None and scheme.method == "rtn":
        status, row = blocks_rows.quantize_plain(*source, *out)
    else:
        share = None if importance is None else flat_lanes(shares_of(importance, columns), layout.group)
        work = Work.of(layout.group, share is not None)
        status, row = blocks_rows.quantize_searched(
            *source, share, search.targets, search.shifts, search.factors, *out, work
        )
    _refuse(status, row, raw, dtype)
    return of_blocks(packed, dtype, RowErrors(sums[0], sums[1], sums[2], peaks))


def compare(raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
    """The errors of a chunk of blocks, of as many rows and columns, against raw. Raises NonFinite."""
    rows, columns = checked(raw, dtype).shape
    layout = layout_named(scheme.layout or "")
    sums, peaks = np.empty((3, rows)), np.empty(rows, np.float32)
    source, out = (flat(raw), columns, KINDS[dtype]), (sums.reshape(-1), peaks, Tile.of())
    if layout.name in HALVES:
        stored = flat(stored_as(chunk.packed, layout.name))
        status, row = blocks_rows.compare_halves(*source, KINDS[layout.name], stored, *out)
    else:
        status, row = blocks_rows.compare_rows(*source, shape_of(layout.name), flat(chunk.packed), *out)
    _refuse(status, row, raw, dtype)
    return RowErrors(sums[0], sums[1], sums[2], peaks)


def dequantize(packed: NDArray[np.uint8], name: str, columns: int) -> NDArray[np.float32]:
    """What blocks uint8 [rows, row bytes] stand for, float32 [rows, columns], rounded as gguf-py rounds."""
    if name in HALVES:
        return as_float32(stored_as(packed, name), name)
    out = np.empty((len(packed), columns), np.float32)
    blocks_rows.dequantize_rows(shape_of(name), flat(packed), out.reshape(-1), Tile.of())
    return out


def _halved(raw: Raw, dtype: str, name: str) -> QuantizedChunk:
    finite = np.isfinite(as_float32(raw, dtype)).all()
    if not finite:
        raise first_non_finite(raw, dtype)
    packed = converted(raw, dtype, name).copy()
    scheme = Scheme.of_layout(name)
    blank = of_blocks(packed, dtype, RowErrors.concat([]))
    return of_blocks(packed, dtype, compare(raw, dtype, blank, scheme))


def shape_of(name: str) -> Shape:
    """The layout `name` as kernels take it."""
    layout, search = LAYOUTS[name], SEARCHES[name]
    bounds = (search.mode, search.lowest, search.top, search.floor, search.cap, search.reach, search.rounds)
    return Shape(NUMBERS[name], layout.block, layout.group, layout.nbytes, middle(name), *bounds)


def flat_lanes(shares: NDArray[np.float32], group: int) -> NDArray[np.float32]:
    """A row of shares [columns] with every sixteen groups side by side, ones where the row ends before the lanes do."""
    padded = np.ones(-(-len(shares) // (LANES * group)) * LANES * group, np.float32)
    padded[: len(shares)] = shares
    lanes: NDArray[Any] = padded.reshape(-1, LANES, group).swapaxes(1, 2)
    return np.ascontiguousarray(lanes).reshape(-1)


def _refuse(status: int, row: int, raw: Raw, dtype: str) -> None:
    if status == fused.NON_FINITE:
        raise first_non_finite(raw, dtype, row)
    if status == fused.OVERFLOW:
        raise ScaleOverflow(row)
