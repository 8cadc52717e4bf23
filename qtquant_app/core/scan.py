"""What a look at every tensor finds: what its weights are like, and what each scheme would do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import sqrt
from typing import Any

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.report import ErrorSums, TensorReport, finite
from qtquant_app.core.scan_reports import RecalledReports
from qtquant_app.core.scheme import Scheme

OUTLIER_SIGMAS = 6.0
"""A weight is an outlier where it lies further from the mean than so many standard deviations."""
EXTREME = 100.0
"""A tensor has extreme outliers where its largest |w| is more than so many times the root mean square of the others."""
RUN = 16
"""Weights in an aligned run of a row; a run of one value other than zero is a constant group."""


DEFAULT_SCHEMES = (
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(bits=4, group_size=128),
    Scheme(bits=4, group_size=128, symmetric=False, method="mse"),
    Scheme(bits=4, group_size=32, symmetric=False),
    Scheme(bits=3, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=2, group_size=32, symmetric=False, method="mse"),
)
"""What a scan tries unless told otherwise: from nearly lossless to what few models bear."""


class Flag(StrEnum):
    """What is odd about a tensor. Each shows as its word, never as a colour alone."""

    NON_FINITE = "NaN or infinite"
    ALL_ZERO = "all zero"
    CONSTANT = "constant"
    DEAD_CHANNELS = "dead channels"
    CONSTANT_GROUPS = "constant groups"
    OUTLIERS = "extreme outliers"


@dataclass(frozen=True, slots=True)
class TensorStats:
    """What the weights of a tensor are like, over its finite weights; no scheme has a part in it."""

    weights: int
    non_finite: int
    """How many are NaN or infinite."""
    minimum: float
    maximum: float
    mean: float
    std: float
    """Standard deviation of the whole, not of a sample."""
    kurtosis: float
    """Fourth standardized moment less 3: 0 for a normal distribution; 0 where the weights are one value."""
    outliers: int
    """Weights more than OUTLIER_SIGMAS standard deviations from the mean."""
    zeros: int
    dead_rows: int
    """Output channels all zero."""
    dead_columns: int
    """Input columns all zero."""
    constant_groups: int
    """Aligned runs of RUN weights of a row that are one value other than zero."""

    @property
    def rms(self) -> float:
        return sqrt(self.mean**2 + self.std**2)

    @property
    def peak(self) -> float:
        """Largest |w|."""
        return max(abs(self.minimum), abs(self.maximum))

    @property
    def rest_rms(self) -> float:
        """Root of the mean square of all weights but the largest: that one would hide itself among few."""
        finite = self.weights - self.non_finite
        rest = finite * (self.mean**2 + self.std**2) - self.peak**2
        return sqrt(max(rest, 0.0) / (finite - 1)) if finite > 1 else self.peak

    def flags(self, rows: int) -> tuple[Flag, ...]:
        """What is odd, the gravest first, in a tensor of `rows` rows."""
        found: list[Flag] = []
        if not self.weights:
            return ()
        if self.non_finite:
            found.append(Flag.NON_FINITE)
        if self.zeros == self.weights:
            return (*found, Flag.ALL_ZERO)
        if self.minimum == self.maximum and not self.non_finite and self.weights > 1:
            return (Flag.CONSTANT,)
        if (self.dead_rows or self.dead_columns) and rows > 1:
            found.append(Flag.DEAD_CHANNELS)
        if self.constant_groups and rows > 1:
            found.append(Flag.CONSTANT_GROUPS)
        if self.peak > EXTREME * self.rest_rms:
            found.append(Flag.OUTLIERS)
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class TensorScan:
    """One tensor of a scan. A stack of experts is one tensor: its numbers are over all of its slices."""

    name: str
    module: str
    kind: Kind
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    stats: TensorStats
    reports: Sequence[TensorReport] = ()
    """Its errors under each scheme of the scan that it can be quantized by, in the scan's order."""
    skipped: str = ""
    """Why there are no reports; empty where there are."""

    @property
    def flags(self) -> tuple[Flag, ...]:
        return self.stats.flags(self.shape[0] if len(self.shape) > 1 else 1)

    def report(self, scheme: Scheme) -> TensorReport | None:
        """Its errors under `scheme`."""
        if isinstance(self.reports, RecalledReports):
            return self.reports.under(scheme)
        return next((report for report in self.reports if report.scheme == scheme), None)

    def to_json(self) -> dict[str, Any]:
        stats = {
            key: finite(value) if isinstance(value, float) else value for key, value in self.stats.to_json().items()
        }
        return {
            "name": self.name,
            "kind": self.kind.value,
            "dtype": self.dtype,
            "shape": list(self.shape),
            "bytes": self.bytes,
            "stats": stats,
            "flags": [flag.value for flag in self.flags],
            "reports": [report.to_json() for report in self.reports],
            "skipped": self.skipped,
        }


@dataclass(frozen=True, slots=True)
class SchemeTotal:
    """What a scheme comes to over all tensors that it was tried on."""

    scheme: Scheme
    tensors: int
    bytes: int
    """Of the quantized tensors alone."""
    errors: ErrorSums
    worst: str
    """The tensor with the lowest SQNR."""

    @property
    def bits_per_weight(self) -> float:
        return round(8 * self.bytes / self.errors.weights, 6) if self.errors.weights else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "scheme": self.scheme.to_json(),
            "label": self.scheme.label,
            "tensors": self.tensors,
            "bytes": self.bytes,
            "bits_per_weight": self.bits_per_weight,
            **self.errors.to_json(),
            "worst": self.worst,
        }


@dataclass(frozen=True, slots=True)
class ScanReport:
    """The result of `engine.scan.scan`: every tensor of a checkpoint, in the checkpoint's order."""

    label: str
    format: str
    schemes: tuple[Scheme, ...]
    tensors: tuple[TensorScan, ...]
    cached: int
    """How many tensors came whole from the cache."""

    @property
    def totals(self) -> tuple[SchemeTotal, ...]:
        """One for each scheme that any tensor could take, in the scan's order."""
        return tuple(total for total in map(self._total, self.schemes) if total.tensors)

    def worst(self, scheme: Scheme) -> tuple[TensorReport, ...]:
        """All reports under `scheme`, the lowest SQNR first."""
        found = [report for tensor in self.tensors if (report := tensor.report(scheme)) is not None]
        return tuple(sorted(found, key=lambda report: (report.errors.sqnr_db, report.name)))

    def _total(self, scheme: Scheme) -> SchemeTotal:
        ranked = self.worst(scheme)
        errors = ErrorSums.added(report.errors for report in ranked)
        worst = ranked[0].name if ranked else ""
        return SchemeTotal(scheme, len(ranked), sum(report.bytes for report in ranked), errors, worst)

    def to_json(self) -> dict[str, Any]:
        return {
            "label": self.label,
            "format": self.format,
            "schemes": [scheme.to_json() for scheme in self.schemes],
            "totals": [total.to_json() for total in self.totals],
            "tensors": [tensor.to_json() for tensor in self.tensors],
            "cached": self.cached,
        }
