from __future__ import annotations

import pytest
import torch

from qtquant_app.quant.solvers.hessian import InputMoments
from tests.unit.quant.solvers.layers import inputs


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float16])
@pytest.mark.parametrize("columns", [5, 300, 600])
def test_second_moments_are_those_of_float64_to_what_is_said(dtype: torch.dtype, columns: int) -> None:
    values = inputs(700, columns, seed=columns).to(dtype)
    found = InputMoments(columns)
    for first in range(0, 700, 150):
        found.add(values[first : first + 150].reshape(-1, 5, columns))
    rounded = values.bfloat16().double()
    exact = rounded.T @ rounded / 700
    sizes = exact.diagonal().sqrt()
    assert bool(((found.hessian - exact).abs() <= 2.0**-19 * sizes[:, None] * sizes).all())
    assert torch.equal(found.hessian, found.hessian.T)
    given = values.double().T @ values.double() / 700
    assert bool(((found.hessian - given).abs() <= 2.0**-7 * sizes[:, None] * sizes).all())
    assert found.tokens == 700


def test_sizes_of_columns_are_those_of_all_batches() -> None:
    values = inputs(500, 40, seed=1)
    found = InputMoments(40)
    for part in values.split(123):
        found.add(part)
    assert torch.allclose(found.mean_abs, values.abs().mean(0), rtol=1e-5)
    assert torch.equal(found.max_abs, values.abs().amax(0))


def test_no_token_at_all_gives_zeros() -> None:
    found = InputMoments(8)
    found.add(torch.empty(0, 8))
    assert (found.tokens, float(found.hessian.abs().max()), float(found.mean_abs.max())) == (0, 0.0, 0.0)


def test_an_input_that_is_not_finite_is_refused_with_its_column() -> None:
    values = torch.zeros(4, 8)
    values[2, 6] = torch.inf
    with pytest.raises(ValueError, match="column 6 is not finite"):
        InputMoments(8).add(values)


def test_the_precision_of_other_products_is_what_it_was() -> None:
    left = torch.randn(64, 64, generator=torch.Generator().manual_seed(0))
    before = left @ left
    InputMoments(64).add(left)
    assert torch.equal(left @ left, before)
