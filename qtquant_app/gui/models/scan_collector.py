"""Takes the tensors of a scan in as they come, and makes digests of them: the worker's side of the model's map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import nan
from time import sleep

import numpy as np

from qtquant_app.core.checkpoint import Checkpoint, Kind
from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.scan import Flag, ScanReport, TensorScan
from qtquant_app.core.scan_reports import RecalledReports
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.flags import flag_words
from qtquant_app.gui.models.measures import MEASURES, SQNR
from qtquant_app.gui.models.model_grid import grid_of
from qtquant_app.gui.models.scan_digest import Digest, Places
from qtquant_app.gui.models.tensor_nodes import natural
from qtquant_app.ramps import SHADES

BREATH, BREATH_SECONDS = 256, 0.001
"""After so many tensors the worker rests: a loop in Python makes the window wait for each name that it draws."""
_KINDS = {kind: at for at, kind in enumerate(sorted(Kind, key=lambda kind: kind.value))}
_UNKNOWN = len(_KINDS)


class Collector:
    """Takes tensors in as they are scanned."""

    def __init__(self, names: Sequence[str], expected: Iterable[bool], empty: ScanReport) -> None:
        self._empty = empty
        self._grid = grid_of(names)
        self._index = {name: at for at, name in enumerate(names)}
        self._columns = {id(scheme): column for column, scheme in enumerate(empty.schemes)}
        self._scans: list[TensorScan | None] = [None] * len(names)
        self._waiting: list[int] = []
        """Tensors that have come, and are in none of the arrays yet."""
        self._cached = 0
        self._flags: dict[str, tuple[Flag, ...]] = {}
        order = sorted(range(len(names)), key=lambda at: natural(names[at]))
        self._ranks = np.empty(len(names), np.intp)
        self._ranks[order] = np.arange(len(names))
        self._expected = np.fromiter(expected, bool, len(names))
        shape = len(names), len(empty.schemes)
        self._figures = {m.key: np.full(shape if m.scheme else shape[:1], nan) for m in MEASURES}
        self._low, self._high, self._weights = (np.full(len(names), nan) for _ in range(3))
        self._sums = np.full((*shape, 4), nan)
        self._measured = np.zeros(shape, bool)
        self._kinds = np.full(len(names), _UNKNOWN, np.intp)

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, schemes: tuple[Scheme, ...], format: str) -> Collector:
        """Awaits the tensors of `checkpoint`."""
        tensors = [tensor for tensor in checkpoint.tensors if tensor.tied_to is None]
        empty = ScanReport(checkpoint.label, format, schemes, (), 0)
        return cls([tensor.name for tensor in tensors], (tensor.quantizable for tensor in tensors), empty)

    def add(self, scan: TensorScan, cached: bool) -> None:
        """Takes one tensor in; one that nobody awaits is left out until the report is whole."""
        at = self._index.get(scan.name)
        if at is not None:
            self._scans[at] = scan
            self._waiting.append(at)
            self._cached += cached

    def awaited(self, report: ScanReport) -> bool:
        """Whether the tensors of `report` are those that were awaited, and all have come."""
        return (
            len(report.tensors) == len(self._scans)
            and not any(scan is None for scan in self._scans)
            and all(scan.name in self._index for scan in report.tensors)
        )

    def digest(self, whole: ScanReport | None = None) -> Digest:
        """What has come so far, under the report of a scan that has ended or under one of these tensors."""
        self._sort_in()
        done = tuple(scan for scan in self._scans if scan is not None)
        empty, every = self._empty, self._figures[SQNR.key]
        shades = SQNR.shades(every, SQNR.ends(every))
        return Digest(
            report=whole or ScanReport(empty.label, empty.format, empty.schemes, done, self._cached),
            grid=self._grid,
            scans=tuple(self._scans),
            seen=~np.isnan(self._weights),
            flags=dict(self._flags),
            odd=self._odd(),
            kinds=self._kinds.copy(),
            figures={key: values.copy() for key, values in self._figures.items()},
            low=self._low.copy(),
            high=self._high.copy(),
            weights=self._weights.copy(),
            sums=self._sums.copy(),
            measured=self._measured.copy(),
            shades=np.where(np.isnan(shades), -1, np.nan_to_num(shades) * (SHADES - 1)).astype(np.intp),
            ranks=self._ranks,
            expected=self._expected.copy(),
            index=self._index,
        )

    def _odd(self) -> Places:
        words = {name: flag_words(flags) for name, flags in self._flags.items()}
        numbers = {text: at for at, text in enumerate(sorted(set(words.values())), 1)}
        found = np.zeros(len(self._scans), np.intp)
        for name, text in words.items():
            found[self._index[name]] = numbers[text]
        return found

    def _sort_in(self) -> None:
        """Puts what has come into the arrays."""
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), BREATH):
            places = waiting[start : start + BREATH]
            scans = [scan for at in places if (scan := self._scans[at]) is not None]
            self._note_weights(places, scans)
            self._note_errors(places, scans)
            if len(places) == BREATH:
                sleep(BREATH_SECONDS)

    def _note_weights(self, places: Sequence[int], scans: Sequence[TensorScan]) -> None:
        stats, figures = [scan.stats for scan in scans], self._figures
        low, high = np.array([found.minimum for found in stats]), np.array([found.maximum for found in stats])
        self._low[places], self._high[places] = low, high
        self._weights[places] = [found.weights for found in stats]
        self._kinds[places] = [_KINDS[scan.kind] for scan in scans]
        figures["range"][places] = high - low
        figures["std"][places] = [found.std for found in stats]
        figures["kurtosis"][places] = [found.kurtosis for found in stats]
        figures["outliers"][places] = [found.outliers / found.weights if found.weights else 0.0 for found in stats]
        figures["count"][places] = [found.outliers for found in stats]
        self._flags |= {scan.name: flags for scan in scans if (flags := scan.flags)}

    def _note_errors(self, places: Sequence[int], scans: Sequence[TensorScan]) -> None:
        found = [part for at, scan in zip(places, scans, strict=True) for part in self._errors_of(at, scan.reports)]
        if not found:
            return
        rows, columns, bits, errors = zip(*found, strict=True)
        at, figures = (list(rows), list(columns)), self._figures
        self._expected[at[0]] = True
        self._measured[at] = True
        self._sums[at] = [_sums(sums) for sums in errors]
        figures["sqnr"][at] = [sums.sqnr_db for sums in errors]
        figures["relative"][at] = [sums.relative_error for sums in errors]
        figures["largest"][at] = [sums.max_error for sums in errors]
        figures["bits"][at] = [
            count / sums.weights if sums.weights else nan for count, sums in zip(bits, errors, strict=True)
        ]

    def _errors_of(self, at: int, reports: Sequence[TensorReport]) -> Iterator[tuple[int, int, int, ErrorSums]]:
        """The tensor, the column of each scheme, the bits it takes there, and its errors."""
        if isinstance(reports, RecalledReports):
            for size, sums in reports.errors():
                yield at, self._column(size.scheme), 8 * size.bytes, sums
            return
        for report in reports:
            yield at, self._column(report.scheme), 8 * report.bytes, report.errors

    def _column(self, scheme: Scheme) -> int:
        column = self._columns.get(id(scheme))
        if column is None:  # equal, but not the same object: a scan that came from a file
            return self._empty.schemes.index(scheme)
        return column


def digest_of(report: ScanReport) -> Digest:
    """The arrays of a scan that has ended."""
    names = [scan.name for scan in report.tensors]
    collector = Collector(names, (bool(scan.reports) for scan in report.tensors), report)
    for scan in report.tensors:
        collector.add(scan, False)
    return collector.digest(report)


def _sums(errors: ErrorSums) -> tuple[float, float, float, float]:
    return errors.square_error, errors.square_weight, errors.square_dequantized, errors.max_error
