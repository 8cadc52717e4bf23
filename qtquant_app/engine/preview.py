"""What a scheme would do to one tensor, by the same functions that a run uses: what is seen is what is written."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import ChunkDone, Event, RunStarted, StageChanged
from qtquant_app.core.matrix import find
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View, Window
from qtquant_app.engine.as_written import as_written
from qtquant_app.engine.device import resolve
from qtquant_app.engine.holder import holder
from qtquant_app.engine.look import Picture, every, mean_of
from qtquant_app.engine.pipeline import ordered
from qtquant_app.engine.preview_work import Hot, Part, Weights, Work, extremes, hottest, parts
from qtquant_app.engine.shared_range import shared_range
from qtquant_app.engine.tensor_work import fixed_for
from qtquant_app.engine.tools import open_tools
from qtquant_app.quant import floats
from qtquant_app.quant.chunk import RAW_TYPES, Fixed, RowErrors, as_float32, bits_of, relative
from qtquant_app.quant.methods import check as check_method


@dataclass(frozen=True, slots=True)
class Preview:
    """One tensor under one scheme: what a person needs to see."""

    layer: str
    """The tensor, with its slice in brackets where it is a stack."""
    scheme: Scheme
    """What a run gives it; not always what was asked for."""
    dtype: str
    """What the weights are worked in."""
    stored: str
    """What they are in the file."""
    shape: tuple[int, int]
    carried: bool
    """Whether a run leaves this tensor as it is."""
    sampled: int
    """How many rows were looked at, where this is a sample; 0 where it is exact."""
    errors: ErrorSums
    bytes: int
    bits_per_weight: float
    weight_range: tuple[float, float]
    histogram_edges: NDArray[np.float64]
    """[bins + 1], in the weights' own units."""
    histogram_counts: NDArray[np.int64]
    """[bins]."""
    error_histogram: NDArray[np.int64]
    """How many |e| have each value of the upper bits of a float32; [1024], `quant.kernels.inspect.error_edges`."""
    levels: NDArray[np.float32]
    """The values that codes stand for in a group of median scale, ascending; one for each code that stands for another.
    None for block layouts, whose groups have scales within scales."""
    picture: Picture
    """The whole matrix."""
    channel_square_error: NDArray[np.float64]
    """Sum of e^2 of each row, [rows]. In a sample, a row that was not looked at has what the one that stands for it has."""
    channel_square_weight: NDArray[np.float64]
    channel_max_error: NDArray[np.float32]
    channel_relative_error: NDArray[np.float32]
    """||e|| / ||w|| of each row, [rows]."""
    column_square_error: NDArray[np.float64]
    """Sum of e^2 of each column over the rows looked at, [columns]."""
    group_columns: int
    """Columns of each part of `group_relative_error`: whole groups, where the scheme has any."""
    group_relative_error: NDArray[np.float32]
    """||e|| / ||w|| of each part of the columns, over all rows."""
    worst_groups: tuple[Hot, ...]
    """Those with the largest squared error, the largest first."""
    fixed: Fixed | None
    """The scale and zero point of the whole tensor, where it has but one."""

    def to_json(self) -> dict[str, Any]:
        """CONTRACT's `preview` document."""
        return {
            "layer": self.layer,
            "scheme": self.scheme.to_json(),
            **self.errors.to_json(),
            "bits_per_weight": self.bits_per_weight,
            "bytes": self.bytes,
            "shape": list(self.shape),
            "dtype": self.stored,
            "carried": self.carried,
        }


def preview(
    checkpoint: Checkpoint,
    layer: str,
    scheme: Scheme,
    *,
    format: str = "",
    device: str = "auto",
    bins: int = 256,
    view: View = View.ABSOLUTE,
    sample: bool = False,
    known: Preview | None = None,
) -> Generator[Event, None, Preview]:
    """Quantizes one tensor in memory and reports where its error lies.

    `layer` names a tensor, its module, or a slice of a stack. `format` says what the bytes are; another answers where it
    cannot hold it. With `sample`, some rows stand for all. `known` is an exact preview of the same layer under any scheme:
    what does not depend on the scheme is taken from it.
    Raises UsageError where there is no such tensor, PlanError where it or the scheme cannot be quantized, SourceError
    where a weight is not finite.
    """
    matrix = find(checkpoint, layer)
    scheme = as_written(checkpoint, matrix, scheme, format)
    check_method(scheme)
    work = Work.of(matrix, scheme, view, sample)
    if known is not None and known.layer != matrix.name:
        known = None
    yield RunStarted(1, (1 if known else 2) * matrix.nbytes)
    with open_tools(checkpoint, holder(matrix, scheme, format), resolve(device)) as tools:
        yield StageChanged("quantize")
        weights = _known_weights(known) if known else Weights.between((yield from extremes(tools, work)), bins)
        fixed = None
        if scheme.needs_extremes:
            between = yield from shared_range(tools, matrix, scheme, known={matrix.name: weights.range})
            fixed = fixed_for(tools, matrix, scheme, between)
        done = []
        for part in ordered(tools.pool, tools.window, parts(tools, work, fixed, weights)):
            done.append(part)
            yield ChunkDone(matrix.name, part.bytes)
        stored = sum(s.nbytes for s in tools.format.stored(matrix, scheme))
    return _assemble(work, done, weights, fixed, stored)


