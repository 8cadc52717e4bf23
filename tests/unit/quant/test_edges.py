"""Edge cases by definition, not by accident; each on both backends."""

from __future__ import annotations

from dataclasses import replace
from math import inf, isnan, nan
from typing import Any

import numpy as np
import pytest

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import Backend, NonFinite, ScaleOverflow, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.kernels.packing import unpack
from qtquant_app.quant.torch_backend import TorchBackend
from tests.unit.quant.cases import CHANNEL, DTYPES, TENSOR, raw_of

pytestmark = pytest.mark.parametrize(
    "backend", [pytest.param(CpuBackend(), id="cpu"), pytest.param(TorchBackend("cpu"), id="torch")]
)
SMALLEST = {"F32": 2.0**-149, "F16": 2.0**-24, "BF16": 2.0**-133}
LARGEST = {"F32": float(np.finfo(np.float32).max), "F16": 65504.0, "BF16": 2.0**127 * (2 - 2.0**-7)}


def scale_and_codes(
    backend: Backend, values: list[list[float]], dtype: str, **options: Any
) -> tuple[list[list[float]], list[list[int]], list[list[int]] | None]:
    scheme = Scheme(**{**CHANNEL, **options})
    raw = raw_of(np.array(values), dtype)
    chunk = backend.quantize(raw, dtype, scheme, 1)
    codes = unpack(chunk.packed, scheme.bits, raw.shape[1]).tolist()
    return as_float32(chunk.scale, dtype).tolist(), codes, None if chunk.zero is None else chunk.zero.tolist()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_group_of_zeros_has_scale_one_and_comes_back_as_zeros(backend: Backend, dtype: str) -> None:
    zeros = [[0.0, -0.0, 0.0]]
    assert scale_and_codes(backend, zeros, dtype) == ([[1.0]], [[8, 8, 8]], None)
    assert scale_and_codes(backend, zeros, dtype, symmetric=False) == ([[1.0]], [[0, 0, 0]], [[0]])
    assert scale_and_codes(backend, zeros, dtype, method="mse")[0] == [[1.0]]


def test_a_group_of_zeros_beside_another_group_keeps_to_itself(backend: Backend) -> None:
    values = [[0.0] * 4 + [7.5] * 4]
    scale, codes, _ = scale_and_codes(backend, values, "F32", strategy="group", group_size=4)
    assert scale == [[1.0, 1.0]] and codes == [[8] * 4 + [15] * 4]


@pytest.mark.parametrize("value", [3.0, -3.0])
def test_a_single_value_is_its_own_range(backend: Backend, value: float) -> None:
    scale, codes, _ = scale_and_codes(backend, [[value]], "F32")
    assert scale == [[np.float32(3 / 7.5)]] and codes == [[15 if value > 0 else 0]]
    scale, codes, zero = scale_and_codes(backend, [[value]], "F32", symmetric=False)
    assert scale == [[np.float32(3 / 15)]] and codes == [[15 if value > 0 else 0]]
    assert zero == [[0 if value > 0 else 15]]


def test_one_column_makes_one_group_whatever_the_group_size(backend: Backend) -> None:
    scale, codes, _ = scale_and_codes(backend, [[7.5], [0.0]], "F32", strategy="group", group_size=128)
    assert scale == [[1.0], [1.0]] and codes == [[15], [8]]


