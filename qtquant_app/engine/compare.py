"""Schemes side by side over one tensor or many: the numbers of a run for each, and how the errors are spread."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError, SourceError, UsageError
from qtquant_app.core.events import Event, RunStarted, StageChanged
from qtquant_app.core.matrix import Matrix, find
from qtquant_app.core.patterns import matches
from qtquant_app.core.report import ErrorSums, Mismatch, TensorReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.as_written import as_written
from qtquant_app.engine.device import resolve
from qtquant_app.engine.holder import stored_bytes
from qtquant_app.engine.measure import bytes_read, chunks
from qtquant_app.engine.tools import Tools, open_tools
from qtquant_app.formats import find as find_format
from qtquant_app.quant.chunk import QuantizedChunk, Raw, RowErrors, relative
from qtquant_app.quant.kernels.inspect import ERROR_BINS, cell_errors, error_edges
from qtquant_app.quant.methods import check as check_method

DEFAULT_FORMAT = "compressed-tensors"

CURVE = 512
"""Points of a curve over the channels, at most."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What one scheme does to all the tensors of a comparison, taken as one."""

    scheme: Scheme
    bytes: int
    bits_per_weight: float
    errors: ErrorSums
    error_histogram: NDArray[np.int64]
    """How many |e| have each value of the upper bits of a float32; [1024], `quant.kernels.inspect.error_edges`."""
    channels: NDArray[np.float32]
    """||e|| / ||w|| of the channels of all tensors, the largest first; evenly spaced ranks where there are more than CURVE."""
    tensors: tuple[TensorReport, ...]
    refusals: tuple[str, ...] = ()
    """Why a run in the wanted format would refuse the scheme; the bytes of such tensors are those of another format."""

    def to_json(self) -> dict[str, Any]:
        """A row of `qtquant compare`; the histogram as pairs of where a bin begins and its count, empty ones left out."""
        filled = np.flatnonzero(self.error_histogram[: ERROR_BINS - 4]).tolist()  # the last four are no numbers
        begins = error_edges()
        return {
            "scheme": self.scheme.to_json(),
            "label": self.scheme.label,
            "bytes": self.bytes,
            "bits_per_weight": self.bits_per_weight,
            **self.errors.to_json(),
            "error_histogram": [[float(begins[k]), int(self.error_histogram[k])] for k in filled],
            "tensors": [tensor.to_json() for tensor in self.tensors],
            "refusals": list(self.refusals),
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of `compare`: one row a scheme, in the order asked for."""

    layers: tuple[str, ...]
    """The tensors that every row is over."""
    format: str
    rows: tuple[Compared, ...]
    skipped: tuple[Mismatch, ...] = ()
    """Tensors that could not be measured, and why."""

    def to_json(self) -> dict[str, Any]:
        """The document of `qtquant compare`."""
        return {
            "layers": list(self.layers),
            "format": self.format,
            "schemes": [row.to_json() for row in self.rows],
            "skipped": [{"layer": skipped.where, "reason": skipped.text} for skipped in self.skipped],
        }


@dataclass(frozen=True, slots=True)
class _One:
    """One tensor under one scheme."""

    report: TensorReport
    channels: NDArray[np.float32]
    """||e|| / ||w|| of each row."""
    histogram: NDArray[np.int64]
    refusal: str


def layers_like(checkpoint: Checkpoint, patterns: Sequence[str]) -> tuple[str, ...]:
    """The tensors that `patterns` name, each once: a tensor, its module or a slice by its name, quantizable ones by a glob.

    Raises UsageError where a pattern names none.
    """
    found: dict[str, None] = {}
    for pattern in patterns:
        try:
            names = [find(checkpoint, pattern).name]
        except UsageError:
            names = [t.name for t in checkpoint.tensors if t.quantizable and _named(pattern, t.name, t.module)]
            if not names:
                raise
        found |= dict.fromkeys(names)
    return tuple(found)


def _named(pattern: str, name: str, module: str) -> bool:
    return matches(pattern, name) or matches(pattern, module)


def compare(
    checkpoint: Checkpoint, layers: Sequence[str], schemes: Sequence[Scheme], *, format: str = "", device: str = "auto"
) -> Generator[Event, None, Comparison]:
    """Quantizes each of `layers` under each of `schemes` in memory and adds up what is lost.

    `format` says what the bytes are; another answers where it cannot hold a tensor. A tensor with a weight that is not
    finite is left out of all rows and named. Raises UsageError where there is no such tensor or no scheme, PlanError,
    before any work, where no format can hold one of them under one of the schemes, SourceError where no tensor is left.
    """
    if not schemes or not layers:
        raise UsageError("there is nothing to compare", hint="name a tensor and a scheme", code="nothing")
    schemes, matrices = tuple(dict.fromkeys(schemes)), {m.name: m for m in (find(checkpoint, name) for name in layers)}
    for scheme in schemes:
        check_method(scheme)
    given = {(m.name, s): as_written(checkpoint, m, s, format) for m in matrices.values() for s in schemes}
    stored = {(m.name, s): stored_bytes(m, given[m.name, s], format) for m in matrices.values() for s in schemes}
    yield RunStarted(len(matrices), sum(bytes_read(m, scheme) for m in matrices.values() for scheme in schemes))
    found: dict[str, list[_One]] = {}
    refused: dict[str, QtQuantError] = {}
    with open_tools(checkpoint, find_format(format or DEFAULT_FORMAT), resolve(device)) as tools:
        yield StageChanged("quantize")
        for name, matrix in matrices.items():
            try:
                found[name] = yield from _all_schemes(
                    tools, matrix, [(given[name, s], stored[name, s]) for s in schemes]
                )
            except SourceError as error:
                refused[name] = error
    if not found:
        raise next(iter(refused.values()))
    rows = tuple(_row(scheme, [ones[at] for ones in found.values()]) for at, scheme in enumerate(schemes))
    skipped = tuple(Mismatch(name, error.message) for name, error in refused.items())
    return Comparison(tuple(found), format or DEFAULT_FORMAT, rows, skipped)


def _all_schemes(
    tools: Tools, matrix: Matrix, schemes: Sequence[tuple[Scheme, int]]
) -> Generator[Event, None, list[_One]]:
    """Under each scheme, which comes with its bytes."""
    found = []
    for scheme, stored in schemes:
        found.append((yield from _one(tools, matrix, scheme, stored)))
    return found


def _one(tools: Tools, matrix: Matrix, scheme: Scheme, stored: int) -> Generator[Event, None, _One]:
    def take(raw: Raw, chunk: QuantizedChunk, start: int) -> tuple[RowErrors, NDArray[np.int64]]:
        return chunk.errors, cell_errors(raw, matrix.dtype, chunk, scheme, matrix.columns).counts

    found = yield from chunks(tools, matrix, scheme, take)
    rows = RowErrors.concat([errors for errors, _ in found])
    report = TensorReport(matrix.name, scheme, stored, rows.sums(matrix.columns))
    counts: NDArray[np.int64] = np.sum([counts for _, counts in found], axis=0, dtype=np.int64)
    return _One(report, relative(rows.square_error, rows.square_weight), counts, tools.format.refuses(matrix, scheme))


def _row(scheme: Scheme, ones: Sequence[_One]) -> Compared:
    errors = ErrorSums.added(one.report.errors for one in ones)
    stored = sum(one.report.bytes for one in ones)
    return Compared(
        scheme=scheme,
        bytes=stored,
        bits_per_weight=round(8 * stored / errors.weights, 6),
        errors=errors,
        error_histogram=np.sum([one.histogram for one in ones], axis=0, dtype=np.int64),
        channels=_curve(np.concatenate([one.channels for one in ones])),
        tensors=tuple(one.report for one in ones),
        refusals=tuple(dict.fromkeys(one.refusal for one in ones if one.refusal)),
    )


def _curve(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """`values`, the largest first; of many, those at evenly spaced ranks, the first and the last among them."""
    ordered = np.sort(values)[::-1]
    places = np.unique(np.linspace(0, len(ordered) - 1, min(CURVE, len(ordered))).astype(np.int64))
    return np.ascontiguousarray(ordered[places])
