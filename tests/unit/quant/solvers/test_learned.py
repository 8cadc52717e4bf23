from collections.abc import Generator, Mapping
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.affine import DTYPES
from qtquant_app.quant.solvers.grid import Solved, encode, range_grid, restored
from qtquant_app.quant.solvers.learned import Layer, Progress, Settings, learn, rate_share
from qtquant_app.quant.solvers.learned_block import hidden_state, loss_and_gradient, replaced

WIDTH, INNER = 12, 20
EXACT = Settings(epochs=3, code_rate=0.05, scale_rate=0.01, multiply=torch.float32)


class Block(nn.Module):
    """Two linear layers around a bend, and the input added: small, and with all that a real block has."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.up, self.down = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator).bfloat16().float() / 3

    def forward(self, hidden: Tensor, *, scale: float) -> tuple[Tensor, None]:
        added: Tensor = self.down(nn.functional.silu(self.up(hidden)))
        return hidden.add(added, alpha=scale), None


class Batches:
    def __init__(self, block: nn.Module, count: int, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.inputs = [torch.randn(2, 9, WIDTH, generator=generator) for _ in range(count)]
        self.targets: list[Tensor] = [block(each, scale=2.0)[0].detach() for each in self.inputs]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (self.inputs[index],), {"scale": 2.0}

    def target(self, index: int) -> Tensor:
        return self.targets[index]


def started(block: Block, scheme: Scheme, dtype: str = "BF16") -> dict[str, Layer]:
    layers = {}
    for name, linear in (("up", block.up), ("down", block.down)):
        weight = linear.weight.detach()
        grid = range_grid(weight, scheme, dtype)
        layers[name] = Layer(linear, dtype, Solved(encode(weight, grid), grid))
    return layers


def loss_of(block: Block, batches: Batches, solved: Mapping[str, Solved]) -> float:
    """Computed apart: the mean over tokens of the squared error relative to the token's squared size."""
    with torch.no_grad(), replaced(block, {name: getattr(block, name) for name in solved}, torch.float32) as weights:
        for name, each in solved.items():
            weights[name].copy_(restored(each))
        parts = [
            ((block(hidden, scale=2.0)[0] - wanted).square().sum(-1) / wanted.square().sum(-1)).mean()
            for hidden, wanted in zip(batches.inputs, batches.targets, strict=True)
        ]
    return float(torch.stack(parts).double().mean())


def finished(work: Generator[Progress, None, dict[str, Solved]]) -> tuple[list[Progress], dict[str, Solved]]:
    steps = []
    while True:
        try:
            steps.append(next(work))
        except StopIteration as end:
            return steps, end.value


SCHEMES = st.builds(
    Scheme,
    bits=st.integers(2, 8),
    group_size=st.sampled_from([5, 8]),
    symmetric=st.booleans(),
    method=st.sampled_from(["rtn", "mse"]),
)


@settings(max_examples=25, deadline=None)
@given(SCHEMES, st.integers(0, 99), st.sampled_from(["BF16", "F16", "F32"]), st.sampled_from([0.01, 0.5]))
def test_the_result_is_never_worse_than_its_start(scheme: Scheme, seed: int, dtype: str, rate: float) -> None:
    block = Block(seed)
    layers, batches = started(block, scheme, dtype), Batches(block, 4, seed)
    chosen = Settings(epochs=2, code_rate=rate, scale_rate=rate, multiply=torch.float32)
    _, solved = finished(learn(block, layers, batches, chosen, seed))
    before = loss_of(block, batches, {name: layer.start for name, layer in layers.items()})
    assert loss_of(block, batches, solved) <= before * (1 + 1e-5)
    for name, each in solved.items():
        assert int(each.codes.max()) < scheme.levels
        assert each.codes.shape == layers[name].linear.weight.shape
        assert torch.equal(each.grid.scale.to(DTYPES[dtype]).float(), each.grid.scale)


@pytest.mark.parametrize("symmetric", [True, False])
def test_three_bits_lose_a_third_of_the_error_of_rounding_to_nearest(symmetric: bool) -> None:
    block = Block(1)
    layers, batches = started(block, Scheme(bits=3, group_size=8, symmetric=symmetric)), Batches(block, 16, 1)
    _, solved = finished(learn(block, layers, batches, EXACT, 0))
    assert loss_of(block, batches, solved) < 0.67 * loss_of(
        block, batches, {n: layer.start for n, layer in layers.items()}
    )


