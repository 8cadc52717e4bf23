from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.affine import grouped
from qtquant_app.quant.chunk import QuantizedChunk, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.search import best_parameters, group_error, lane_sum
from tests.unit.quant.cases import DTYPES, gaussian, outliers, weights

CPU = CpuBackend()


def errors_by_group(raw: NDArray[np.generic], dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> torch.Tensor:
    size = min(scheme.group_size or raw.shape[1], raw.shape[1])
    error = as_float32(raw, dtype) - CPU.dequantize(chunk, dtype, scheme, raw.shape[1])
    return lane_sum(grouped(torch.from_numpy(error), size).double().square())


@settings(max_examples=150, deadline=None)
@given(weights(), st.integers(2, 8), st.booleans(), st.sampled_from([None, 5, 16, 64]))
def test_the_clip_search_is_never_worse_than_rounding_to_nearest_in_any_group(
    drawn: tuple[NDArray[np.generic], str], bits: int, symmetric: bool, size: int | None
) -> None:
    raw, dtype = drawn
    both = []
    for method in ("mse", "rtn"):
        scheme = Scheme(
            bits=bits, symmetric=symmetric, strategy="group" if size else "channel", group_size=size, method=method
        )
        with np.errstate(over="ignore"):
            both.append(errors_by_group(raw, dtype, CPU.quantize(raw, dtype, scheme, 1), scheme))
    assert bool((both[0] <= both[1]).all())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_clip_search_gains_where_one_weight_stands_out(dtype: str) -> None:
    raw = outliers(dtype, 16, 256, seed=1)
    gains = {
        method: CPU.quantize(raw, dtype, Scheme(bits=3, group_size=64, method=method), 1).errors.sums(256).sqnr_db
        for method in ("rtn", "mse")
    }
    assert gains["mse"] > gains["rtn"] + 0.5


def test_the_first_of_equal_factors_wins() -> None:
    parts = torch.tensor([[[1.0, -1.0]]])
    scale, _ = best_parameters(parts, [1.0, 1.0, 0.5], 8, True, torch.float32)
    first, _ = best_parameters(parts, [1.0], 8, True, torch.float32)
    assert torch.equal(scale, first)
    exact = torch.full((1, 1, 4), 7.0)
    scale, _ = best_parameters(exact, [7.5 / 7, 7.5 / 7, 2 * 7.5 / 7], 4, True, torch.float32)
    assert scale.item() == 1.0


def test_the_error_of_a_group_is_the_sum_of_its_squared_errors() -> None:
    raw = gaussian("F32", 4, 96)
    parts = grouped(torch.from_numpy(raw), 32)
    scale, zero = best_parameters(parts, [1.0], 4, False, torch.float32)
    scheme = Scheme(symmetric=False, group_size=32)
    chunk = CPU.quantize(raw, "F32", scheme, 1)
    assert torch.equal(group_error(parts, scale, zero, 4), errors_by_group(raw, "F32", chunk, scheme))


@settings(deadline=None)
@given(st.integers(1, 200), st.integers(0, 99))
def test_a_sum_in_lanes_has_the_value_of_the_row_sums_of_the_kernels(count: int, seed: int) -> None:
    raw = gaussian("F32", 3, count, seed)
    scheme = Scheme(bits=2, strategy="channel", group_size=None)
    chunk = CPU.quantize(raw, "F32", scheme, 1)
    assert lane_sum(torch.from_numpy(raw).double().square()).numpy().tobytes() == chunk.errors.square_weight.tobytes()
    error = torch.from_numpy(raw - CPU.dequantize(chunk, "F32", scheme, count))
    assert lane_sum(error.double().square()).numpy().tobytes() == chunk.errors.square_error.tobytes()
