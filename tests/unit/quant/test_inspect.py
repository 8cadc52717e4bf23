from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import stats
from qtquant_app.quant.chunk import as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.kernels.inspect import ERROR_BINS, cell_errors, error_edges, histogram
from tests.unit.quant.cases import DTYPES, gaussian, raw_of, schemes, weights


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bins", [1, 64, 256])
def test_a_histogram_counts_as_numpy_does(dtype: str, bins: int) -> None:
    raw = gaussian(dtype, 16, 333)
    values = as_float32(raw, dtype)
    expected = np.histogram(values, bins, (-0.0625, 0.0625))[0]
    assert np.array_equal(histogram(raw, dtype, -0.0625, 0.0625, bins), expected)
    assert np.array_equal(stats.histogram(torch.from_numpy(values), -0.0625, 0.0625, bins).numpy(), expected)


@settings(max_examples=60, deadline=None)
@given(weights(), st.integers(1, 300))
def test_between_the_extremes_every_weight_is_counted(drawn: tuple[NDArray[np.generic], str], bins: int) -> None:
    raw, dtype = drawn
    lo, hi = CpuBackend().extremes(raw, dtype)
    if lo < hi:
        counts = histogram(raw, dtype, lo, hi, bins)
        assert counts.shape == (bins,) and counts.sum() == raw.size and counts[0] > 0 and counts[-1] > 0
        assert np.array_equal(counts, stats.histogram(torch.from_numpy(as_float32(raw, dtype)), lo, hi, bins).numpy())


def test_what_lies_outside_a_histogram_counts_nowhere() -> None:
    raw = raw_of(np.array([[-9.0, 0.0, 1.0, 2.0, np.nan, np.inf]]), "F32")
    assert histogram(raw, "F32", 0.0, 2.0, 2).tolist() == [1, 2]


def test_an_empty_range_is_refused() -> None:
    for lo, hi, bins in ((1.0, 1.0, 4), (2.0, 1.0, 4), (0.0, 1.0, 0)):
        with pytest.raises(ValueError, match="histogram needs"):
            histogram(gaussian("F32"), "F32", lo, hi, bins)


@settings(max_examples=80, deadline=None)
@given(weights(), schemes(methods=("rtn",)), st.sampled_from([1, 7, 16, 64, 300]))
def test_cells_hold_the_largest_error_and_the_sums_of_their_columns(
    drawn: tuple[NDArray[np.generic], str], scheme: Scheme, columns_per_cell: int
) -> None:
    raw, dtype = drawn
    backend = CpuBackend()
    chunk = backend.quantize(raw, dtype, scheme, 1)
    found = cell_errors(raw, dtype, chunk, scheme, columns_per_cell)
    restored = torch.from_numpy(backend.dequantize(chunk, dtype, scheme, raw.shape[1]))
    values = torch.from_numpy(as_float32(raw, dtype))
    peak, *sums = stats.cell_errors(values, restored, columns_per_cell)
    assert found.peak.dtype == np.float32 and np.array_equal(found.peak, peak.numpy())
    for computed, wanted in zip((found.square_error, found.square_weight, found.columns), sums, strict=True):
        np.testing.assert_allclose(computed, wanted.numpy(), rtol=1e-12)
    sizes = np.abs((values - restored).numpy())
    assert np.array_equal(found.counts, np.bincount(sizes.view(np.uint32).reshape(-1) >> 21, minlength=ERROR_BINS))


def test_the_cells_add_up_to_the_whole() -> None:
    raw, scheme = gaussian("BF16", 20, 200), Scheme(group_size=32)
    chunk = CpuBackend().quantize(raw, "BF16", scheme, 4)
    found = cell_errors(raw, "BF16", chunk, scheme, 32)
    sums = chunk.errors.sums(200)
    assert found.peak.shape == (20, 7) and found.peak.max() == np.float32(sums.max_error)
    assert found.square_error.sum() == pytest.approx(sums.square_error, rel=1e-12)
    assert found.columns.sum() == pytest.approx(sums.square_error, rel=1e-12)
    assert found.square_weight.sum() == pytest.approx(sums.square_weight, rel=1e-12)


def test_a_bin_of_errors_begins_at_its_edge() -> None:
    edges = error_edges()
    assert len(edges) == ERROR_BINS - 3 and edges[0] == 0 and (np.diff(edges) > 0).all()
    for value in (1e-20, 0.3, 1.0, 1.24, 1.25, 7e8):
        place = int(np.float32(value).view(np.uint32) >> 21)
        assert edges[place] <= np.float32(value) < edges[place + 1]
