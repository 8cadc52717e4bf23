"""The budget's arithmetic: as good as trying everything."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.engine.allocation import Choices, allocate, frontier, smallest

CLASSES = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), min_size=1, max_size=4).map(
        lambda pairs: Choices([size for size, _ in pairs], [float(error) for _, error in pairs])
    ),
    min_size=1,
    max_size=6,
)


def tried(classes: list[Choices], capacity: int) -> float | None:
    """The least error of all combinations that fit."""
    found = None
    for chosen in product(*(range(len(choices.bytes)) for choices in classes)):
        if sum(c.bytes[at] for c, at in zip(classes, chosen, strict=True)) <= capacity:
            error = sum(c.errors[at] for c, at in zip(classes, chosen, strict=True))
            found = error if found is None else min(found, error)
    return found


@settings(max_examples=600, deadline=None)
@given(CLASSES, st.integers(0, 200))
def test_nothing_that_fits_has_a_smaller_error(classes: list[Choices], capacity: int) -> None:
    found, expected = allocate(classes, capacity), tried(classes, capacity)
    if expected is None:
        assert found is None and smallest(classes) > capacity
        return
    assert found is not None and found.bytes <= capacity
    assert found.error == pytest.approx(expected, rel=1e-9, abs=1e-9)
    parts = list(zip(classes, found.chosen, strict=True))
    assert found.bytes == sum(choices.bytes[at] for choices, at in parts)
    assert found.error == pytest.approx(sum(choices.errors[at] for choices, at in parts))


@settings(max_examples=200, deadline=None)
@given(CLASSES)
def test_exactly_enough_for_the_smallest_is_enough(classes: list[Choices]) -> None:
    found = allocate(classes, smallest(classes))
    assert found is not None and found.error == pytest.approx(tried(classes, smallest(classes)))


@settings(max_examples=200, deadline=None)
@given(CLASSES)
def test_the_frontier_is_optimal_at_each_of_its_sizes(classes: list[Choices]) -> None:
    points = frontier(classes)
    assert points[0].bytes == smallest(classes)
    assert all(a.bytes < b.bytes and a.error > b.error for a, b in pairwise(points))
    assert points[-1].error == sum(min(choices.errors) for choices in classes)
    for point in points:
        assert point.error == pytest.approx(tried(classes, point.bytes), abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sizes", ["equal", "few", "many"])
def test_a_thousand_tensors_come_close_to_their_bound(seed: int, sizes: str) -> None:
    classes = thousand(seed, sizes)
    least, most = smallest(classes), sum(max(choices.bytes) for choices in classes)
    for share in (0.15, 0.5, 0.9):
        capacity = round(least + share * (most - least))
        found = allocate(classes, capacity)
        assert found is not None and found.bytes <= capacity
        bound = sum(
            min(error + found.price * size for size, error in zip(c.bytes, c.errors, strict=True)) for c in classes
        )
        assert bound - found.price * capacity <= found.error + 1e-9


def thousand(seed: int, sizes: str, count: int = 1000) -> list[Choices]:
    """A model's tensors under eight schemes: error falls by a power of two for each bit, more or less."""
    random = np.random.default_rng(seed)
    weights = {
        "equal": np.full(count, 4096 * 4096),
        "few": random.choice([4096 * 4096, 1024 * 4096, 4096 * 14336], count),
        "many": random.integers(10**6, 10**8, count),
    }[sizes]
    bits = np.array([2.25, 2.5, 3.125, 3.5, 4.125, 4.5, 6.125, 8.03])
    classes = []
    for weight in weights:
        error = random.lognormal(0, 1) * 4.0**-bits * random.lognormal(0, 0.1, 8)
        classes.append(Choices((weight * bits / 8).astype(int).tolist(), error.tolist()))
    return classes
