"""How fast this machine reads, computes and writes, and how long a run takes at such speeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.plan import OutFile
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.layout import Decision
from qtquant_app.quant.methods import find

_PASS, _FACTOR, _ROUND = 1.6e-9, 0.55e-9, 2.0e-9
"""Processor seconds per source byte of one pass over 16-bit weights, of each further range that a method tries, and of each
round of the half-quadratic solver."""
_COPY, _COMPARE = 0.6e-9, 1.5e-9
_START, _TENSOR = 0.1, 0.25e-3
"""Seconds of a run beside its bytes, and beside those for each tensor: tasks, journal, record."""
_COMMIT_EVERY = 2.0
CHUNK_BYTES = 4 << 20


def work_label(dtype: str, scheme: Scheme | None) -> str:
    """Names a kind of work: weights of a dtype under a scheme, or tensors that are carried over."""
    return "keep" if scheme is None else f"{dtype} {scheme.label}"


@dataclass(frozen=True)
class Speeds:
    """Seconds per byte with all threads at work."""

    quantize: Mapping[str, float] = field(default_factory=dict)
    """By kind of work, per source byte: reading, quantizing and writing."""
    verify: Mapping[str, float] = field(default_factory=dict)
    """Likewise: reading both back and comparing."""
    sync: float = 1.0e-9
    """Per byte written: until it is on the drive."""
    hash: float = 0.7e-9
    """Per byte written: reading it back and hashing it."""

    def to_json(self) -> dict[str, Any]:
        return {
            "quantize": dict(self.quantize),
            "verify": dict(self.verify),
            "sync": self.sync,
            "hash": self.hash,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Speeds:
        """The inverse of `to_json`. Raises ValueError where it is none."""
        try:
            passes = [
                {_work(name): _pace(value) for name, value in data[key].items()} for key in ("quantize", "verify")
            ]
            return cls(passes[0], passes[1], _pace(data["sync"]), _pace(data["hash"]))
        except (KeyError, TypeError, AttributeError, OverflowError, QtQuantError) as error:
            raise ValueError(str(error)) from None

    def joined(self, newer: Speeds) -> Speeds:
        """These, and those of `newer` where both have been measured."""
        passes = {**self.quantize, **newer.quantize}, {**self.verify, **newer.verify}
        return Speeds(*passes, newer.sync, newer.hash)


def _work(name: str) -> str:
    """`name`, where it names a kind of work."""
    _usual_of(name, 1)
    return name


def _pace(value: float) -> float:
    """Seconds per byte: between the fastest memory and the slowest drive."""
    if not 0 <= float(value) < 1:
        raise ValueError(f"{value} is no pace")
    return float(value)


def usual(dtype: str, scheme: Scheme | None, threads: int) -> tuple[float, float]:
    """Seconds per source byte of (quantizing, verifying) on a usual machine: a server's cores, of which `threads` are at work."""
    if scheme is None:
        return _COPY / threads, _COPY / threads
    narrow = 0.5 if dtype == "F32" else 1.0
    method = find(scheme.method)
    further = (len(method.factors) - 1) * _FACTOR + len(method.shrinks) * _ROUND
    passes = _PASS * (1.5 if scheme.needs_extremes or scheme.strategy == "block" else 1) + further
    return narrow * passes / threads, narrow * _COMPARE / threads


def seconds_of(
    decisions: Iterable[Decision],
    files: Sequence[OutFile],
    copied_bytes: int,
    threads: int,
    verify: str,
    speeds: Speeds | None = None,
) -> float:
    """How long a run takes.

    Threads quantize, then verify. Beside them, on a thread of its own, what is written is synced, and hashed as soon as a file is
    whole: what is left of that when the last tensor is done runs beside the verification, and shares the processors with it.
    """
    speeds = speeds or Speeds()
    pace = _Pace(speeds, threads)
    quantizing = verifying = 0.0
    count = 0
    for tensor, scheme in ((d.tensor, d.scheme) for d in decisions):
        if tensor.tied_to is not None:
            continue
        first, again = pace.of(tensor.dtype, scheme)
        read = min(tensor.nbytes, CHUNK_BYTES) if verify == "quick" else tensor.nbytes
        quantizing, verifying, count = quantizing + first * tensor.nbytes, verifying + again * read, count + 1
    written = sum(file.nbytes for file in files)
    last = files[-1].nbytes / written if written else 1.0
    syncing, hashing = written * speeds.sync, written * speeds.hash
    left = max(syncing * min(1.0, _COMMIT_EVERY / max(quantizing, 1e-9)) * last, syncing - quantizing) + hashing * last
    beside = (verifying if verify != "none" else 0.0) + hashing / threads
    copying = copied_bytes * (speeds.sync + speeds.hash)
    return _START + _TENSOR * count + quantizing + max(beside, left) + copying


class _Pace:
    """Seconds per source byte of each kind of work: measured, or else the usual in the measure of what was measured."""

    def __init__(self, speeds: Speeds, threads: int) -> None:
        self._speeds = speeds
        self._threads = threads
        self._known: dict[tuple[str, Scheme | None], tuple[float, float]] = {}

    def of(self, dtype: str, scheme: Scheme | None) -> tuple[float, float]:
        key = ("" if scheme is None else dtype, scheme)
        if key not in self._known:
            name, (first, again) = work_label(dtype, scheme), usual(dtype, scheme, self._threads)
            quantize, verify = self._speeds.quantize.get(name), self._speeds.verify.get(name)
            self._known[key] = (
                first * self._scale(self._speeds.quantize, 0) if quantize is None else quantize,
                again * self._scale(self._speeds.verify, 1) if verify is None else verify,
            )
        return self._known[key]

    def _scale(self, measured: Mapping[str, float], which: int) -> float:
        """How much slower than usual this machine is, as far as it was measured."""
        ratios = [value / _usual_of(name, self._threads)[which] for name, value in measured.items()]
        return median(ratios) if ratios else 1.0


def _usual_of(name: str, threads: int) -> tuple[float, float]:
    from qtquant_app.core.scheme_label import parse_label

    if name == "keep":
        return usual("", None, threads)
    dtype, _, label = name.partition(" ")
    return usual(dtype, parse_label(label), threads)
