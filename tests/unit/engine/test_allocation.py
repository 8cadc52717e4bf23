"""The budget's arithmetic: as good as trying everything."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.engine import allocation
from qtquant_app.engine.allocation import Choices, allocate, frontier, smallest
from tests.knapsacks import KINDS, capacity, knapsack

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


def planned(classes: list[Choices], room: int) -> float:
    """The least error by dynamic programming over every number of bytes."""
    table = np.zeros(room + 1)
    for choices in classes:
        after = np.full(room + 1, np.inf)
        for size, error in zip(choices.bytes, choices.errors, strict=True):
            if size <= room:
                after[size:] = np.minimum(after[size:], table[: room + 1 - size] + error)
        table = after
    return float(table[room])


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"model", "equal tensors", "distinct tensors"}))
@pytest.mark.parametrize("seed", range(4))
def test_forty_classes_get_what_dynamic_programming_gives_them(kind: str, seed: int) -> None:
    classes = knapsack(kind, seed, 40, most=250)
    if kind == "few sizes":
        classes = [Choices([size // 1_000 for size in one.bytes], one.errors) for one in classes]
    for share in (0.0, 0.1, 0.35, 0.62, 0.9, 1.0):
        room = capacity(classes, share)
        found = allocate(classes, room)
        assert found is not None and found.excess == 0 and found.bytes <= room
        assert found.error == pytest.approx(planned(classes, room), rel=1e-12, abs=1e-9)


def test_capacities_that_no_sum_fills_are_no_hindrance() -> None:
    """Sizes that are all multiples of 1,000: what is left of the capacity besides says nothing."""
    classes = [
        Choices([1_000 * size for size in one.bytes], one.errors)
        for one in knapsack("weakly correlated", 0, 300, most=90)
    ]
    room = capacity(classes, 0.5)
    one, other = allocate(classes, room // 1_000 * 1_000), allocate(classes, room // 1_000 * 1_000 + 999)
    assert one is not None and other is not None and one.error == other.error


def test_a_search_cut_short_says_by_how_much_it_may_be_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    classes = knapsack("strict steps", 1, 60, most=200)
    room = capacity(classes, 0.5)
    monkeypatch.setattr(allocation, "MOST_STATES", 30)
    short = allocate(classes, room)
    assert short is not None and short.bytes <= room and short.excess > 0
    assert short.error - short.excess <= planned(classes, room) <= short.error


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["equal tensors", "model", "distinct tensors"])
def test_a_thousand_tensors_come_close_to_their_bound(seed: int, kind: str) -> None:
    classes = knapsack(kind, seed)
    for share in (0.15, 0.5, 0.9):
        room = capacity(classes, share)
        found = allocate(classes, room)
        assert found is not None and found.bytes <= room and found.excess == 0
        bound = sum(
            min(error + found.price * size for size, error in zip(c.bytes, c.errors, strict=True)) for c in classes
        )
        assert bound - found.price * room <= found.error + 1e-9
