"""A scan as arrays, ready to be drawn: made in the worker, so that the window only picks from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import Flag, ScanReport, TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.measures import Measure, Numbers
from qtquant_app.gui.models.model_grid import ModelGrid

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Digest:
    """The tensors of a scan, T of them, S schemes. Where a tensor was not scanned yet its figures are NaN."""

    report: ScanReport
    grid: ModelGrid
    scans: tuple[TensorScan | None, ...]
    seen: NDArray[np.bool_]
    """Which tensors have been scanned [T]."""
    flags: dict[str, tuple[Flag, ...]]
    """What is odd about those tensors that are."""
    odd: Places
    """Which tensors are odd, and a number that sorts them by what is odd about them: 0 for nothing [T]."""
    kinds: Places
    """A number that sorts tensors by their kind [T]."""
    figures: dict[str, Numbers]
    """By the key of a measure: [T, S] where it depends on a scheme, [T] where it does not."""
    low: Numbers
    """Smallest weight [T]."""
    high: Numbers
    """Largest weight [T]."""
    weights: Numbers
    """How many there are [T]."""
    sums: Numbers
    """square_error, square_weight, square_dequantized and max_error as in ErrorSums [T, S, 4]; NaN where there is no report."""
    measured: NDArray[np.bool_]
    """Where there is one [T, S]."""
    shades: Places
    """How bad each SQNR is among all of them under all schemes, as the number of its colour; -1 where there is none [T, S]."""
    ranks: Places
    """Place of each name in their natural order [T]."""
    expected: NDArray[np.bool_]
    """Whether a tensor has, or will have, errors [T]."""
    index: dict[str, int] = field(default_factory=dict)
    """Tensors by name."""

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        return self.report.schemes

    @property
    def whole(self) -> bool:
        """Whether all tensors have been scanned."""
        return bool(self.seen.all())

    def values(self, measure: Measure, scheme: int) -> Numbers:
        """One figure a tensor [T]; `scheme` counts those of the scan and matters only where the measure depends on it."""
        found = self.figures[measure.key]
        return found[:, scheme] if measure.scheme else found

    def error(self, name: str, scheme: Scheme) -> ErrorSums | None:
        """What the scan found out about a tensor under `scheme`."""
        at, column = self.index.get(name), self._column(scheme)
        if at is None or column is None or not self.measured[at, column]:
            return None
        return ErrorSums(int(self.weights[at]), *self.sums[at, column].tolist())

    def errors(self, names: Sequence[str], scheme: Scheme) -> Numbers:
        """The same of many tensors, those n that have any: the fields of ErrorSums [n, 5]."""
        column = self._column(scheme)
        if column is None:
            return np.empty((0, 5))
        places = np.array([self.index.get(name, -1) for name in names], np.intp)
        known = places[(places >= 0) & self.measured[places, column]]
        return np.column_stack([self.weights[known], self.sums[known, column]])

    def _column(self, scheme: Scheme) -> int | None:
        return next((at for at, other in enumerate(self.schemes) if other is scheme or other == scheme), None)

    def since(self, before: Digest | None) -> list[str]:
        """The tensors that were scanned after `before`, an earlier state of the same scan or any other."""
        more = self.seen if before is None or before.index is not self.index else self.seen & ~before.seen
        return [self.grid.names[at] for at in np.flatnonzero(more).tolist()]