def test_the_last_group_of_a_row_may_be_shorter(backend: Backend) -> None:
    scale, _, _ = scale_and_codes(backend, [[7.5, 0, 0, 15.0, 0]], "F32", strategy="group", group_size=3)
    assert scale == [[1.0, 2.0]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_scale_that_would_round_to_zero_is_the_smallest_of_its_dtype(backend: Backend, dtype: str) -> None:
    tiny = SMALLEST[dtype]
    scale, codes, _ = scale_and_codes(backend, [[tiny, -2 * tiny, 0.0]], dtype)
    assert scale == [[tiny]] and codes == [[9, 6, 8]]
    scale, codes, zero = scale_and_codes(backend, [[tiny, -2 * tiny, 0.0]], dtype, symmetric=False)
    assert scale == [[tiny]] and codes == [[3, 0, 2]] and zero == [[2]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_subnormal_weights_are_numbers_like_others(backend: Backend, dtype: str) -> None:
    tiny = SMALLEST[dtype]
    values = np.arange(-8, 8)[None] * 4 * tiny
    scheme = Scheme(symmetric=False, **CHANNEL)
    raw = raw_of(values, dtype)
    chunk = backend.quantize(raw, dtype, scheme, 1)
    assert as_float32(chunk.scale, dtype)[0, 0] == 4 * tiny
    assert np.array_equal(backend.dequantize(chunk, dtype, scheme, 16), values.astype(np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [2, 8])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("method", ["rtn", "mse"])
def test_the_largest_weights_of_a_dtype_have_a_scale_that_it_can_hold(
    backend: Backend, dtype: str, bits: int, symmetric: bool, method: str
) -> None:
    ends = [[LARGEST[dtype], -LARGEST[dtype], 0.0]]
    scale, codes, _ = scale_and_codes(backend, ends, dtype, bits=bits, symmetric=symmetric, method=method)
    assert 0 < scale[0][0] < inf
    assert codes[0][1] <= codes[0][2] < codes[0][0]


def test_minus_zero_is_zero(backend: Backend) -> None:
    for options in ({}, {"symmetric": False}):
        _, codes, _ = scale_and_codes(backend, [[-0.0, 0.0, 1.0, -1.0]], "F32", **options)
        assert codes[0][0] == codes[0][1]
    positive = scale_and_codes(backend, [[-0.0, 3.0]], "F32", symmetric=False)
    assert positive == ([[np.float32(0.2)]], [[0, 15]], [[0]])


def test_ties_go_to_the_even_number_of_steps(backend: Backend) -> None:
    values = [[7.5, -7.5, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 6.5]]
    scale, codes, _ = scale_and_codes(backend, values, "F32")
    assert scale == [[1.0]] and codes == [[15, 0, 8, 10, 10, 8, 6, 6, 14]]


def test_the_zero_point_rounds_to_the_even_number_too(backend: Backend) -> None:
    for low, zero in ((-2.5, 2), (-3.5, 4)):
        scale, _, found = scale_and_codes(backend, [[low, 15 + low]], "F32", symmetric=False)
        assert scale == [[1.0]] and found == [[zero]]


def test_weights_on_one_side_of_zero_keep_zero_in_their_range(backend: Backend) -> None:
    scale, codes, zero = scale_and_codes(backend, [[15.0, 10.0]], "F32", symmetric=False)
    assert (scale, codes, zero) == ([[1.0]], [[15, 10]], [[0]])
    scale, codes, zero = scale_and_codes(backend, [[-15.0, -10.0]], "F32", symmetric=False)
    assert (scale, codes, zero) == ([[1.0]], [[0, 5]], [[15]])


def test_codes_are_computed_against_the_scale_as_it_is_stored(backend: Backend) -> None:
    raw = raw_of(np.array([[1.0, 0.333984375]]), "BF16")
    chunk = backend.quantize(raw, "BF16", Scheme(**CHANNEL), 1)
    stored = as_float32(chunk.scale, "BF16")[0, 0]
    assert stored != np.float32(1 / 7.5)
    restored = backend.dequantize(chunk, "BF16", Scheme(**CHANNEL), 2)
    assert np.array_equal(restored, np.array([[7, 2]], np.float32) * stored)
    assert round(0.333984375 / (1 / 7.5)) == 3


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [nan, inf, -inf, -nan])
@pytest.mark.parametrize("options", [{"group_size": 16}, {"group_size": 16, "method": "mse"}, CHANNEL, TENSOR])
def test_what_is_not_finite_is_refused_with_its_first_position(
    backend: Backend, dtype: str, value: float, options: dict[str, Any]
) -> None:
    values = np.ones((4, 70), np.float32)
    values[2, 65] = values[3, 0] = value
    good = backend.quantize(raw_of(np.ones((4, 70)), dtype), dtype, Scheme(**options), 4)
    raw = raw_of(values, dtype)
    for work in (
        lambda: backend.quantize(raw, dtype, Scheme(**options), 4),
        lambda: backend.extremes(raw, dtype),
        lambda: backend.compare(raw, dtype, good, Scheme(**options)),
    ):
        with pytest.raises(NonFinite) as caught:
            work()
        assert (caught.value.row, caught.value.column) == (2, 65)
        assert isnan(caught.value.value) if isnan(value) else caught.value.value == value


def test_what_is_not_finite_is_refused_under_given_parameters_too(backend: Backend) -> None:
    scheme = Scheme(bits=8, **TENSOR)
    with pytest.raises(NonFinite):
        backend.quantize(raw_of(np.array([[1.0, nan]]), "F16"), "F16", scheme, 1, backend.fix(-1, 1, "F16", scheme))


def test_a_scale_beyond_its_dtype_is_refused(backend: Backend) -> None:
    with pytest.raises(ScaleOverflow) as caught:
        backend.fix(-1e6, 1e6, "F16", Scheme(**TENSOR))
    assert caught.value.row == 0


def test_weights_far_beyond_given_parameters_take_the_outermost_codes(backend: Backend) -> None:
    scheme = Scheme(bits=8, **TENSOR)
    fixed = backend.fix(-1e-30, 1e-30, "F32", scheme)
    raw = raw_of(np.array([[3e38, -3e38, 0.0]]), "F32")
    assert unpack(backend.quantize(raw, "F32", scheme, 1, fixed).packed, 8, 3).tolist() == [[255, 0, 128]]


def test_a_method_that_does_not_fit_the_strategy_is_refused(backend: Backend) -> None:
    with pytest.raises(UsageError, match="per tensor"):
        backend.quantize(raw_of(np.ones((1, 4)), "F32"), "F32", Scheme(method="mse", **TENSOR), 1)


def test_arrays_that_do_not_fit_together_are_refused_before_a_byte_is_read(backend: Backend) -> None:
    raw, scheme = raw_of(np.ones((3, 40)), "F32"), Scheme(group_size=16)
    good = backend.quantize(raw, "F32", scheme, 4)
    for bad in (
        replace(good, packed=good.packed[:, :19]),
        replace(good, scale=good.scale[:, :2]),
        replace(good, scale=good.scale[:2]),
        replace(good, scale=good.scale.astype(np.float16)),
        replace(good, zero=np.zeros((3, 3), np.uint8)),
    ):
        with pytest.raises(ValueError, match=r"bytes a row|scales are|zero points"):
            backend.dequantize(bad, "F32", scheme, 40)
        with pytest.raises(ValueError, match=r"bytes a row|scales are|zero points"):
            backend.compare(raw, "F32", bad, scheme)
    with pytest.raises(ValueError, match="3 quantized rows are compared with 2"):
        backend.compare(raw[:2], "F32", good, scheme)


def test_a_matrix_without_columns_is_refused(backend: Backend) -> None:
    with pytest.raises(ValueError, match="F32"):
        backend.quantize(raw_of(np.ones((2, 0)), "F32"), "F32", Scheme(), 4)


def test_no_rows_give_no_bytes(backend: Backend) -> None:
    chunk = backend.quantize(raw_of(np.ones((0, 8)), "F32"), "F32", Scheme(), 4)
    assert chunk.packed.shape == (0, 4) and chunk.scale.shape == (0, 1) and len(chunk.errors.max_error) == 0
