"""The statistics of a scan against numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scan import RUN
from qtquant_app.quant.chunk import as_float32
from qtquant_app.quant.kernels.moments import Moments, outside
from tests.unit.quant.cases import DTYPES, gaussian, raw_of, weights


def _reference(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Mean, standard deviation, excess kurtosis, by their definitions in the widest float there is."""
    wide = values.astype(np.longdouble)
    off = wide - wide.mean()
    square = (off**2).mean()
    kurtosis = (off**4).mean() / square**2 - 3 if square > 0 else np.longdouble(0)
    return float(wide.mean()), float(np.sqrt(square)), float(kurtosis)


def _runs(values: NDArray[np.float64]) -> int:
    whole = values.shape[1] // RUN * RUN
    runs = values[:, :whole].reshape(len(values), -1, RUN)
    return int(((runs == runs[..., :1]).all(-1) & (runs[..., 0] != 0)).sum())


@settings(max_examples=120, deadline=None)
@given(weights(), st.integers(0, 4))
def test_moments_of_chunks_put_together_are_those_that_numpy_finds(
    drawn: tuple[NDArray[np.generic], str], cut: int
) -> None:
    raw, dtype = drawn
    values = as_float32(raw, dtype).astype(np.float64)
    cut = min(cut, len(raw))
    parts = [Moments.of(part, dtype) for part in (raw[:cut], raw[cut:]) if len(part)]
    whole = parts[0].and_rows(parts[1]) if len(parts) == 2 else parts[0]
    outliers = outside(raw, dtype, *whole.outlying)
    found = whole.stats(outliers)
    mean, std, kurtosis = _reference(values)
    scale = np.abs(values).max()
    assert found.mean == pytest.approx(mean, rel=1e-9, abs=1e-13 * scale)
    assert found.std == pytest.approx(std, rel=1e-9, abs=1e-13 * scale)
    if std > 1e-6 * scale:
        assert found.kurtosis == pytest.approx(kurtosis, rel=1e-6, abs=1e-6)
    assert (found.minimum, found.maximum) == (values.min(), values.max())
    assert found.zeros == (values == 0).sum() and found.weights == values.size and found.non_finite == 0
    assert found.dead_rows == (values == 0).all(1).sum() and found.dead_columns == (values == 0).all(0).sum()
    assert found.constant_groups == _runs(values)
    low, high = whole.outlying
    assert outliers == ((values < low) | (values > high)).sum()


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinities_are_counted_and_left_out_of_everything_else(dtype: str) -> None:
    clean = as_float32(gaussian(dtype, 6, 100), dtype)
    dirty = clean.copy()
    dirty[1, 3], dirty[1, 4], dirty[5, 99] = np.nan, np.inf, -np.inf
    finite = dirty[np.isfinite(dirty)].astype(np.float64)
    raw = raw_of(dirty, dtype)
    found = Moments.of(raw, dtype)
    stats = found.stats(outside(raw, dtype, *found.outlying))
    assert stats.non_finite == 3 and stats.outliers == 0 and stats.weights == 600
    assert (stats.minimum, stats.maximum) == (finite.min(), finite.max())
    assert stats.mean == pytest.approx(finite.mean(), rel=1e-12)
    assert stats.std == pytest.approx(finite.std(), rel=1e-12)


def test_one_huge_weight_costs_the_others_no_digits() -> None:
    values = as_float32(gaussian("F32", 64, 512), "F32").astype(np.float64)
    values[0, 0] = 1e4
    stats = Moments.of(raw_of(values, "F32"), "F32").stats(0)
    mean, std, kurtosis = _reference(raw_of(values, "F32").astype(np.float64))
    assert stats.mean == pytest.approx(mean, rel=1e-12) and stats.std == pytest.approx(std, rel=1e-12)
    assert stats.kurtosis == pytest.approx(kurtosis, rel=1e-9)


@pytest.mark.parametrize("value", [0.1, -3e38, 1e-40, 0.0])
def test_one_value_throughout_has_no_deviation_and_no_outliers(value: float) -> None:
    raw = raw_of(np.full((7, 33), value), "F32")
    found = Moments.of(raw[:3], "F32").and_rows(Moments.of(raw[3:], "F32"))
    stats = found.stats(outside(raw, "F32", *found.outlying))
    assert stats.std == 0 and stats.kurtosis == 0 and stats.outliers == 0
    assert stats.mean == stats.minimum == stats.maximum == float(np.float32(value))


def test_only_aligned_runs_of_one_value_other_than_zero_are_constant_groups() -> None:
    values = np.asarray(np.random.default_rng(1).standard_normal((3, 80)))
    values[0, 16:32] = 0.5
    values[1, 8:24] = 0.5
    values[2, 64:80] = 0.0
    assert Moments.of(raw_of(values, "F32"), "F32").stats(0).constant_groups == 1


def test_the_columns_of_each_matrix_of_a_stack_are_its_own() -> None:
    one, two = np.ones((2, 4)), np.ones((2, 4))
    one[:, 1], two[:, 2] = 0, 0
    first, second = (Moments.of(raw_of(part, "F32"), "F32") for part in (one, two))
    assert first.and_matrix(second).stats(0).dead_columns == 2
    assert first.and_rows(second).stats(0).dead_columns == 0


def test_nothing_finite_gives_numbers_all_the_same() -> None:
    stats = Moments.of(raw_of(np.full((2, 3), np.nan), "F32"), "F32").stats(0)
    assert stats.non_finite == 6 and stats.minimum == stats.maximum == stats.mean == stats.std == 0
