from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import NonFinite
from qtquant_app.quant.solvers import visit
from qtquant_app.quant.solvers.gptq import enlarged, gptq, triangular_factor
from qtquant_app.quant.solvers.grid import Grid, Solved, encode, range_grid, restored
from qtquant_app.quant.solvers.loss import better_rows, row_losses
from qtquant_app.quant.solvers.refit import refitted
from tests.unit.quant.solvers.layers import inputs, output_error, second_moments, weights

KINDS: list[dict[str, Any]] = [
    {"bits": 4, "symmetric": True, "group_size": 64},
    {"bits": 3, "symmetric": False, "group_size": 32},
    {"bits": 2, "symmetric": False, "group_size": 48},
    {"bits": 3, "symmetric": False, "offset": "float", "group_size": 64},
    {"bits": 4, "symmetric": False, "strategy": "channel", "group_size": None},
    {"bits": 4, "symmetric": True, "strategy": "tensor", "group_size": None},
]


def textbook(weight: Tensor, hessian: Tensor, grid: Grid) -> NDArray[np.uint8]:
    """The loop of the paper in float64, one column after the other, without blocks: H^-1 = C^T C with C upper triangular."""
    w, h = weight.double().numpy().copy(), hessian.double().numpy()
    rows, columns = w.shape
    order = np.argsort(-h.diagonal(), kind="stable")
    damped = h + 0.01 * h.diagonal().mean() * np.eye(columns)
    inverse = np.linalg.inv(damped[order][:, order])
    upper = np.linalg.cholesky(inverse).T
    codes = np.empty((rows, columns), np.uint8)
    top, floating = grid.levels - 1, grid.offset == "float"
    for step, column in enumerate(order):
        scale, zero = (part[:, column // grid.group].double().numpy() for part in (grid.scale, grid.zero))
        if floating:
            code = np.clip(np.rint((w[:, column] - zero) / scale), 0, top)
            back = code * scale + zero
        else:
            code = np.clip(np.rint(w[:, column] / scale) + zero, 0, top)
            back = (code - zero) * scale
        codes[:, column] = code
        error = (w[:, column] - back) / upper[step, step]
        for later in range(step, columns):
            w[:, order[later]] -= error * upper[step, later]
    return codes


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("columns", [96, 300])
def test_its_codes_are_those_of_the_textbook_s_loop(kind: dict[str, Any], columns: int) -> None:
    weight, hessian = weights(24, columns), second_moments(inputs(2000, columns))
    scheme = Scheme(**kind, method="mse" if kind.get("strategy") != "tensor" else "rtn")
    damped = enlarged(hessian, 0, 0.01)
    grid = range_grid(weight, scheme, "BF16", damped.diagonal())
    expected = torch.from_numpy(textbook(weight, hessian, grid))
    loss = row_losses(weight, Solved(expected, grid), damped)
    start = Solved(encode(weight, grid), grid)
    kept, _ = better_rows(start, row_losses(weight, start, damped), Solved(expected, grid), loss)
    found = gptq(weight, hessian, scheme, "BF16", shrinkage=0, damping=0.01, refits=0, sweeps=0)
    assert torch.equal(found.solved.codes, kept.codes)
    assert torch.equal(found.solved.grid.scale, grid.scale)
    assert not torch.equal(kept.codes, start.codes)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_and_the_torch_loop_choose_the_same_codes(
    kind: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    weight, hessian = weights(20, 200, seed=4), second_moments(inputs(1000, 200, seed=4))
    scheme = Scheme(**kind)
    by_kernel = gptq(weight, hessian, scheme, "BF16")
    monkeypatch.setattr(visit, "_rounded_by_kernel", visit._rounded_in_torch)
    in_torch = gptq(weight, hessian, scheme, "BF16")
    assert torch.equal(by_kernel.solved.codes, in_torch.solved.codes)
    assert by_kernel.loss == pytest.approx(in_torch.loss, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_the_outputs_err_less_than_with_mse_ranges_and_nearest_codes(kind: dict[str, Any], seed: int) -> None:
    values = inputs(3000, 192, seed)
    weight, hessian = weights(32, 192, seed), second_moments(values)
    scheme = Scheme(**kind, method="mse" if kind.get("strategy") != "tensor" else "rtn")
    plain = range_grid(weight, scheme, "BF16")
    nearest = Solved(encode(weight, plain), plain)
    found = gptq(weight, hessian, scheme, "BF16")
    error = output_error(weight, restored(found.solved), values)
    assert found.reason == ""
    exact = gptq(weight, hessian, scheme, "BF16", shrinkage=0, damping=0)
    assert output_error(weight, restored(exact.solved), values) == pytest.approx(exact.loss, rel=1e-3)
    assert exact.loss < 1.02 * error
    assert error < found.loss
    assert error < 0.8 * output_error(weight, restored(nearest), values)
    assert found.loss < found.start_loss


def test_each_step_after_plain_gptq_lowers_the_loss() -> None:
    weight, hessian = weights(48, 256, seed=7), second_moments(inputs(4000, 256, seed=7))
    scheme = Scheme(bits=3, symmetric=False, group_size=64)
    each = [(0, 0), (0, 1), (0, 3), (1, 2), (2, 2)]
    found = [gptq(weight, hessian, scheme, "BF16", refits=refits, sweeps=sweeps).loss for refits, sweeps in each]
    assert found == sorted(found, reverse=True)
    assert found[3] < 0.95 * found[0]


def test_shrinkage_serves_inputs_of_another_kind_than_the_samples() -> None:
    seen, unseen = inputs(300, 128, seed=20), inputs(300, 128, seed=20)
    mixer = torch.linalg.qr(torch.randn(128, 128, generator=torch.Generator().manual_seed(2)))[0]
    unseen = 0.7 * unseen + 0.3 * unseen @ mixer
    weight, scheme = weights(32, 128, seed=20), Scheme(bits=3, symmetric=False, group_size=32)
    errors = [
        output_error(
            weight,
            restored(gptq(weight, second_moments(seen), scheme, "BF16", shrinkage=much, damping=0.01).solved),
            unseen,
        )
        for much in (0.0, 0.3)
    ]
    assert errors[1] < errors[0]


@pytest.mark.parametrize("offset", ["integer", "float"])
def test_scales_found_again_are_those_of_a_least_squares_solver(offset: Any) -> None:
    weight, values = weights(5, 100, seed=8), inputs(400, 100, seed=8)
    scheme = Scheme(bits=3, symmetric=False, group_size=32, offset=offset)
    grid = range_grid(weight, scheme, "F32")
    solved = Solved(encode(weight, grid), grid)
    found = refitted(weight, solved, second_moments(values), scheme, "F32").scale.double().numpy()
    codes, zero = solved.codes.double().numpy(), grid.zero.double().numpy()
    x, w = values.double().numpy(), weight.double().numpy()
    for row in range(len(weight)):
        parts, fixed = np.zeros((100, 4)), np.zeros(100)
        for column in range(100):
            group = column // 32
            parts[column, group] = codes[row, column] - (0 if offset == "float" else zero[row, group])
            fixed[column] = zero[row, group] if offset == "float" else 0
        exact = np.linalg.lstsq(x @ parts, x @ (w[row] - fixed), rcond=None)[0]
        assert found[row] == pytest.approx(exact, rel=2e-3)


def test_scales_found_again_are_numbers_that_their_dtype_holds() -> None:
    weight, hessian = weights(16, 128, seed=9), second_moments(inputs(500, 128, seed=9))
    scale = gptq(weight, hessian, Scheme(bits=3, group_size=32), "BF16").solved.grid.scale
    assert torch.equal(scale, scale.bfloat16().float())
    assert bool((scale > 0).all())


def test_a_column_that_no_sample_uses_keeps_its_nearest_code_and_loses_nothing() -> None:
    values = inputs(800, 96, seed=2)
    values[:, [3, 50, 95]] = 0
    values[:, 64:] = 0
    weight, hessian = weights(12, 96, seed=2), second_moments(values)
    found = gptq(weight, hessian, Scheme(bits=4, symmetric=False, group_size=32), "BF16")
    nearest = encode(weight, found.solved.grid)
    dead = hessian.diagonal() == 0
    assert int(dead.sum()) == 34
    assert torch.equal(found.solved.codes[:, dead], nearest[:, dead])
    assert found.loss < found.start_loss


def test_a_layer_that_no_token_reaches_is_rounded_to_nearest_and_says_so() -> None:
    weight = weights(8, 64)
    found = gptq(weight, torch.zeros(64, 64), Scheme(bits=4, group_size=32), "BF16")
    assert torch.equal(found.solved.codes, encode(weight, found.solved.grid))
    assert found.reason == "no sample reached it"


@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_few_tokens_make_it_no_worse_on_them_and_hardly_worse_on_others(tokens: int) -> None:
    seen, unseen = inputs(4000, 128, seed=5)[:tokens], inputs(4000, 128, seed=5)[2000:]
    weight, scheme = weights(32, 128, seed=5), Scheme(bits=3, symmetric=False, group_size=32, method="mse")
    found = restored(gptq(weight, second_moments(seen), scheme, "BF16").solved)
    grid = range_grid(weight, scheme, "BF16")
    plain = restored(Solved(encode(weight, grid), grid))
    assert output_error(weight, found, seen) <= output_error(weight, plain, seen)
    assert output_error(weight, found, unseen) <= output_error(weight, plain, unseen)


def test_singular_moments_are_damped_until_they_have_a_factor() -> None:
    column = torch.randn(64, 1, generator=torch.Generator().manual_seed(0))
    moments = column @ column.T
    factor, more = triangular_factor(moments)
    assert factor is not None
    assert more > 0
    damped = moments.double() + more * moments.diagonal().mean() * torch.eye(64)
    half = torch.linalg.solve_triangular(factor.double(), damped, upper=True)
    diagonal = torch.linalg.solve_triangular(factor.double(), half.T, upper=True)
    assert torch.allclose(diagonal, torch.diag(diagonal.diagonal()), atol=1e-3 * float(diagonal.max()))
    assert triangular_factor(damped.float())[1] == 0


def test_moments_that_no_damping_makes_definite_leave_the_start_and_a_reason() -> None:
    hessian = torch.eye(32)
    hessian[0, 1] = hessian[1, 0] = 1e6
    found = gptq(weights(4, 32), hessian, Scheme(bits=4, group_size=32), "F32")
    assert found.reason == "the second moments of its inputs are not positive definite"
    assert torch.equal(found.solved.codes, encode(weights(4, 32), found.solved.grid))


def test_what_is_not_a_number_and_what_does_not_fit_is_refused() -> None:
    scheme, weight, hessian = Scheme(bits=4, group_size=32), weights(4, 32), torch.eye(32)
    bad = weight.clone()
    bad[2, 7] = torch.nan
    with pytest.raises(NonFinite, match="row 2, column 7"):
        gptq(bad, hessian, scheme, "F32")
    with pytest.raises(ValueError, match="not finite"):
        gptq(weight, hessian * torch.inf, scheme, "F32")
    with pytest.raises(ValueError, match=r"32 columns are given second moments of shape \(31, 31\)"):
        gptq(weight, torch.eye(31), scheme, "F32")


def test_the_same_layer_gives_the_same_codes_however_many_threads_there_are() -> None:
    weight, hessian = weights(96, 160, seed=3), second_moments(inputs(500, 160, seed=3))
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            found.append(gptq(weight, hessian, Scheme(bits=3, group_size=32), "BF16", refits=0).solved.codes)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*found)
