"""What a scheme would do to one tensor, by the same functions that a run uses: what is seen is what is written."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.events import ChunkDone, Event, RunStarted, StageChanged
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.device import resolve
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.tensor_work import fixed_parameters, located
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.formats import Format, find
from qtquant_app.quant.chunk import Fixed, RowErrors, as_float32
from qtquant_app.quant.kernels.inspect import cell_errors, histogram
from qtquant_app.quant.methods import check as check_method

_FORMATS = ("compressed-tensors", "qtquant")
"""Asked in turn where the wanted format cannot hold a tensor: its picture is worth showing all the same."""

MAX_CELLS = 1024
"""Cells of the error map along each side, at most."""

_PROFILE_BLOCKS = 256
"""Column blocks where the scheme has no groups of its own."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One tensor under one scheme: what a person needs to see."""

    layer: str
    scheme: Scheme
    dtype: str
    shape: tuple[int, ...]
    errors: ErrorSums
    bytes: int
    bits_per_weight: float
    weight_range: tuple[float, float]
    histogram_edges: NDArray[np.float64]
    """[bins + 1], in the weights' own units."""
    histogram_counts: NDArray[np.int64]
    """[bins]."""
    levels: NDArray[np.float32]
    """The values that codes stand for in a group of median scale, ascending; [2^bits]."""
    error_map: NDArray[np.float32]
    """Largest |error| per cell of `map_rows_per_cell` channels by `map_columns_per_cell` input columns."""
    map_rows_per_cell: int
    map_columns_per_cell: int
    channel_relative_error: NDArray[np.float32]
    """||e|| / ||w|| of each output row; [rows]."""
    group_relative_error: NDArray[np.float32]
    """||e|| / ||w|| of each cell of columns, over all rows."""

    def to_json(self) -> dict[str, Any]:
        """CONTRACT's `preview` document."""
        return {
            "layer": self.layer,
            "scheme": self.scheme.to_json(),
            **self.errors.to_json(),
            "bits_per_weight": self.bits_per_weight,
            "bytes": self.bytes,
            "shape": list(self.shape),
            "dtype": self.dtype,
        }


def preview(
    checkpoint: Checkpoint, layer: str, scheme: Scheme, *, format: str = "", device: str = "auto", bins: int = 256
) -> Generator[Event, None, Preview]:
    """Quantizes one tensor in memory and reports where its error lies.

    `layer` names a tensor or its module. `format` says what the bytes are; another answers where it cannot hold it.
    Raises UsageError where there is no such tensor, PlanError where it or the scheme cannot be quantized.
    """
    tensor = _find(checkpoint, layer)
    check_method(scheme)
    holder = _format(tensor, scheme, format)
    yield RunStarted(1, 2 * tensor.nbytes)
    with open_tools(checkpoint, holder, resolve(device)) as tools:
        yield StageChanged("quantize")
        extremes = yield from _extremes(tools, tensor)
        fixed = fixed_parameters(tools, tensor, scheme) if scheme.strategy == "tensor" else None
        grid = Grid.of(tensor, scheme)
        parts = []
        for part in ordered(tools.pool, tools.window, _parts(tools, tensor, scheme, grid, fixed, extremes, bins)):
            parts.append(part)
            yield ChunkDone(tensor.name, part.bytes)
    return _assemble(tensor, scheme, holder, grid, parts, extremes, bins)


def _find(checkpoint: Checkpoint, layer: str) -> TensorInfo:
    tensor = checkpoint.by_name.get(layer) or checkpoint.by_name.get(f"{layer}.weight")
    if tensor is None:
        raise UsageError(
            f"{checkpoint.label} has no layer {layer!r}", hint="`qtquant inspect` lists the tensors", code="no-layer"
        )
    if not tensor.quantizable:
        raise PlanError(
            f"{tensor.name} cannot be quantized: it is {tensor.dtype} {list(tensor.shape)}, {tensor.kind.value}",
            hint="choose a linear layer, an expert or a head",
            code="not-quantizable",
        )
    return tensor


def _format(tensor: TensorInfo, scheme: Scheme, name: str) -> Format:
    names = [*([name] if name else []), *(other for other in _FORMATS if other != name)]
    refusals = {}
    for candidate in names:
        holder = find(candidate)
        refusals[candidate] = holder.refuses(tensor, scheme)
        if not refusals[candidate]:
            return holder
    raise PlanError(f"{tensor.name}: {refusals[names[0]]}", hint="choose another group size", code="format-constraint")


