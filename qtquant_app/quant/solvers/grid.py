"""The grid of a weight matrix, what each code of each group stands for, and a matrix of codes on it, as tensors.

The arithmetic is that of `quant.affine`, `quant.offset_torch` and `quant.search`, to the bit: a solver decides which codes
are written, never what they mean. Scales are float32 tensors of numbers that the dtype which stores them holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtquant_app.core.scheme import Offset, Scheme
from qtquant_app.quant import affine, methods, offset_torch, search
from qtquant_app.quant.affine import DTYPES, grouped, ungrouped
from qtquant_app.quant.chunk import RAW_TYPES, NonFinite, QuantizedChunk, Raw, RowErrors, ScaleOverflow
from qtquant_app.quant.kernels.grid_rows import search_rows
from qtquant_app.quant.kernels.lanes import LANES
from qtquant_app.quant.kernels.packing import pack, unpack
from qtquant_app.quant.kernels.ranges import Ranges
from qtquant_app.quant.kernels.source import KINDS, flat
from qtquant_app.quant.solvers.rows import over_rows

_PIECE = 1 << 24
"""Weights whose ranges are searched at once on a device."""


@dataclass(frozen=True, slots=True)
class Grid:
    """What codes stand for: w' = scale (u - zero), or scale u + zero where `offset` is "float", for u from 0 to levels - 1."""

    scale: Tensor
    """float32 [rows, groups], each a number of the dtype that stores it; one number everywhere where it serves the tensor."""
    zero: Tensor
    """float32 [rows, groups]: whole numbers 0 to levels - 1, levels / 2 where symmetric; or offsets in w's own unit."""
    group: int
    """Columns of a group; the last group of a row may have fewer."""
    levels: int
    """How many codes there are, a power of two."""
    offset: Offset = "integer"
    blocks: Tensor | None = None
    """The blocks of a layout that scale and zero come from, uint8 [rows, row bytes]. Neither may be changed then; a scale may be
    negative, and where it is zero a code means nothing."""

    @property
    def bits(self) -> int:
        return (self.levels - 1).bit_length()

    def rows(self, first: int, last: int) -> Grid:
        """The grid of rows `first` to `last`, the latter left out; views."""
        blocks = None if self.blocks is None else self.blocks[first:last]
        return replace(self, scale=self.scale[first:last], zero=self.zero[first:last], blocks=blocks)


@dataclass(frozen=True, slots=True)
class Solved:
    """What a solver gives: codes uint8 [rows, columns] on a grid."""

    codes: Tensor
    grid: Grid


def range_grid(
    weight: Tensor,
    scheme: Scheme,
    dtype: str,
    importance: Tensor | None = None,
    factors: Sequence[float] | None = None,
) -> Grid:
    """The grid whose ranges give float32 weight [rows, columns] the least squared error, of the `factors` tried on each.

    Each column's squared error weighs as much as its `importance`, float32 [columns]; one that is not given weighs 1. `factors`
    default to the method's. `dtype` stores the scales. Raises NonFinite, and ScaleOverflow.
    """
    refuse_non_finite(weight)
    tried = methods.find(scheme.method).factors if factors is None else factors
    rows, columns = weight.shape
    if scheme.strategy == "tensor":
        spread = None if importance is None else importance.expand(rows, columns).reshape(-1)
        whole = _ranges(weight.reshape(1, -1), rows * columns, scheme, dtype, spread, tried)
        return replace(whole, scale=whole.scale.expand(rows, 1), zero=whole.zero.expand(rows, 1), group=columns)
    return _ranges(weight, group_size(scheme, columns), scheme, dtype, importance, tried)


def group_size(scheme: Scheme, columns: int) -> int:
    """Columns of a group of a matrix of `columns`."""
    return columns if scheme.group_size is None else min(scheme.group_size, columns)


def encode(weight: Tensor, grid: Grid) -> Tensor:
    """The nearest codes, ties to even: uint8 [rows, columns] of float32 weight [rows, columns]."""
    coder = offset_torch.encode if grid.offset == "float" else affine.encode
    codes = coder(grouped(weight, grid.group), grid.scale, grid.zero, grid.bits)
    return ungrouped(codes, weight.shape[1])


def restored(solved: Solved) -> Tensor:
    """What the codes stand for, float32 [rows, columns]."""
    grid = solved.grid
    decoder = offset_torch.restore if grid.offset == "float" else affine.restore
    return ungrouped(decoder(grouped(solved.codes, grid.group), grid.scale, grid.zero), solved.codes.shape[1])


def refuse_non_finite(weight: Tensor) -> None:
    """Raises NonFinite for the first NaN or infinity of weight [rows, columns]."""
    if not bool(torch.isfinite(weight).all()):
        row, column = (int(index) for index in (~torch.isfinite(weight)).nonzero()[0])
        raise NonFinite(row, column, float(weight[row, column]))


