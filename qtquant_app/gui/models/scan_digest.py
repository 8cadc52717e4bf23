"""A scan as arrays, ready to be drawn: made in the worker, so that the window only picks from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import nan
from time import sleep

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.scan import Flag, ScanReport, TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.measures import MEASURES, SQNR, Measure, Numbers
from qtquant_app.gui.models.model_grid import ModelGrid, grid_of
from qtquant_app.gui.models.tensor_nodes import natural

BREATH, BREATH_SECONDS = 64, 0.001
"""After so many tensors the worker rests: a loop in Python makes the window wait for each name that it draws."""


@dataclass(frozen=True)
class Digest:
    """The tensors of a scan, T of them, S schemes. Where a tensor was not scanned yet its figures are NaN."""

    report: ScanReport
    grid: ModelGrid
    scans: tuple[TensorScan | None, ...]
    flags: dict[str, tuple[Flag, ...]]
    """What is odd about those tensors that are."""
    figures: dict[str, Numbers]
    """By the key of a measure: [T, S] where it depends on a scheme, [T] where it does not."""
    low: Numbers
    """Smallest weight [T]."""
    high: Numbers
    """Largest weight [T]."""
    ranks: NDArray[np.intp]
    """Place of each name in their natural order [T]."""
    expected: NDArray[np.bool_]
    """Whether a tensor has, or will have, errors [T]."""
    index: dict[str, int] = field(default_factory=dict)
    """Tensors by name."""

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        return self.report.schemes

    def values(self, measure: Measure, scheme: int) -> Numbers:
        """One figure a tensor [T]; `scheme` counts those of the scan and matters only where the measure depends on it."""
        found = self.figures[measure.key]
        return found[:, scheme] if measure.scheme else found

    def flagged(self) -> NDArray[np.bool_]:
        """Whether each tensor is odd [T]."""
        return np.array([name in self.flags for name in self.grid.names], bool)

    def tinted(self, scheme: int) -> Numbers:
        """How bad each tensor's SQNR is under a scheme among all of them under all schemes, 0 to 1 [T]."""
        every = self.figures[SQNR.key]
        return SQNR.shades(every[:, scheme], SQNR.ends(every))


class Collector:
    """Takes tensors in as they are scanned."""

    def __init__(self, names: Sequence[str], expected: Iterable[bool], empty: ScanReport) -> None:
        self._empty = empty
        self._grid = grid_of(names)
        self._index = {name: at for at, name in enumerate(names)}
        self._scans: list[TensorScan | None] = [None] * len(names)
        self._cached = 0
        self._flags: dict[str, tuple[Flag, ...]] = {}
        order = sorted(range(len(names)), key=lambda at: natural(names[at]))
        self._ranks = np.empty(len(names), np.intp)
        self._ranks[order] = np.arange(len(names))
        self._expected = np.fromiter(expected, bool, len(names))
        shapes = {m.key: (len(names), len(empty.schemes)) if m.scheme else (len(names),) for m in MEASURES}
        self._figures = {key: np.full(shape, nan) for key, shape in shapes.items()}
        self._low, self._high = np.full(len(names), nan), np.full(len(names), nan)

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> Collector:
        """Awaits the tensors of `checkpoint`."""
        tensors = [tensor for tensor in checkpoint.tensors if tensor.tied_to is None]
        empty = ScanReport(checkpoint.label, format, schemes, (), 0)
        return cls([tensor.name for tensor in tensors], (tensor.quantizable for tensor in tensors), empty)

    def add(self, scan: TensorScan, cached: bool) -> None:
        """Takes one tensor in; one that nobody awaits is left out until the report is whole."""
        at = self._index.get(scan.name)
        if at is None:
            return
        self._scans[at] = scan
        self._expected[at] |= bool(scan.reports)
        self._cached += cached
        if flags := scan.flags:
            self._flags[scan.name] = flags
        stats = scan.stats
        self._low[at], self._high[at] = stats.minimum, stats.maximum
        found = self._figures
        found["range"][at] = stats.maximum - stats.minimum
        found["std"][at] = stats.std
        found["kurtosis"][at] = stats.kurtosis
        found["outliers"][at] = stats.outliers / stats.weights if stats.weights else 0.0
        found["count"][at] = stats.outliers
        columns = {id(scheme): column for column, scheme in enumerate(self._empty.schemes)}
        for report in scan.reports:
            column = columns.get(id(report.scheme))
            if column is None:  # equal, but not the same object: a scan that came from a file
                column = self._empty.schemes.index(report.scheme)
            found["sqnr"][at, column] = report.errors.sqnr_db
            found["relative"][at, column] = report.errors.relative_error
            found["largest"][at, column] = report.errors.max_error
            found["bits"][at, column] = 8 * report.bytes / stats.weights if stats.weights else nan

    def awaited(self, report: ScanReport) -> bool:
        """Whether the tensors of `report` are those that were awaited, and all have come."""
        return (
            None not in self._scans
            and len(report.tensors) == len(self._scans)
            and all(scan.name in self._index for scan in report.tensors)
        )

    def digest(self, whole: ScanReport | None = None) -> Digest:
        """What has come so far, under the report of a scan that has ended or under one of these tensors."""
        done = tuple(scan for scan in self._scans if scan is not None)
        empty = self._empty
        report = whole or ScanReport(empty.label, empty.format, empty.schemes, done, self._cached)
        return Digest(
            report=report,
            grid=self._grid,
            scans=tuple(self._scans),
            flags=dict(self._flags),
            figures={key: values.copy() for key, values in self._figures.items()},
            low=self._low.copy(),
            high=self._high.copy(),
            ranks=self._ranks,
            expected=self._expected.copy(),
            index=self._index,
        )


def digest_of(report: ScanReport) -> Digest:
    """The arrays of a scan that has ended."""
    names = [scan.name for scan in report.tensors]
    collector = Collector(names, (bool(scan.reports) for scan in report.tensors), report)
    for count, scan in enumerate(report.tensors):
        collector.add(scan, False)
        if count % BREATH == 0:
            sleep(BREATH_SECONDS)
    return collector.digest(report)