def _known_weights(known: Preview) -> Weights:
    return Weights(known.weight_range, known.histogram_edges, known.histogram_counts)


def _assemble(work: Work, done: list[Part], weights: Weights, fixed: Fixed | None, stored: int) -> Preview:
    matrix, scheme = work.matrix, work.scheme
    errors = RowErrors.concat([part.errors for part in done])
    counts = weights.counts
    if counts is None:
        counts = np.sum([part.counts for part in done if part.counts is not None], axis=0, dtype=np.int64)
    return Preview(
        layer=matrix.name,
        scheme=scheme,
        dtype=matrix.dtype,
        stored=matrix.stored,
        shape=(matrix.rows, matrix.columns),
        carried=matrix.carried,
        sampled=len(work.rows) if work.sampled else 0,
        errors=errors.sums(matrix.columns),
        bytes=stored,
        bits_per_weight=round(8 * stored / matrix.parameters, 6),
        weight_range=weights.range,
        histogram_edges=weights.edges,
        histogram_counts=counts,
        error_histogram=np.sum([part.error_counts for part in done], axis=0, dtype=np.int64),
        levels=_levels(work, done, fixed),
        picture=_picture(work, done),
        channel_square_error=work.spread(errors.square_error),
        channel_relative_error=work.spread(relative(errors.square_error, errors.square_weight)),
        channel_square_weight=work.spread(errors.square_weight),
        channel_max_error=work.spread(errors.max_error),
        column_square_error=np.sum([part.column_error for part in done], axis=0),
        group_columns=work.group_columns,
        group_relative_error=relative(
            np.sum([part.cell_error for part in done], axis=0), np.sum([part.cell_weight for part in done], axis=0)
        ),
        worst_groups=hottest([hot for part in done for hot in part.hot]),
        fixed=fixed,
    )


def _picture(work: Work, done: list[Part]) -> Picture:
    rows, columns = work.matrix.shape
    total = np.concatenate([part.total for part in done])
    looked_at = (len(total), 1) if work.sampled else (rows, work.rows_per_cell)
    return Picture(
        window=Window(work.view, 0, rows, 0, columns),
        rows=every(rows),
        columns=every(columns),
        rows_per_cell=work.rows_per_cell,
        columns_per_cell=work.columns_per_cell,
        extreme=np.concatenate([part.extreme for part in done]),
        mean=mean_of(total, *looked_at, columns, work.columns_per_cell),
    )


def _levels(work: Work, done: list[Part], fixed: Fixed | None) -> NDArray[np.float32]:
    """What each code stands for in a group whose scale is the median; bits of numbers above zero are in their order."""
    scheme, dtype = work.scheme, work.matrix.dtype
    if scheme.layout is not None:  # whose blocks have scales within scales: no group stands for the others
        return np.zeros(0, np.float32)
    if floats.is_float(scheme):
        stored = np.concatenate([part.scale.reshape(-1) for part in done])
        steps = np.sort(floats.steps(stored, dtype, scheme, None if fixed is None else fixed.whole))
        with np.errstate(over="ignore"):
            numbers: NDArray[np.float32] = floats.levels(floats.code_of(scheme)) * steps[steps.size // 2]
        return numbers
    scales = np.concatenate([bits_of(part.scale).reshape(-1) for part in done])
    middle = np.partition(scales, scales.size // 2)[scales.size // 2 : scales.size // 2 + 1]
    shift = scheme.levels // 2
    if scheme.offset == "float":
        offsets = np.concatenate([part.zero.reshape(-1) for part in done if part.zero is not None])
        at = int(np.argmax(scales == middle))
        with np.errstate(over="ignore"):
            step, low = as_float32(middle.view(RAW_TYPES[dtype]), dtype), as_float32(offsets[at : at + 1], dtype)
            return (np.arange(scheme.levels, dtype=np.float32) * step + low).astype(np.float32)
    if not scheme.symmetric:
        zeros = np.concatenate([part.zero.reshape(-1) for part in done if part.zero is not None])
        shift = int(zeros[np.argmax(scales == middle)])
    with np.errstate(over="ignore"):  # as a kernel does it: infinite where float32 ends
        scale = as_float32(middle.view(RAW_TYPES[dtype]), dtype)
        levels: NDArray[np.float32] = ((np.arange(scheme.levels) - shift) * scale).astype(np.float32)
    return levels