def test_the_same_seed_gives_the_same_codes_and_another_one_others() -> None:
    block = Block(2)
    layers, batches = started(block, Scheme(bits=2, group_size=8)), Batches(block, 8, 2)
    first, again, other = (finished(learn(block, layers, batches, EXACT, seed))[1]["up"] for seed in (7, 7, 8))
    assert torch.equal(first.codes, again.codes)
    assert torch.equal(first.grid.scale, again.grid.scale)
    assert not torch.equal(first.codes, other.codes)


def test_progress_counts_every_call_that_was_run() -> None:
    block = Block(3)
    steps, _ = finished(learn(block, started(block, Scheme(group_size=8)), Batches(block, 4, 3), EXACT, 0))
    assert [step.done for step in steps] == list(range(1, 3 * 4 + 2 * 4 + 1))
    assert {step.total for step in steps} == {20}


@pytest.mark.parametrize("ends", [0, 1, 6, 19])
def test_closing_at_any_step_leaves_the_block_as_it_was(ends: int) -> None:
    block = Block(4)
    weights = dict(block.named_parameters())
    values = {name: parameter.detach().clone() for name, parameter in weights.items()}
    work = learn(block, started(block, Scheme(group_size=8)), Batches(block, 4, 4), EXACT, 0)
    for _ in range(ends):
        next(work)
    work.close()
    assert block.training
    for name, parameter in block.named_parameters():
        assert parameter is weights[name]
        assert parameter.requires_grad
        assert parameter.grad is None
        assert torch.equal(parameter, values[name])


def test_a_layer_that_no_call_reaches_keeps_its_start() -> None:
    class Idle(Block):
        def forward(self, hidden: Tensor, *, scale: float) -> tuple[Tensor, None]:
            return hidden + scale * self.down(torch.cat([hidden, hidden[..., : INNER - WIDTH]], -1)), None

    block = Idle(5)
    layers = started(block, Scheme(bits=3, group_size=8))
    _, solved = finished(learn(block, layers, Batches(block, 8, 5), EXACT, 0))
    assert torch.equal(solved["up"].codes, layers["up"].start.codes)
    assert not torch.equal(solved["down"].codes, layers["down"].start.codes)


def test_without_calls_there_is_nothing_to_learn_from() -> None:
    block = Block(6)
    with pytest.raises(ValueError, match="no calls"):
        next(learn(block, started(block, Scheme(group_size=8)), Batches(block, 0, 6), EXACT, 0))


def test_without_layers_there_is_nothing_to_do() -> None:
    block = Block(6)
    assert finished(learn(block, {}, Batches(block, 1, 6), EXACT, 0)) == ([], {})


@pytest.mark.parametrize("kind", ["none", "diagonal", "full"])
def test_the_gradient_of_the_loss_is_that_of_autograd(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    output, target = torch.randn(2, 3, 5, generator=generator), torch.randn(2, 3, 5, generator=generator)
    root = torch.randn(5, 5, generator=generator)
    full = {"none": torch.eye(5), "diagonal": torch.diag(root.square().sum(0)), "full": root @ root.T}[kind]
    given_ = {"none": None, "diagonal": torch.diag(full), "full": full}[kind]
    loss, gradient = loss_and_gradient(output, target, given_)
    output.requires_grad_(True)
    error = output - target
    wanted = (torch.einsum("abi,ij,abj->ab", error, full, error) / target.square().sum(-1)).mean()
    torch.autograd.backward(wanted)
    assert loss == pytest.approx(float(wanted.detach()), rel=1e-5)
    torch.testing.assert_close(gradient, output.grad)


def test_a_token_of_zeros_does_not_outweigh_the_others() -> None:
    target = torch.ones(1, 10, 4)
    target[0, 0] = 0
    loss, _ = loss_and_gradient(target + 0.1, target)
    assert loss < 0.2


def test_the_rate_grows_then_falls_to_nearly_nothing() -> None:
    shares = [rate_share(step, 40) for step in range(40)]
    top = shares.index(max(shares))
    assert shares[0] < 0.25 and 2 <= top <= 5 and shares[-1] < 0.03
    assert shares[top:] == sorted(shares[top:], reverse=True)


def test_a_block_may_give_its_hidden_state_alone_or_first_of_several() -> None:
    state = torch.ones(2)
    for output in (state, (state, None), [state], {"last_hidden_state": state}):
        assert hidden_state(output) is state
    with pytest.raises(TypeError, match="no hidden state"):
        hidden_state(None)
