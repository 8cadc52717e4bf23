"""Sums over any number of rows in a fixed amount of memory, exactly rounded: their order, and how they were cut, cannot matter."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.report import ErrorSums
from qtquant_app.quant.chunk import RowErrors

_BITS = 53
_HALF = 27
"""Bits of the lower part of a mantissa: both parts of 2^26 of them still add up exactly in a float64."""
_LOWEST = 1074
"""frexp's exponents of float64 are -1073 to 1024."""
_BINS = _LOWEST + 1025
_AT_ONCE = 1 << 16


class ExactSum:
    """The sum of float64 numbers, as if added up without end of digits and rounded once: what `math.fsum` gives, in 34 KB.

    Mantissas are whole numbers of 53 bits; they are summed by exponent, in two halves, as integers.
    """

    def __init__(self) -> None:
        self._low = np.zeros(_BINS, np.int64)
        self._high = np.zeros(_BINS, np.int64)
        self._others = 0.0
        """Infinities and what is not a number."""

    def add(self, values: NDArray[np.float64]) -> None:
        """Adds all of `values`, float64 [n]."""
        for start in range(0, len(values), _AT_ONCE):
            self._add(values[start : start + _AT_ONCE])

    def _add(self, values: NDArray[np.float64]) -> None:
        finite = np.isfinite(values)
        if not finite.all():
            self._others += float(values[~finite].sum())
            values = values[finite]
        mantissas, exponents = np.frexp(values)
        whole = np.ldexp(mantissas, _BITS).astype(np.int64)
        at = exponents + _LOWEST
        self._low += _by_exponent(at, whole & ((1 << _HALF) - 1))
        self._high += _by_exponent(at, whole >> _HALF)

    def total(self) -> float:
        """The sum; infinite where it is beyond float64."""
        if self._others:
            return self._others
        used = np.flatnonzero(self._low | self._high).tolist()
        whole = sum(((int(self._high[at]) << _HALF) + int(self._low[at])) << at for at in used)
        try:
            return whole / (1 << (_LOWEST + _BITS))
        except OverflowError:
            return float("inf") if whole > 0 else float("-inf")


def _by_exponent(at: NDArray[Any], parts: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(at, weights=parts, minlength=_BINS).astype(np.int64)


class ErrorTotals:
    """The errors of a tensor as its chunks come in."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._sums = [ExactSum() for _ in range(3)]
        self._rows = self._repaired = 0
        self._largest = 0.0

    def add(self, rows: RowErrors) -> None:
        """Takes a chunk's rows in."""
        parts = (rows.square_error, rows.square_weight, rows.square_dequantized)
        for total, part in zip(self._sums, parts, strict=True):
            total.add(part)
        self._rows += len(rows.max_error)
        self._repaired += rows.repaired
        self._largest = max(self._largest, float(rows.max_error.max(initial=0)))

    def sums(self) -> ErrorSums:
        """As `RowErrors.sums` of all rows together, to the last digit."""
        error, weight, dequantized = (part.total() for part in self._sums)
        return ErrorSums(self._rows * self._columns, error, weight, dequantized, self._largest, self._repaired)
