"""Quantized checkpoints side by side: how large each is, and how far from its original."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.report import finite


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One quantized checkpoint; None where nothing says it."""

    path: str
    name: str
    """The last part of its path; for one in the Hub's cache its name there."""
    base: str
    """What it was made from."""
    format: str
    scheme: str
    """The label of the scheme of most weights, such as `W4 g128 sym gptq`."""
    methods: tuple[str, ...]
    """All that some tensor was quantized by."""
    ours: bool
    """Whether a run of QtQuant recorded it."""
    bytes: int
    """Of its weight files."""
    bits_per_weight: float
    """Of the quantized tensors, scales and zero points included."""
    coverage_percent: float | None = None
    """Of the parameters of linear layers and experts; None where it is somebody else's."""
    relative_error: float | None = None
    """Of all quantized weights as one."""
    evaluations: tuple[Evaluated, ...] = ()
    seconds: float | None = None
    """That the run took, as this machine's history of jobs has it."""
    best: bool = False
    """Whether no other is both no larger and nearer to the same original; False where its KL divergence is not known."""

    @property
    def evaluation(self) -> Evaluated | None:
        """The newest that has a KL divergence; else the newest."""
        told = [one for one in self.evaluations if one.kl is not None]
        return next(iter(reversed(told or self.evaluations)), None)

    @property
    def kl(self) -> float | None:
        return None if self.evaluation is None else self.evaluation.kl

    def to_json(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "name": self.name,
            "base": self.base,
            "format": self.format,
            "scheme": self.scheme,
            "methods": list(self.methods),
            "ours": self.ours,
            "bytes": self.bytes,
            "bits_per_weight": finite(self.bits_per_weight),
            "coverage_percent": self.coverage_percent,
            "relative_error": None if self.relative_error is None else finite(self.relative_error),
            "seconds": self.seconds,
            "best": self.best,
            "evaluations": [one.to_json() for one in self.evaluations],
        }


@dataclass(frozen=True, slots=True)
class Skipped:
    """A folder that was named, or looks like a result, and is none that can be read."""

    path: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "reason": self.reason}


@dataclass(frozen=True, slots=True)
class ResultTable:
    """Rows by bytes, the smallest first."""

    rows: tuple[ResultRow, ...]
    skipped: tuple[Skipped, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        return {"results": [row.to_json() for row in self.rows], "skipped": [one.to_json() for one in self.skipped]}


def table(rows: Iterable[ResultRow], skipped: Sequence[Skipped] = ()) -> ResultTable:
    """The rows in order, the best marked: each is held against those made from the same and judged on the same samples."""
    ordered = sorted(rows, key=lambda row: (row.bytes, row.path))
    return ResultTable(tuple(replace(row, best=_is_best(row, ordered)) for row in ordered), tuple(skipped))


def _is_best(row: ResultRow, rows: Sequence[ResultRow]) -> bool:
    if row.kl is None:
        return False
    others = [other for other in rows if other is not row and _comparable(row, other)]
    return not any(_beats(other, row) for other in others)


def _comparable(one: ResultRow, other: ResultRow) -> bool:
    mine, theirs = one.evaluation, other.evaluation
    if mine is None or theirs is None or theirs.kl is None:
        return False
    return (one.base, mine.text, mine.tokens) == (other.base, theirs.text, theirs.tokens)


def _beats(other: ResultRow, row: ResultRow) -> bool:
    assert other.kl is not None and row.kl is not None
    no_worse = other.bytes <= row.bytes and other.kl <= row.kl
    return no_worse and (other.bytes < row.bytes or other.kl < row.kl)


COLUMNS = (
    "name",
    "format",
    "scheme",
    "methods",
    "bytes",
    "bits_per_weight",
    "base",
    "text",
    "tokens",
    "base_perplexity",
    "perplexity",
    "kl",
    "kl_interval",
    "top1_agreement",
    "relative_error",
    "seconds",
    "best",
    "path",
)
"""Of a table of results as CSV."""


def csv_rows(found: ResultTable) -> Iterable[tuple[object, ...]]:
    """The values under `COLUMNS`, row by row; empty where nothing says them."""
    for row in found.rows:
        one = row.evaluation
        values: dict[str, object] = {
            **{name: getattr(row, name) for name in COLUMNS if hasattr(row, name)},
            "methods": " ".join(row.methods),
            "best": int(row.best),
        }
        if one is not None:
            for name in ("text", "tokens", "base_perplexity", "perplexity", "kl", "kl_interval", "top1_agreement"):
                values[name] = getattr(one, name)
        yield tuple("" if values.get(name) is None else values[name] for name in COLUMNS)