def to_chunk(solved: Solved, scheme: Scheme, dtype: str, align: int) -> QuantizedChunk:
    """The rows as a backend gives them, packed, each row's bytes padded with zeros to a multiple of `align`; with no errors:
    `Backend.compare` finds them. Raises ValueError where a scale is not a number of `dtype`."""
    grid, whole = solved.grid, scheme.strategy == "tensor"
    scale = raw_of(grid.scale[:1] if whole else grid.scale, dtype)
    zero = None if scheme.symmetric else grid.zero[:1] if whole else grid.zero
    stored: NDArray[Any] | None = None
    if zero is not None:
        stored = raw_of(zero, dtype) if grid.offset == "float" else zero.to(torch.uint8).cpu().numpy()
    codes = np.ascontiguousarray(solved.codes.cpu().numpy())
    return QuantizedChunk(pack(codes, scheme.bits, align), scale, stored, RowErrors.concat(()))


def of_chunk(chunk: QuantizedChunk, scheme: Scheme, dtype: str, columns: int) -> Solved:
    """The inverse of `to_chunk`, on the CPU: the codes of a chunk of an integer scheme, and the grid they lie on."""
    codes = torch.from_numpy(unpack(chunk.packed, scheme.bits, columns))
    scale = of_raw(chunk.scale, dtype)
    zero = torch.full_like(scale, scheme.levels // 2)
    if chunk.zero is not None:
        floating = scheme.offset == "float"
        zero = of_raw(chunk.zero, dtype) if floating else torch.from_numpy(chunk.zero.astype(np.float32))
    shape = (len(codes), scheme.groups(columns))
    grid = Grid(scale.expand(shape), zero.expand(shape), group_size(scheme, columns), scheme.levels, scheme.offset)
    return Solved(codes, grid)


def raw_of(values: Tensor, dtype: str) -> Raw:
    """Float32 numbers as `dtype` stores them. Raises ValueError where it holds one of them not exactly."""
    stored = values.to(DTYPES[dtype])
    if not torch.equal(stored.float(), values):
        raise ValueError(f"a scale is not a number of {dtype}")
    bits = torch.int32 if stored.element_size() == 4 else torch.int16
    array: Raw = stored.cpu().contiguous().view(bits).numpy().view(RAW_TYPES[dtype])
    return array


def of_raw(raw: Raw, dtype: str) -> Tensor:
    """The inverse of `raw_of`, on the CPU."""
    bits = np.ascontiguousarray(raw).view(np.int32 if raw.dtype.itemsize == 4 else np.int16)
    return torch.from_numpy(bits.copy()).view(DTYPES[dtype]).float()


def _ranges(
    weight: Tensor,
    size: int,
    scheme: Scheme,
    dtype: str,
    importance: Tensor | None,
    factors: Sequence[float],
) -> Grid:
    """As `range_grid`, of groups of `size` columns."""
    search_in = _ranges_by_kernel if weight.device.type == "cpu" else _ranges_in_torch
    scale, zero = search_in(weight, size, scheme, dtype, importance, factors)
    bad = ~(scale.isfinite() & zero.isfinite()).all(dim=1)
    if bool(bad.any()):
        raise ScaleOverflow(int(bad.nonzero()[0]))
    return Grid(scale, zero, size, scheme.levels, scheme.offset)


def _ranges_by_kernel(
    weight: Tensor, size: int, scheme: Scheme, dtype: str, importance: Tensor | None, factors: Sequence[float]
) -> tuple[Tensor, Tensor]:
    rows, columns = weight.shape
    weights = None if importance is None else importance.numpy()
    scale, zero = np.empty((2, rows, -(-columns // size)), np.float32)

    def search_piece(first: int, last: int) -> None:
        ranges = Ranges.of(np.array(factors), weights, columns, size)
        values, searched = np.empty(columns + LANES, np.float32), np.empty(size + LANES, np.float32)
        search_rows(
            flat(weight[first:last].numpy()), columns, KINDS[dtype], scheme.bits, scheme.symmetric, scheme.offset == "float",
            size, ranges, scale[first:last].reshape(-1), zero[first:last].reshape(-1), values, searched,
        )  # fmt: skip

    over_rows(search_piece, rows)
    return torch.from_numpy(scale), torch.from_numpy(zero)


def _ranges_in_torch(
    weight: Tensor, size: int, scheme: Scheme, dtype: str, importance: Tensor | None, factors: Sequence[float]
) -> tuple[Tensor, Tensor]:
    columns, kind = weight.shape[1], DTYPES[dtype]
    shares = None if importance is None else search.shares_of(importance, size)
    step = max(1, _PIECE // columns)
    found = []
    for part in torch.split(weight, step):
        parts = grouped(part, size)
        if scheme.offset == "float":
            counts = torch.clamp(columns - torch.arange(parts.shape[1], device=weight.device) * size, max=size)
            found.append(offset_torch.best_parameters(parts, counts, factors, scheme.bits, kind, shares))
        else:
            found.append(search.best_parameters(parts, factors, scheme.bits, scheme.symmetric, kind, shares))
    scale, zero = (torch.cat([each[k] for each in found]).float() for k in range(2))
    return scale, zero
