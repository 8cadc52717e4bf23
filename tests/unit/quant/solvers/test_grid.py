from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import NonFinite, Raw, ScaleOverflow, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.solvers.grid import Solved, encode, of_chunk, range_grid, raw_of, restored, to_chunk
from tests.unit.quant.cases import DTYPES, gaussian, outliers, schemes, weights
from tests.unit.quant.cases import raw_of as as_raw

CPU = CpuBackend()


@st.composite
def any_integer_scheme(draw: st.DrawFn) -> Scheme:
    scheme = draw(schemes())
    if scheme.symmetric or scheme.strategy == "tensor" or draw(st.booleans()):
        return scheme
    return replace(scheme, offset="float")


def solved_of(raw: Raw, dtype: str, scheme: Scheme, importance: torch.Tensor | None = None) -> Solved:
    weight = torch.from_numpy(as_float32(raw, dtype))
    grid = range_grid(weight, scheme, dtype, importance)
    return Solved(encode(weight, grid), grid)


@settings(max_examples=200, deadline=None)
@given(weights(), any_integer_scheme(), st.booleans())
def test_codes_scales_zero_points_and_restored_weights_are_those_of_the_kernels_to_the_bit(
    drawn: tuple[Raw, str], scheme: Scheme, weighed: bool
) -> None:
    raw, dtype = drawn
    columns = raw.shape[1]
    try:
        with np.errstate(over="ignore"):
            expected = CPU.quantize(raw, dtype, scheme, 4)
    except ScaleOverflow as error:
        with pytest.raises(ScaleOverflow) as raised:
            solved_of(raw, dtype, scheme)
        assert raised.value.row == error.row
        return
    solved = solved_of(raw, dtype, scheme, torch.full((columns,), 2.0) if weighed else None)
    chunk = to_chunk(solved, scheme, dtype, 4)
    assert chunk.packed.tobytes() == expected.packed.tobytes()
    assert chunk.scale.tobytes() == expected.scale.tobytes()
    assert chunk.scale.shape == expected.scale.shape
    assert (chunk.zero is None) == (expected.zero is None)
    if chunk.zero is not None and expected.zero is not None:
        assert chunk.zero.dtype == expected.zero.dtype
        assert chunk.zero.tobytes() == expected.zero.tobytes()
    back = CPU.dequantize(expected, dtype, scheme, columns)
    assert torch.equal(restored(solved), torch.from_numpy(back))


@settings(max_examples=100, deadline=None)
@given(weights(), any_integer_scheme())
def test_a_chunk_of_rows_comes_back_as_the_codes_and_the_grid_it_was_made_from(
    drawn: tuple[Raw, str], scheme: Scheme
) -> None:
    raw, dtype = drawn
    try:
        solved = solved_of(raw, dtype, scheme)
    except ScaleOverflow:
        return
    back = of_chunk(to_chunk(solved, scheme, dtype, 1), scheme, dtype, raw.shape[1])
    assert torch.equal(back.codes, solved.codes)
    assert torch.equal(back.grid.scale, solved.grid.scale)
    assert torch.equal(back.grid.zero, solved.grid.zero)
    assert (back.grid.group, back.grid.levels) == (solved.grid.group, solved.grid.levels)
    assert torch.equal(restored(back), restored(solved))


