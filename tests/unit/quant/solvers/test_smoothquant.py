from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import NonFinite
from qtquant_app.quant.solvers.smoothquant import by_token, product, smooth_factors
from tests.unit.quant.solvers.layers import inputs, weights

INT8 = Scheme(bits=8, strategy="channel", group_size=None, activations="int8", method="smoothquant")
FP8 = Scheme(bits=8, type="float", strategy="channel", group_size=None, activations="fp8", method="smoothquant")
FP8_TENSOR = Scheme(bits=8, type="float", strategy="tensor", group_size=None, activations="fp8", method="smoothquant")


def factors_of(values: Tensor, layers: list[Tensor], scheme: Scheme, **more: Any) -> Tensor:
    return smooth_factors(layers, [scheme] * len(layers), "BF16", values.abs().amax(0), values, **more)


def error(values: Tensor, weight: Tensor, scheme: Scheme, factors: Tensor) -> float:
    return float((product(values, weight, scheme, "BF16", factors) - values @ weight.T).square().sum())


def test_outlier_columns_cost_int8_products_far_less_on_inputs_that_were_not_seen() -> None:
    values = inputs(800, 128, seed=1, outliers=4)
    weight = weights(48, 128, seed=1)
    factors = factors_of(values[:300], [weight], INT8)
    assert error(values[300:], weight, INT8, factors) < 0.25 * error(values[300:], weight, INT8, torch.ones(128))


@pytest.mark.parametrize("scheme", [INT8, FP8, FP8_TENSOR])
def test_the_sample_s_error_is_never_above_that_without_factors(scheme: Scheme) -> None:
    for seed in range(3):
        values, layers = inputs(200, 64, seed, outliers=seed), [weights(16, 64, seed), weights(24, 64, seed + 9)]
        factors = factors_of(values, layers, scheme)
        before, after = (sum(error(values, w, scheme, f) for w in layers) for f in (torch.ones(64), factors))
        assert after <= before
        assert bool((factors > 0).all())


def test_factors_folded_into_the_norm_before_leave_the_outputs_what_they_were() -> None:
    values, weight = inputs(200, 64, seed=5, outliers=4), weights(16, 64, seed=5)
    factors = factors_of(values, [weight], INT8)
    assert float(factors.max() / factors.min()) > 2
    assert torch.allclose((values / factors) @ (weight * factors).T, values @ weight.T, rtol=1e-4, atol=1e-4)


def test_columns_that_are_tied_or_unused_get_the_factor_they_must() -> None:
    values, weight = inputs(300, 64, seed=6, outliers=4), weights(16, 64, seed=6)
    values[:, [1, 17, 33, 49]] = 0
    factors = factors_of(values, [weight], INT8, tied=torch.arange(64) % 16)
    assert torch.equal(factors[:16].repeat(4), factors)
    assert factors[1] == 1
    assert len(factors.unique()) > 8


def test_inputs_are_rounded_to_127_steps_of_each_token() -> None:
    values = torch.tensor([[12.7, -12.7, 0.149, 0.0], [0.0, 0.0, 0.0, 0.0]])
    assert torch.allclose(by_token(values, "int8")[0], torch.tensor([12.7, -12.7, 0.1, 0.0]))
    assert torch.equal(by_token(values, "int8")[1], torch.zeros(4))
    fp8 = by_token(torch.tensor([[448.0, 17.0, 0.0]]), "fp8")
    assert fp8.tolist() == [[448.0, 16.0, 0.0]]
    assert torch.equal(by_token(values, "none"), values)


def test_what_is_not_a_number_is_refused() -> None:
    values = inputs(10, 32)
    values[3, 4] = torch.nan
    with pytest.raises(NonFinite, match="row 3, column 4"):
        factors_of(values, [weights(4, 32)], INT8)
