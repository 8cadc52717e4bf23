import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.affine import DTYPES
from qtquant_app.quant.solvers.grid import Solved, encode, range_grid, restored
from qtquant_app.quant.solvers.learned_codes import Codes, Moments

SCHEMES = st.one_of(
    st.builds(
        Scheme,
        bits=st.integers(2, 8),
        group_size=st.sampled_from([3, 8, 64]),
        symmetric=st.booleans(),
        method=st.just("mse"),
    ),
    st.builds(
        Scheme,
        bits=st.integers(2, 8),
        strategy=st.sampled_from(["channel", "tensor"]),
        group_size=st.none(),
        symmetric=st.booleans(),
    ),
    st.builds(Scheme, bits=st.integers(2, 8), group_size=st.just(8), symmetric=st.just(False), offset=st.just("float")),
)


def start(scheme: Scheme, dtype: str, seed: int, rows: int = 5, columns: int = 21) -> tuple[Tensor, Solved]:
    """A random matrix whose last group is short, and where its learning begins."""
    weight = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).to(DTYPES[dtype]).float()
    grid = range_grid(weight, scheme, dtype)
    return weight, Solved(encode(weight, grid), grid)


def written(codes: Codes, like: Tensor) -> Tensor:
    out = torch.empty_like(like)
    codes.write(out)
    return out


@settings(max_examples=60, deadline=None)
@given(SCHEMES, st.sampled_from(["BF16", "F16", "F32"]), st.integers(0, 99))
def test_before_the_first_step_the_codes_are_those_of_the_start(scheme: Scheme, dtype: str, seed: int) -> None:
    weight, solved = start(scheme, dtype, seed)
    codes = Codes(weight, solved, dtype)
    assert torch.equal(codes.solved().codes, solved.codes)
    assert torch.equal(written(codes, weight), restored(solved))


@settings(max_examples=60, deadline=None)
@given(SCHEMES, st.sampled_from(["BF16", "F16", "F32"]), st.integers(0, 99), st.booleans())
def test_what_is_learned_stays_on_a_grid_that_can_be_stored(scheme: Scheme, dtype: str, seed: int, moves: bool) -> None:
    weight, solved = start(scheme, dtype, seed)
    codes = Codes(weight, solved, dtype, moves)
    generator, out = torch.Generator().manual_seed(seed), torch.empty_like(weight)
    for _ in range(6):
        codes.learn(torch.randn(weight.shape, generator=generator), 0.7, 0.3, out)
    learned = codes.solved()
    assert learned.codes.shape == weight.shape
    assert int(learned.codes.max()) < scheme.levels
    assert torch.equal(learned.grid.scale.to(DTYPES[dtype]).float(), learned.grid.scale)
    assert bool((learned.grid.scale > 0).all())
    assert torch.equal(learned.grid.zero, solved.grid.zero)
    assert torch.equal(out, restored(learned))
    assert torch.equal(written(codes, weight), out)
    assert moves or torch.equal(learned.codes, solved.codes)
    if scheme.strategy == "tensor":
        assert len(set(learned.grid.scale.flatten().tolist())) == 1


def test_a_step_follows_the_gradient_through_the_rounding_as_a_plain_loop_finds_it() -> None:
    """w' = s (u - z): the position's gradient is g, the scale's the sum of g (u - z), and Adam's first step the sign."""
    scheme = Scheme(bits=3, group_size=4, symmetric=False)
    weight, solved = start(scheme, "F32", seed=3, rows=3, columns=10)
    codes = Codes(weight, solved, "F32")
    slope = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))
    codes.learn(slope, code_rate=0.25, scale_rate=0.125, out=torch.empty_like(weight))
    learned, grid = codes.solved(), solved.grid
    for row in range(3):
        for group in range(3):
            scale, zero = float(grid.scale[row, group]), float(grid.zero[row, group])
            total = 0.0
            for column in range(group * 4, min(group * 4 + 4, 10)):
                code, g = int(solved.codes[row, column]), float(slope[row, column])
                place = min(max(float(weight[row, column]) / scale + zero, code - 0.499), code + 0.499)
                moved = min(max(place - 0.25 * np.sign(g), -0.499), 7.499)
                assert int(learned.codes[row, column]) == round(moved)
                total += g * (code - zero)
            assert float(learned.grid.scale[row, group]) == pytest.approx(
                scale * (1 - 0.125 * np.sign(total)), rel=1e-5
            )


def test_the_steps_are_those_of_adam_in_torch() -> None:
    wanted = torch.ones(7, requires_grad=True)
    adam = torch.optim.Adam([wanted], lr=0.5, betas=(0.9, 0.95), eps=1e-15)
    alone, each = torch.ones(7), torch.ones(7)
    moments = Moments.of(alone), Moments.of(each)
    generator = torch.Generator().manual_seed(0)
    for count in range(1, 6):
        wanted.grad = torch.randn(7, generator=generator)
        adam.step()
        for first, last in ((0, 3), (3, 7)):
            rows = slice(first, last)
            moments[0].step(rows, wanted.grad[rows], count, alone[rows], 0.5)
            moments[1].step(rows, wanted.grad[rows], count, each[rows], torch.full((last - first,), 0.5))
    torch.testing.assert_close(alone, wanted.detach())
    torch.testing.assert_close(each, wanted.detach())


def test_a_column_that_no_input_reaches_keeps_its_codes() -> None:
    weight, solved = start(Scheme(bits=4, group_size=8), "BF16", seed=0)
    codes = Codes(weight, solved, "BF16")
    slope = torch.ones_like(weight)
    slope[:, 4] = 0
    for _ in range(20):
        codes.learn(slope, 0.2, 0.0, torch.empty_like(weight))
    learned = codes.solved()
    assert torch.equal(learned.codes[:, 4], solved.codes[:, 4])
    assert not torch.equal(learned.codes, solved.codes)
