"""Learned rounding: the codes and scales of a block's layers move until the block's output is near the float block's again.

What is learned together, block by block, is as in Li et al., "BRECQ" (2021), and Cheng et al., "Optimize weight rounding via
signed gradient descent for the quantization of LLMs" (2024); the start is the result of another method. Errors of a token count
relative to the size of its hidden state, since what follows is normalized: else the few tokens of massive activations outweigh all
others.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from qtquant_app.quant.solvers.grid import Solved
from qtquant_app.quant.solvers.learned_block import Arithmetic, loss_and_gradient, replaced
from qtquant_app.quant.solvers.learned_codes import Codes

_WARM_UP = 0.1
"""The share of the steps in which the rates grow to their full size: Adam's first directions are mostly noise."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer of the block, and what it starts from: codes on a grid whose scales `dtype` ("BF16", "F16", "F32") stores."""

    linear: nn.Linear
    dtype: str
    start: Solved


@dataclass(frozen=True, slots=True)
class Settings:
    """How long and how fast is learned."""

    epochs: float = 2.0
    """How often each call is learned from."""
    code_rate: float = 0.01
    """The most that a code's position moves in one step, in steps of the scale."""
    scale_rate: float = 1e-3
    """The most that a scale moves in one step, as a share of itself."""
    judged: int = 16
    """Calls, spread evenly, whose loss decides whether the result is better than its start."""
    multiply: torch.dtype | None = None
    """What matrices are multiplied in; None is bfloat16 where the device has instructions for it."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Calls run so far, of how many, and the loss of the last one."""

    done: int
    total: int
    loss: float


class Calls(Protocol):
    """The block's inputs and the outputs it should have, a batch of samples at a time."""

    def __len__(self) -> int:
        """How many batches there are."""

    def __getitem__(self, index: int, /) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) of the block, hidden states float32, as the quantized blocks before it give them."""

    def target(self, index: int) -> Tensor:
        """The float block's hidden state on the float blocks' inputs, [..., n]."""


def learn(
    block: nn.Module,
    layers: Mapping[str, Layer],
    calls: Calls,
    settings: Settings,
    seed: int,
    sensitivity: Tensor | None = None,
) -> Generator[Progress, None, dict[str, Solved]]:
    """The codes and scales of `layers`, by name, under which the block's loss (`loss_and_gradient`) is least, the start included.

    Yields after each call. The block is left as it was, also by `close()`. Raises ValueError where there are no calls.
    """
    if not layers:
        return {}
    trial = _Trial(block, layers, calls, settings, sensitivity)
    linears = {name: layer.linear for name, layer in layers.items()}
    with replaced(block, linears, trial.arithmetic.multiply) as weights:
        for name, codes in trial.codes.items():
            codes.write(weights[name].data)
        before = yield from trial.judged(0)
        yield from trial.steps(weights, seed)
        after = yield from trial.judged(trial.total - len(trial.judges))
        better = after < before
    return {name: codes.solved() if better else layers[name].start for name, codes in trial.codes.items()}


class _Trial:
    def __init__(
        self,
        block: nn.Module,
        layers: Mapping[str, Layer],
        calls: Calls,
        settings: Settings,
        sensitivity: Tensor | None,
    ) -> None:
        if not len(calls):
            raise ValueError("there are no calls to learn from")
        device = next(iter(layers.values())).linear.weight.device
        self.block, self.calls, self.settings, self.sensitivity = block, calls, settings, sensitivity
        self.arithmetic = Arithmetic.of(device, settings.multiply)
        self.codes = {name: Codes(each.linear.weight.detach(), each.start, each.dtype) for name, each in layers.items()}
        self.count = max(1, round(settings.epochs * len(calls)))
        self.judges = _spread(len(calls), settings.judged)
        self.total = self.count + 2 * len(self.judges)

    def judged(self, done: int) -> Generator[Progress, None, float]:
        """The mean loss of the judging calls under the weights as they are."""
        sums = 0.0
        for index in self.judges:
            with torch.no_grad():
                loss, _ = self._loss(index)
            sums, done = sums + loss, done + 1
            yield Progress(done, self.total, loss)
        return sums / len(self.judges)

    def steps(self, weights: Mapping[str, Tensor], seed: int) -> Iterator[Progress]:
        lift = 0.0
        for step, index in enumerate(_order(len(self.calls), self.count, seed)):
            with torch.enable_grad():
                output = self.arithmetic.run(self.block, self.calls[index])
            loss, gradient = loss_and_gradient(output, self.calls.target(index), self.sensitivity)
            lift = lift or _lift(gradient)
            torch.autograd.backward(output, gradient * lift)
            share = rate_share(step, self.count)
            for name, codes in self.codes.items():
                slope, weights[name].grad = weights[name].grad, None
                if slope is not None:
                    codes.learn(
                        slope, share * self.settings.code_rate, share * self.settings.scale_rate, weights[name].data
                    )
            yield Progress(len(self.judges) + step + 1, self.total, loss)

    def _loss(self, index: int) -> tuple[float, Tensor]:
        output = self.arithmetic.run(self.block, self.calls[index])
        return loss_and_gradient(output, self.calls.target(index), self.sensitivity)


def rate_share(step: int, count: int) -> float:
    """Which share of its rate step number `step` of `count` learns with: it grows at first, then falls linearly to zero."""
    return min(1.0, (step + 1) / (_WARM_UP * count + 1)) * (1 - step / count)


def _lift(gradient: Tensor) -> float:
    """A power of two that brings the gradient to about 1. Adam's steps do not know of it, and backward passes meet no denormal
    numbers, on which processors are slow: hidden states of a thousand make gradients small."""
    size = float(gradient.float().square().mean().sqrt())
    return 2.0 ** -round(math.log2(size)) if 0 < size < math.inf else 1.0


def _order(calls: int, count: int, seed: int) -> Iterator[int]:
    """`count` numbers of calls, each as often as any other give or take one, in an order that `seed` decides."""
    generator = torch.Generator().manual_seed(seed)
    while count > 0:
        yield from torch.randperm(calls, generator=generator).tolist()[:count]
        count -= calls


def _spread(calls: int, most: int) -> Sequence[int]:
    count = max(1, min(calls, most))
    return [index * calls // count for index in range(count)]
