"""What the weights of a chunk are like: range, moments, zeros, dead channels, runs of one value. NaN and infinities are counted
and left out of everything else.

Moments are taken about the mean of each row and then put together, so that no large number is taken from another.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.scan import OUTLIER_SIGMAS, RUN, TensorStats
from qtquant_app.quant.chunk import Raw, checked
from qtquant_app.quant.kernels.jit import compiled, compiled_for_pictures
from qtquant_app.quant.kernels.source import KINDS, decode, flat, is_finite

_ZEROS, _NON_FINITE, _DEAD_ROWS, _RUNS = range(4)


@dataclass(frozen=True)
class Moments:
    """Sums over the weights of a chunk, or of several put together."""

    weights: int
    low: float
    high: float
    """Smallest and largest finite weight; infinity and minus infinity where there is none."""
    central: NDArray[np.float64]
    """How many are finite, their mean, and the sums of the 2nd, 3rd and 4th power of what they differ from it by; [5]."""
    counts: NDArray[np.int64]
    """Zeros, weights not finite, rows all zero, runs of one value other than zero; [4]."""
    alive: NDArray[np.bool_]
    """Which columns hold anything but zeros, [columns]."""

    @staticmethod
    def of(raw: Raw, dtype: str) -> Moments:
        """Those of a chunk [rows, columns]."""
        columns = checked(raw, dtype).shape[1]
        central, counts, alive = np.zeros(5), np.zeros(4, np.int64), np.zeros(columns, np.bool_)
        values, finite = np.empty((2, columns), np.float32)
        low, high = moment_rows(flat(raw), columns, KINDS[dtype], RUN, central, counts, alive, values, finite)
        return Moments(raw.size, float(low), float(high), central, counts, alive)

    def and_rows(self, other: Moments) -> Moments:
        """Both as one, `other` being further rows of the same matrix."""
        central = self.central.copy()
        merge(central, other.central)
        return Moments(
            self.weights + other.weights,
            min(self.low, other.low),
            max(self.high, other.high),
            central,
            self.counts + other.counts,
            self.alive | other.alive,
        )

    def and_matrix(self, other: Moments) -> Moments:
        """Both as one, `other` being the next matrix of a stack: its columns are its own."""
        joined = np.concatenate([self.alive, other.alive])
        both = self.and_rows(Moments(other.weights, other.low, other.high, other.central, other.counts, self.alive))
        return Moments(both.weights, both.low, both.high, both.central, both.counts, joined)

    @property
    def non_finite(self) -> int:
        """How many weights are NaN or infinite."""
        return int(self.counts[_NON_FINITE])

    @property
    def outlying(self) -> tuple[float, float]:
        """The least and the largest weight that is no outlier."""
        count, mean, square = self.central[:3].tolist()
        reach = OUTLIER_SIGMAS * sqrt(square / count) if count else 0.0
        return mean - reach, mean + reach

    def stats(self, outliers: int) -> TensorStats:
        """As the words of a scan; `outliers` have been counted in a second pass. No finite weight: all numbers are 0."""
        count, mean, square, _, fourth = self.central.tolist()
        return TensorStats(
            weights=self.weights,
            non_finite=self.non_finite,
            minimum=self.low if count else 0.0,
            maximum=self.high if count else 0.0,
            mean=mean,
            std=sqrt(square / count) if count else 0.0,
            kurtosis=count * fourth / square**2 - 3 if square**2 else 0.0,
            outliers=outliers,
            zeros=int(self.counts[_ZEROS]),
            dead_rows=int(self.counts[_DEAD_ROWS]),
            dead_columns=int(self.alive.size - self.alive.sum()),
            constant_groups=int(self.counts[_RUNS]),
        )


def outside(raw: Raw, dtype: str, low: float, high: float) -> int:
    """How many finite weights of a chunk lie below `low` or above `high`, which are compared in float64."""
    columns = checked(raw, dtype).shape[1]
    return int(outside_rows(flat(raw), columns, KINDS[dtype], low, high, np.empty(columns, np.float32)))


@compiled
def merge(into: Any, other: Any) -> None:
    """Adds the moments `other` float64 [5] to `into`.

    P. Pébay, "Formulas for robust, one-pass parallel computation of covariances and arbitrary-order statistical moments", 2008.
    """
    na, nb = into[0], other[0]
    if nb == 0:
        return
    n = na + nb
    delta = other[1] - into[1] if na > 0 else 0.0
    part_a, part_b = na / n, nb / n
    step = delta * part_b
    fourth = delta**4 * na * part_b * (part_a**2 - part_a * part_b + part_b**2)
    fourth += 6 * delta**2 * (part_a**2 * other[2] + part_b**2 * into[2])
    fourth += 4 * delta * (part_a * other[3] - part_b * into[3])
    third = delta**3 * na * part_b * (part_a - part_b) + 3 * delta * (part_a * other[2] - part_b * into[2])
    into[4] += other[4] + fourth
    into[3] += other[3] + third
    into[2] += other[2] + delta**2 * na * part_b
    into[1] = into[1] + step if na > 0 else other[1]
    into[0] = n


@compiled
def moment_rows(
    source: Any, columns: int, kind: int, run: int, central: Any, counts: Any, alive: Any, values: Any, finite: Any
) -> Any:
    """Adds bits [rows * columns] to central [5], counts [4] and alive [columns]; returns (smallest, largest).

    `values` and `finite`, float32 [columns], are scratch.
    """
    smallest, largest = np.float32(np.inf), np.float32(-np.inf)
    part = np.zeros(5)
    for row in range(len(source) // columns):
        decode(source, row * columns, columns, kind, values)
        zeros = _mark(values, columns, alive)
        counts[_ZEROS] += zeros
        counts[_DEAD_ROWS] += zeros == columns
        counts[_RUNS] += _constant_runs(values, columns, run)
        lo, hi, total, odd = _range(values, columns)
        if odd:
            counts[_NON_FINITE] += odd
            kept = _keep_finite(values, columns, finite)
            lo, hi, total, _ = _range(finite, kept)
            _central(finite, kept, lo, hi, total, part)
        else:
            _central(values, columns, lo, hi, total, part)
        merge(central, part)
        smallest, largest = min(smallest, lo), max(largest, hi)
    return smallest, largest


@compiled_for_pictures
def _mark(values: Any, columns: int, alive: Any) -> Any:
    """How many are zero; the columns of the others are alive."""
    zeros = np.int32(0)
    for i in range(columns):
        zero = values[i] == 0
        zeros += np.int32(zero)
        alive[i] |= not zero
    return zeros


@compiled_for_pictures
def _range(values: Any, count: int) -> Any:
    """(smallest, largest, sum, how many are not finite); the first three are of no use where any is."""
    lo, hi = np.float32(np.inf), np.float32(-np.inf)
    total, odd = 0.0, np.int32(0)
    for i in range(count):
        value = values[i]
        odd += np.int32(not is_finite(value))
        lo = value if value < lo else lo
        hi = value if value > hi else hi
        total += np.float64(value)
    return lo, hi, total, odd


@compiled
def _keep_finite(values: Any, count: int, out: Any) -> int:
    """Moves the finite ones to the front of `out`; returns how many there are."""
    kept = 0
    for i in range(count):
        if is_finite(values[i]):
            out[kept] = values[i]
            kept += 1
    return kept


@compiled_for_pictures
def _central(values: Any, count: int, lo: Any, hi: Any, total: float, out: Any) -> None:
    """Moments of values[:count] as `merge` takes them. One value throughout is its own mean, without any rounding."""
    out[:] = 0
    if count == 0:
        return
    mean = np.float64(lo) if lo == hi else total / count
    second = third = fourth = 0.0
    for i in range(count):
        off = np.float64(values[i]) - mean
        square = off * off
        second += square
        third += square * off
        fourth += square * square
    out[0], out[1], out[2], out[3], out[4] = count, mean, second, third, fourth


@compiled
def _constant_runs(values: Any, columns: int, run: int) -> int:
    """How many aligned runs hold one finite value other than zero."""
    found = 0
    for start in range(0, columns - run + 1, run):
        first = values[start]
        if values[start + 1] != first or first == 0 or not is_finite(first):
            continue
        same = True
        for i in range(start + 2, start + run):
            same &= values[i] == first
        found += same
    return found


@compiled
def outside_rows(source: Any, columns: int, kind: int, low: float, high: float, values: Any) -> int:
    """How many finite numbers of bits [rows * columns] lie outside [low, high]; `values` float32 [columns] is scratch."""
    found = 0
    for row in range(len(source) // columns):
        decode(source, row * columns, columns, kind, values)
        for i in range(columns):
            value = np.float64(values[i])
            if (value < low or value > high) and is_finite(values[i]):
                found += 1
    return found