@dataclass(frozen=True, slots=True)
class Grid:
    """How the error map is cut into cells."""

    rows: int
    columns: int
    rows_per_cell: int
    columns_per_cell: int

    @classmethod
    def of(cls, tensor: TensorInfo, scheme: Scheme) -> Grid:
        """Columns are cut at group boundaries, where there are groups."""
        rows, columns = tensor.shape
        group = scheme.group_size or max(1, -(-columns // _PROFILE_BLOCKS))
        group = min(group, columns)
        groups = -(-columns // group)
        return cls(rows, columns, -(-rows // MAX_CELLS), group * -(-groups // MAX_CELLS))


@dataclass(frozen=True, slots=True)
class _Part:
    """What one chunk adds to the picture."""

    bytes: int
    errors: RowErrors
    scale: NDArray[Any]
    zero: NDArray[np.uint8] | None
    counts: NDArray[np.int64]
    cell_max: NDArray[np.float32]
    column_error: NDArray[np.float64]
    column_weight: NDArray[np.float64]


def _extremes(tools: Tools, tensor: TensorInfo) -> Generator[Event, None, tuple[float, float]]:
    def extremes(start: int, stop: int) -> tuple[int, float, float]:
        raw = tools.reader.rows(tensor, start, stop)
        with located(tensor, start):
            return raw.nbytes, *tools.backend.extremes(raw, tensor.dtype)

    low, high = np.inf, -np.inf
    for nbytes, lo, hi in ordered(tools.pool, tools.window, (partial(extremes, *s) for s in tools.spans(tensor))):
        low, high = min(low, lo), max(high, hi)
        yield ChunkDone(tensor.name, nbytes)
    return low, high


def _parts(
    tools: Tools,
    tensor: TensorInfo,
    scheme: Scheme,
    grid: Grid,
    fixed: Fixed | None,
    extremes: tuple[float, float],
    bins: int,
) -> Iterator[Callable[[], _Part]]:
    first = next(tools.spans(tensor))
    step = max(grid.rows_per_cell, first[1] // grid.rows_per_cell * grid.rows_per_cell)
    for start in range(0, grid.rows, step):
        yield partial(_part, tools, tensor, scheme, grid, fixed, extremes, bins, start, min(start + step, grid.rows))


def _part(
    tools: Tools,
    tensor: TensorInfo,
    scheme: Scheme,
    grid: Grid,
    fixed: Fixed | None,
    extremes: tuple[float, float],
    bins: int,
    start: int,
    stop: int,
) -> _Part:
    raw = tools.reader.rows(tensor, start, stop)
    with located(tensor, start):
        chunk = tools.backend.quantize(raw, tensor.dtype, scheme, tools.format.align, fixed)
    counts = histogram(raw, tensor.dtype, *_span(extremes), bins)
    cells = cell_errors(raw, tensor.dtype, chunk, scheme, grid.rows_per_cell, grid.columns_per_cell)
    return _Part(raw.nbytes, chunk.errors, chunk.scale, chunk.zero, counts, *cells)


def _span(extremes: tuple[float, float]) -> tuple[float, float]:
    """The histogram's range: never empty, even where all weights are one value."""
    low, high = extremes
    return (low, high) if low < high else (low - max(abs(low), 1e-6), high + max(abs(high), 1e-6))


def _assemble(
    tensor: TensorInfo,
    scheme: Scheme,
    holder: Format,
    grid: Grid,
    parts: list[_Part],
    extremes: tuple[float, float],
    bins: int,
) -> Preview:
    errors = RowErrors.concat([part.errors for part in parts])
    stored = sum(s.nbytes for s in holder.stored(tensor, scheme))
    scale = np.concatenate([as_float32(part.scale, tensor.dtype) for part in parts])
    zero = None if parts[0].zero is None else np.concatenate([p.zero for p in parts if p.zero is not None])
    return Preview(
        layer=tensor.name,
        scheme=scheme,
        dtype=tensor.dtype,
        shape=tensor.shape,
        errors=errors.sums(grid.columns),
        bytes=stored,
        bits_per_weight=round(8 * stored / tensor.parameters, 6),
        weight_range=extremes,
        histogram_edges=np.linspace(*_span(extremes), bins + 1),
        histogram_counts=np.sum([part.counts for part in parts], axis=0, dtype=np.int64),
        levels=_levels(scheme, scale, zero),
        error_map=np.concatenate([part.cell_max for part in parts]),
        map_rows_per_cell=grid.rows_per_cell,
        map_columns_per_cell=grid.columns_per_cell,
        channel_relative_error=_ratio(errors.square_error, errors.square_weight),
        group_relative_error=_ratio(
            np.sum([part.column_error for part in parts], axis=0),
            np.sum([part.column_weight for part in parts], axis=0),
        ),
    )


def _levels(scheme: Scheme, scale: NDArray[np.float32], zero: NDArray[np.uint8] | None) -> NDArray[np.float32]:
    """What each code stands for in the group whose scale is the median."""
    flat = scale.reshape(-1)
    middle = int(np.argpartition(flat, flat.size // 2)[flat.size // 2])
    shift = scheme.levels // 2 if zero is None else int(zero.reshape(-1)[middle])
    levels: NDArray[np.float32] = ((np.arange(scheme.levels) - shift) * flat[middle]).astype(np.float32)
    return levels


def _ratio(error: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float32]:
    """sqrt(error / weight); 0 where there is neither."""
    safe = np.where(weight > 0, weight, 1.0)
    ratio: NDArray[np.float32] = np.sqrt(np.where(weight > 0, error / safe, 0.0)).astype(np.float32)
    return ratio
