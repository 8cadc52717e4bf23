"""Rows of weights to rows of blocks and back, in tiles that hold whole blocks: the passes of `fused`, for block layouts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtquant_app.quant.kernels import blocks_legacy
from qtquant_app.quant.kernels.blocks_finish import finish, finish_legacy, lift, restore
from qtquant_app.quant.kernels.blocks_fit import alone, together
from qtquant_app.quant.kernels.fused import DONE, NON_FINITE, OVERFLOW, fold, pad
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import LANES, add_errors
from qtquant_app.quant.kernels.source import decode, extremes, is_finite

TILE = 2048
"""Columns worked on at once: whole blocks of every layout, and whole lanes of sub-blocks."""


class Shape(NamedTuple):
    """A layout and its search as kernels take them; see `Layout` and `Search`."""

    layout: int
    block: int
    group: int
    nbytes: int
    middle: int
    mode: int
    lowest: int
    top: int
    floor: int
    cap: int
    reach: int
    rounds: int


class Tile(NamedTuple):
    """Working memory of one call."""

    values: NDArray[np.float32]
    restored: NDArray[np.float32]
    codes: NDArray[np.uint8]
    scales: NDArray[np.uint8]
    minima: NDArray[np.uint8]
    """Whole-number scales and minima of a block, [16]."""
    steps: NDArray[np.uint32]
    bases: NDArray[np.uint32]
    """float16 bits, one for each block of a legacy type."""
    lanes: NDArray[np.float64]

    @classmethod
    def of(cls) -> Tile:
        return cls(
            np.zeros(TILE, np.float32),
            np.zeros(TILE, np.float32),
            np.zeros(TILE, np.uint8),
            np.zeros(16, np.uint8),
            np.zeros(16, np.uint8),
            np.zeros(TILE // blocks_legacy.SIZE, np.uint32),
            np.zeros(TILE // blocks_legacy.SIZE, np.uint32),
            np.zeros(4 * LANES),
        )


@compiled
def quantize_plain(
    source: Any, columns: int, kind: int, shape: Any, packed: Any, sums: Any, peaks: Any, tile: Any
) -> Any:
    """Quantizes bits uint16 or uint32 [rows * columns] to a legacy type as gguf-py does; returns (status, row).

    Fills packed uint8 [rows * row bytes], sums float64 [3 * rows] and peaks float32 [rows].
    """
    values, restored, codes, _, _, steps, bases, lanes = tile
    width = columns // shape.block * shape.nbytes
    for row in range(len(peaks)):
        for start in range(0, columns, TILE):
            count = min(TILE, columns - start)
            if not _read(source, row * columns + start, count, kind, values):
                return NON_FINITE, row
            begin = row * width + start // shape.block * shape.nbytes
            if not blocks_legacy.encode_plain(values, count, shape.block, shape.lowest, shape.top, codes, steps, bases):
                return OVERFLOW, row
            blocks_legacy.pack(shape.layout, codes, count, steps, bases, packed, begin, shape.block, shape.nbytes)
            blocks_legacy.restore(
                shape.layout, packed, begin, shape.block, shape.nbytes, count, shape.middle, restored, 0
            )
            add_errors(lanes, values, restored, count // LANES)
        fold(lanes, sums, peaks, row)
    return DONE, 0


@compiled
def quantize_searched(
    source: Any, columns: int, kind: int, shape: Any, importance: Any, targets: Any, shifts: Any, factors: Any,
    packed: Any, sums: Any, peaks: Any, tile: Any, work: Any,
) -> Any:  # fmt: skip
    """As `quantize_plain`, for every layout, by search; `importance` float32 [whole lanes of columns], as `flat_lanes` puts it."""
    width = columns // shape.block * shape.nbytes
    for row in range(len(peaks)):
        for start in range(0, columns, TILE):
            count = min(TILE, columns - start)
            if not _read(source, row * columns + start, count, kind, tile.values):
                return NON_FINITE, row
            begin = row * width + start // shape.block * shape.nbytes
            for first in range(0, count, LANES * shape.group):
                here = min(LANES * shape.group, count - first)
                if not lift(tile.values, first, here, importance, start + first, shape, work):
                    return OVERFLOW, row
                _search(tile, first, here, shape, targets, shifts, factors, work)
                at = begin + first // shape.block * shape.nbytes
                if shape.cap:
                    finish(tile, first, here, shape, work, packed, at)
            if not shape.cap:
                blocks_legacy.pack(
                    shape.layout, tile.codes, count, tile.steps, tile.bases, packed, begin, shape.block, shape.nbytes
                )
            restore(shape, packed, begin, count, tile, tile.restored, 0)
            add_errors(tile.lanes, tile.values, tile.restored, count // LANES)
        fold(tile.lanes, sums, peaks, row)
    return DONE, 0


@compiled
def _search(tile: Any, first: int, count: int, shape: Any, targets: Any, shifts: Any, factors: Any, work: Any) -> None:
    lowest, top = np.float32(shape.lowest), np.float32(shape.top)
    alone(work, shape.group, lowest, top, shape.mode, targets, shifts)
    if shape.cap:
        together(
            work, shape.group, lowest, top, shape.mode, np.float32(shape.floor), np.float32(shape.cap),
            shape.block // shape.group, factors, shape.reach, shape.rounds,
        )  # fmt: skip
    else:
        finish_legacy(tile, first, count, shape, work)


@compiled
def compare_rows(
    source: Any, columns: int, kind: int, shape: Any, packed: Any, sums: Any, peaks: Any, tile: Any
) -> Any:
    """Decodes rows of blocks and sums their errors against `source`; arguments and result as `quantize_plain`."""
    width = columns // shape.block * shape.nbytes
    for row in range(len(peaks)):
        for start in range(0, columns, TILE):
            count = min(TILE, columns - start)
            if not _read(source, row * columns + start, count, kind, tile.values):
                return NON_FINITE, row
            restore(shape, packed, row * width + start // shape.block * shape.nbytes, count, tile, tile.restored, 0)
            add_errors(tile.lanes, tile.values, tile.restored, count // LANES)
        fold(tile.lanes, sums, peaks, row)
    return DONE, 0


@compiled
def compare_halves(
    source: Any, columns: int, kind: int, other: int, stored: Any, sums: Any, peaks: Any, tile: Any
) -> Any:
    """As `compare_rows`, against floats of the dtype `other`, their bits uint16 [rows * columns]."""
    for row in range(len(peaks)):
        for start in range(0, columns, TILE):
            count = min(TILE, columns - start)
            if not _read(source, row * columns + start, count, kind, tile.values):
                return NON_FINITE, row
            decode(stored, row * columns + start, count, other, tile.restored)
            pad(tile.values, count)
            pad(tile.restored, count)
            add_errors(tile.lanes, tile.values, tile.restored, (count + LANES - 1) // LANES)
        fold(tile.lanes, sums, peaks, row)
    return DONE, 0


@compiled
def dequantize_rows(shape: Any, packed: Any, out: Any, tile: Any) -> None:
    """Fills out float32 [rows * columns] from rows of blocks."""
    for at in range(0, len(out), TILE):
        restore(shape, packed, at // shape.block * shape.nbytes, min(TILE, len(out) - at), tile, out, at)


@compiled
def _read(source: Any, base: int, count: int, kind: int, values: Any) -> Any:
    decode(source, base, count, kind, values)
    lo, hi = extremes(values, 0, count)
    return is_finite(lo) and is_finite(hi)
