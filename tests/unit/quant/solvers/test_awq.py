from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import NonFinite
from qtquant_app.quant.solvers.awq import awq_factors, awq_ranges, scaled_hessian
from qtquant_app.quant.solvers.grid import Solved, encode, range_grid, restored
from qtquant_app.quant.solvers.loss import row_losses
from tests.unit.quant.solvers.layers import inputs, output_error, second_moments, weights

SCHEME = Scheme(bits=3, symmetric=False, group_size=32, method="awq")


def factors_of(values: Tensor, layers: list[Tensor], scheme: Scheme = SCHEME, **more: Any) -> Tensor:
    moments, sizes = second_moments(values), values.abs().mean(0)
    return awq_factors(layers, [scheme] * len(layers), "BF16", moments, sizes, **more)


def test_factors_folded_into_the_norm_before_leave_the_outputs_what_they_were() -> None:
    hidden, norm = inputs(300, 96, seed=1, outliers=0), torch.rand(96, generator=torch.Generator().manual_seed(1)) * 8
    layers = [weights(24, 96, seed=1), weights(48, 96, seed=2)]
    factors = factors_of(hidden * norm, layers)
    assert float(factors.max() / factors.min()) > 1.5
    for weight in layers:
        before = (hidden * norm) @ weight.T
        after = (hidden * (norm / factors)) @ (weight * factors).T
        assert torch.allclose(before, after, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("symmetric", [True, False])
def test_outputs_err_less_than_without_factors_and_than_with_round_to_nearest(seed: int, symmetric: bool) -> None:
    values = inputs(2000, 128, seed, outliers=4)
    layers = [weights(32, 128, seed), weights(16, 128, seed + 50)]
    scheme = replace(SCHEME, symmetric=symmetric)
    factors = factors_of(values, layers, scheme)
    moments = scaled_hessian(second_moments(values), factors)
    ours = theirs = 0.0
    for weight in layers:
        found = restored(awq_ranges(weight * factors, moments, scheme, "BF16")) / factors
        plain = range_grid(weight, scheme, "BF16", factors=[1.0])
        ours += output_error(weight, found, values)
        theirs += output_error(weight, restored(Solved(encode(weight, plain), plain)), values)
    assert ours < 0.6 * theirs


def test_where_no_factors_help_there_are_none() -> None:
    values = torch.eye(64).repeat(4, 1)
    weight = torch.randint(0, 8, (64, 64), generator=torch.Generator().manual_seed(0)).float()
    weight[:, ::32], weight[:, 1::32] = 0, 7
    assert torch.equal(factors_of(values, [weight]), torch.ones(64))
    assert torch.equal(factors_of(torch.zeros(10, 64), [weights(8, 64)]), torch.ones(64))


def test_columns_that_are_tied_get_the_same_factor() -> None:
    values = inputs(1000, 64, seed=3, outliers=6)
    tied = torch.arange(64) % 16
    factors = factors_of(values, [weights(24, 64, seed=3)], tied=tied)
    assert torch.equal(factors[:16].repeat(4), factors)
    assert len(factors.unique()) > 1


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"symmetric": True},
        {"offset": "float"},
        {"group_size": 40},
        {"strategy": "channel", "group_size": None},
        {"strategy": "tensor", "group_size": None},
    ],
)
def test_clipped_ranges_never_make_a_layer_worse_than_round_to_nearest(kind: dict[str, Any]) -> None:
    values = inputs(1500, 96, seed=6)
    weight, moments = weights(24, 96, seed=6), second_moments(values)
    scheme = replace(SCHEME, **kind)
    found = awq_ranges(weight, moments, scheme, "BF16")
    plain = range_grid(weight, scheme, "BF16", factors=[1.0])
    before, after = (
        row_losses(weight, Solved(encode(weight, plain), plain), moments),
        row_losses(weight, found, moments),
    )
    assert float(after.sum()) < 0.95 * float(before.sum())
    if scheme.strategy != "tensor":
        assert bool((after <= before).all())


def test_a_group_alone_gets_the_range_that_serves_its_outputs_best() -> None:
    values = inputs(1500, 32, seed=7)
    weight, moments = weights(20, 32, seed=7), second_moments(values)
    found = row_losses(weight, awq_ranges(weight, moments, SCHEME, "F32"), moments)
    each = []
    for step in range(40):
        grid = range_grid(weight, SCHEME, "F32", factors=[(108 - 2 * step) / 100])
        each.append(row_losses(weight, Solved(encode(weight, grid), grid), moments))
    assert torch.allclose(found, torch.stack(each).amin(0), rtol=1e-4)


def test_what_is_not_a_number_is_refused() -> None:
    bad = weights(4, 32)
    bad[1, 2] = torch.inf
    with pytest.raises(NonFinite, match="row 1, column 2"):
        awq_factors([bad], [SCHEME], "F32", torch.eye(32), torch.ones(32))
    with pytest.raises(ValueError, match="not finite"):
        awq_ranges(weights(4, 32), torch.eye(32) * torch.nan, SCHEME, "F32")
