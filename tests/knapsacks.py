"""Random multiple-choice knapsacks of several kinds: some as models give them, some as papers on the problem make them hard."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from qtquant_app.engine.allocation import Choices, smallest

BITS = np.array([2.25, 2.5, 3.125, 3.5, 4.125, 4.5, 6.125, 8.03])
LAYER = (4096 * 4096, 1024 * 4096, 1024 * 4096, 4096 * 4096, 4096 * 14336, 4096 * 14336, 4096 * 14336)
"""Weights of the tensors of a decoder's layer."""

Random = np.random.Generator
Pair = tuple[NDArray[np.integer], NDArray[np.floating]]


def _tensor(random: Random, weights: float) -> Pair:
    """Error falls by a power of two for each bit, more or less."""
    errors = random.lognormal(0, 1) * 4.0**-BITS * random.lognormal(0, 0.1, len(BITS))
    return (weights * BITS / 8).astype(np.int64), errors


def _model(random: Random, at: int, _: int) -> Pair:
    return _tensor(random, LAYER[at % len(LAYER)])


def _equal(random: Random, _: int, __: int) -> Pair:
    return _tensor(random, LAYER[0])


def _distinct(random: Random, _: int, __: int) -> Pair:
    return _tensor(random, float(random.integers(10**6, 10**8)))


def _few(random: Random, _: int, __: int) -> Pair:
    sizes = 1_000 * random.choice([1, 3, 7, 11, 20, 33, 50, 64], 8, replace=False)
    return sizes, random.random(8) * np.exp(-sizes / 2e4)


def _uncorrelated(random: Random, _: int, most: int) -> Pair:
    return random.integers(1, most, 8), random.integers(1, most, 8).astype(float)


def _falling(random: Random, _: int, most: int) -> Pair:
    sizes, errors = np.sort(random.integers(1, most, (2, 8)), axis=1)
    return sizes, errors[::-1].astype(float)


def _weak(random: Random, _: int, most: int) -> Pair:
    sizes = random.integers(1, most, 8)
    return sizes, np.maximum(1, most - sizes + random.integers(0, most // 5, 8)).astype(float)


def _strong(random: Random, _: int, most: int) -> Pair:
    """Each further step saves what it costs and a constant, with the noise of a measurement."""
    steps = random.integers(1, most, 8)
    worth = (steps + most // 100) * (1 + 0.01 * random.standard_normal(8))
    return np.cumsum(steps), worth.sum() - np.cumsum(worth)


def _steps(random: Random, _: int, most: int) -> Pair:
    """As `_strong` without the noise: the bound cannot tell billions of solutions apart."""
    steps = random.integers(1, most, 8)
    worth = (steps + 10).astype(float)
    return np.cumsum(steps), worth.sum() - np.cumsum(worth)


def _near(random: Random, _: int, most: int) -> Pair:
    sizes = random.integers(1, most, 8)
    return sizes, (most - sizes) * (1 + 1e-3 * random.standard_normal(8))


def _subset_sum(random: Random, _: int, most: int) -> Pair:
    sizes = random.integers(1, most, 8)
    return sizes, (most - sizes).astype(float)


KINDS: dict[str, Callable[[Random, int, int], Pair]] = {
    "model": _model,
    "equal tensors": _equal,
    "distinct tensors": _distinct,
    "few sizes": _few,
    "uncorrelated": _uncorrelated,
    "falling": _falling,
    "weakly correlated": _weak,
    "strongly correlated": _strong,
    "strict steps": _steps,
    "nearly proportional": _near,
    "subset sum": _subset_sum,
}


def knapsack(kind: str, seed: int, count: int = 1_000, most: int | None = None) -> list[Choices]:
    """`count` classes of eight choices; the sizes of made-up ones go up to `most`, by itself a power of ten up to 10^8."""
    random = np.random.default_rng([seed, *kind.encode()])
    bound = most or int(10 ** random.integers(3, 9))
    pairs = (KINDS[kind](random, at, bound) for at in range(count))
    return [Choices(sizes.tolist(), errors.tolist()) for sizes, errors in pairs]


def capacity(classes: list[Choices], share: float) -> int:
    """A capacity so far between the smallest allocation and that without constraint."""
    least = smallest(classes)
    most = sum(choices.bytes[int(np.argmin(choices.errors))] for choices in classes)
    return round(least + share * (most - least))