@pytest.mark.parametrize("kind", [{"symmetric": True}, {"symmetric": False}, {"symmetric": False, "offset": "float"}])
def test_importance_lowers_the_error_of_the_columns_that_matter(kind: dict[str, Any]) -> None:
    raw = outliers("F32", 16, 100, seed=3)
    scheme = Scheme(bits=3, group_size=48, method="mse", **kind)
    importance = torch.rand(100, generator=torch.Generator().manual_seed(0)) ** 8 * 100
    weight = torch.from_numpy(raw)
    errors = [
        float(((weight - restored(solved_of(raw, "F32", scheme, each))).double().square() * importance).sum())
        for each in (None, importance)
    ]
    assert errors[1] < 0.9 * errors[0]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_weighted_search_finds_the_best_of_its_factors_in_every_group(dtype: str) -> None:
    raw = gaussian(dtype, 4, 70, seed=2)
    weight = torch.from_numpy(as_float32(raw, dtype))
    importance = torch.rand(70, generator=torch.Generator().manual_seed(1)) + 0.01
    scheme = Scheme(bits=3, group_size=32, symmetric=False, method="mse")

    def errors(**how: Any) -> torch.Tensor:
        grid = range_grid(weight, scheme, dtype, importance, **how)
        error = (weight - restored(Solved(encode(weight, grid), grid))).double().square() * importance
        return torch.stack([part.sum(1) for part in error.split(32, dim=1)], dim=1)

    singly = torch.stack([errors(factors=[factor]) for factor in (1.0, 0.9, 0.8, 0.7)])
    together = errors(factors=[1.0, 0.9, 0.8, 0.7])
    assert torch.allclose(together, singly.amin(0), rtol=1e-12)


def test_one_scale_for_the_tensor_is_searched_over_the_whole_of_it() -> None:
    weight = torch.from_numpy(outliers("F32", 8, 64, seed=5))
    scheme = Scheme(bits=4, strategy="tensor", group_size=None, symmetric=False, method="gptq")
    found = range_grid(weight, scheme, "F32")
    plain = range_grid(weight, replace(scheme, method="rtn"), "F32")
    assert len(found.scale.unique()) == 1
    errors = [float((weight - restored(Solved(encode(weight, grid), grid))).square().sum()) for grid in (found, plain)]
    assert errors[0] < 0.98 * errors[1]
    chunk = to_chunk(Solved(encode(weight, found), found), scheme, "F32", 1)
    assert chunk.scale.shape == (1, 1)
    assert chunk.zero is not None
    assert chunk.zero.shape == (1, 1)


def test_the_method_s_last_step_says_whether_ranges_are_searched() -> None:
    weight = torch.from_numpy(outliers("F32", 4, 64, seed=6))

    def scale(method: str) -> torch.Tensor:
        return range_grid(weight, Scheme(bits=3, group_size=64, method=method), "F32").scale

    for searched in ("mse", "gptq", "awq", "awq+gptq", "smoothquant+mse"):
        assert torch.equal(scale(searched), scale("mse")), searched
    for plain in ("smoothquant", "awq+rtn", "smoothquant+rtn"):
        assert torch.equal(scale(plain), scale("rtn")), plain
    assert not torch.equal(scale("rtn"), scale("mse"))


def test_what_is_not_a_number_is_refused_with_its_place() -> None:
    weight = torch.zeros(3, 8)
    weight[1, 5] = torch.nan
    with pytest.raises(NonFinite, match="row 1, column 5 of the chunk is nan"):
        range_grid(weight, Scheme(group_size=8), "F32")


def test_a_scale_that_the_dtype_cannot_store_is_refused_with_its_row() -> None:
    weight = torch.zeros(20000, 40)
    weight[15000, 3] = 3e6
    with pytest.raises(ScaleOverflow) as raised:
        range_grid(weight, Scheme(group_size=8), "F16")
    assert raised.value.row == 15000


def test_a_scale_between_two_numbers_of_the_dtype_is_not_written() -> None:
    with pytest.raises(ValueError, match="not a number of BF16"):
        raw_of(torch.tensor([[1 + 2**-10]]), "BF16")


def test_rows_of_a_grid_code_as_the_whole_does() -> None:
    raw = as_raw(np.random.default_rng(0).standard_normal((6, 40)), "F32")
    solved = solved_of(raw, "F32", Scheme(bits=3, group_size=16, symmetric=False, method="mse"))
    weight = torch.from_numpy(raw)
    assert torch.equal(encode(weight[2:5], solved.grid.rows(2, 5)), solved.codes[2:5])
