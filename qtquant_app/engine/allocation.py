"""Which choice for each tensor: the least error within a number of bytes, exactly. The multiple-choice knapsack problem.

The linear relaxation gives a price per byte and a lower bound. Choices whose detour from the cheapest, bytes paid for at that
price, exceeds the gap between the bound and a known solution are in no better solution and are dropped; what is left is
searched by merging Pareto fronts, pruned by the same bound (Dyer, Kayal and Walker, "A branch and bound algorithm for solving
the multiple-choice knapsack problem", 1984; Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", 1995).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Choices:
    """One class: tensors that must be treated alike. The bytes and the error [n] of each way to treat them."""

    bytes: Sequence[int]
    errors: Sequence[float]


@dataclass(frozen=True, slots=True)
class Allocation:
    """One choice for each class, with the sums over all."""

    chosen: tuple[int, ...]
    bytes: int
    error: float
    price: float
    """What one more byte is worth in the relaxed problem, in error; 0 where bytes are no constraint."""


@dataclass(frozen=True, slots=True)
class _Problem:
    """Classes as rectangles [classes, choices]; where a class has fewer choices the rest cost an infinite error."""

    bytes: Indices
    errors: Numbers
    capacity: int


def smallest(classes: Sequence[Choices]) -> int:
    """The bytes below which there is no allocation."""
    return sum(min(choices.bytes) for choices in classes)


def allocate(classes: Sequence[Choices], capacity: int) -> Allocation | None:
    """The allocation of the least error whose bytes do not exceed `capacity`; None where even the smallest does.

    Errors must be finite and not negative. 1,000 classes of 8 choices take some tens of milliseconds.
    """
    if not classes:
        return Allocation((), 0, 0.0, 0.0)
    if smallest(classes) > capacity:
        return None
    problem = _rectangles(classes, capacity)
    price, chosen = _relaxed(problem)
    chosen = _search(problem, price, chosen)
    return Allocation(tuple(chosen.tolist()), *_sums(problem, chosen), price)


def frontier(classes: Sequence[Choices]) -> list[Allocation]:
    """The allocations on the lower convex hull of bytes against error, from the smallest to the one without constraint.

    Each is optimal for its own bytes. There are at most as many as choices.
    """
    if not classes:
        return []
    problem = _rectangles(classes, 0)
    chosen, steps = _cheapest(problem), _segments(problem)
    found = [_allocation(problem, chosen, float(steps[0][0]) if steps else 0.0)]
    for at, (price, row, choice) in enumerate(steps):
        chosen[row] = choice
        if at + 1 == len(steps) or steps[at + 1][0] < price:
            found.append(_allocation(problem, chosen, price))
    return found


def _rectangles(classes: Sequence[Choices], capacity: int) -> _Problem:
    width = max(len(choices.bytes) for choices in classes)
    sizes = np.zeros((len(classes), width), np.int64)
    errors = np.full((len(classes), width), np.inf)
    for row, choices in enumerate(classes):
        sizes[row, : len(choices.bytes)] = choices.bytes
        errors[row, : len(choices.errors)] = choices.errors
    return _Problem(sizes, errors, capacity)


def _sums(problem: _Problem, chosen: Indices) -> tuple[int, float]:
    rows = np.arange(len(chosen))
    return int(problem.bytes[rows, chosen].sum()), float(problem.errors[rows, chosen].sum())


def _allocation(problem: _Problem, chosen: Indices, price: float) -> Allocation:
    return Allocation(tuple(chosen.tolist()), *_sums(problem, chosen), price)


def _cheapest(problem: _Problem) -> Indices:
    """The choice with the fewest bytes of each class; of equals the one with the least error."""
    sizes = np.where(np.isfinite(problem.errors), problem.bytes, np.iinfo(np.int64).max)
    least = sizes == sizes.min(axis=1, keepdims=True)
    cheapest: Indices = np.argmin(np.where(least, problem.errors, np.inf), axis=1)
    return cheapest


def _segments(problem: _Problem) -> list[tuple[float, int, int]]:
    """Each step up the lower convex hull of a class: error saved per byte, class, choice; the most worth first."""
    steps: list[tuple[float, int, int]] = []
    rows, at = np.arange(len(problem.bytes)), _cheapest(problem)
    while len(rows):
        sizes, errors = problem.bytes[rows], problem.errors[rows]
        here = np.arange(len(rows)), at
        more, less = sizes - sizes[here][:, None], errors[here][:, None] - errors
        worth = np.where((more > 0) & (less > 0), less / np.maximum(more, 1), 0.0)
        best = worth.max(axis=1)
        # the furthest of equally steep steps: those between lie on the same line
        furthest = np.argmax(np.where(worth == best[:, None], more, -1), axis=1)
        rows, at, best = rows[best > 0], furthest[best > 0], best[best > 0]
        steps += zip(best.tolist(), rows.tolist(), at.tolist(), strict=True)
    return sorted(steps, key=lambda step: (-step[0], step[1]))


def _relaxed(problem: _Problem) -> tuple[float, Indices]:
    """The price per byte of the relaxed problem, and a solution made greedily along the hulls."""
    chosen, steps = _cheapest(problem), _segments(problem)
    room, price, stuck = problem.capacity - _sums(problem, chosen)[0], 0.0, np.zeros(len(chosen), bool)
    for worth, row, choice in steps:
        more = int(problem.bytes[row, choice] - problem.bytes[row, chosen[row]])
        if stuck[row]:
            continue
        if more > room:
            price, stuck[row] = price or worth, True
            continue
        chosen[row], room = choice, room - more
    return price, chosen


def _search(problem: _Problem, price: float, chosen: Indices) -> Indices:
    """The best solution, `chosen` or a better one.

    With b bytes and error e, a solution's detour is what e + price * b exceeds the cheapest by; its error exceeds the bound by
    its detour plus the price of the bytes it leaves free.
    """
    rows = np.arange(len(chosen))
    cost = problem.errors + price * problem.bytes
    base = np.argmin(cost, axis=1)
    detour = cost - cost[rows, base][:, None]
    bound = float(cost[rows, base].sum()) - price * problem.capacity
    gap = _sums(problem, chosen)[1] - bound
    if price == 0 or gap <= 0:
        return chosen
    open_rows = [int(row) for row in rows if np.count_nonzero(detour[row] < gap) > 1]
    open_rows.sort(key=lambda row: float(np.partition(detour[row], 1)[1]))
    fronts = _Fronts(problem, price, base, gap)
    fronts.plan(open_rows, detour)
    return fronts.best(chosen)


class _Fronts:
    """Partial solutions over more and more classes, the others at their cheapest: no one of them better than another."""

    def __init__(self, problem: _Problem, price: float, base: Indices, gap: float) -> None:
        self._problem, self._price, self._base = problem, price, base
        self._gap = gap * (1 + 1e-12)
        self._bytes = np.array([_sums(problem, base)[0]])
        self._detour = np.zeros(1)
        self._stages: list[tuple[int, Indices, Indices]] = []
        """For each class its row, and for each state the state it came from and the choice made."""
        self._best: tuple[int, int] | None = None
        """How many stages, and which state after them; None while nothing better than what was known is found."""
        self._take_best()

    def plan(self, rows: Sequence[int], detour: Numbers) -> None:
        """Extends the fronts by all of `rows`, in order, until there is nothing left to gain."""
        if self._gap <= 0:
            return
        ranges = [self._range(row, detour[row]) for row in rows]
        for at, row in enumerate(rows):
            if self._gap <= 0:
                return
            low = sum(least for least, _ in ranges[at + 1 :])
            high = sum(most for _, most in ranges[at + 1 :])
            self._extend(row, np.flatnonzero(detour[row] < self._gap), detour[row], low, high)

    def _range(self, row: int, detour: Numbers) -> tuple[int, int]:
        """The fewest and the most bytes that a class may still add to its cheapest choice's."""
        more = self._problem.bytes[row] - self._problem.bytes[row, self._base[row]]
        usable = more[detour < self._gap]
        return int(usable.min()), int(usable.max())

    def _extend(self, row: int, choices: Indices, detour: Numbers, low: int, high: int) -> None:
        capacity, price = self._problem.capacity, self._price
        more = self._problem.bytes[row, choices] - self._problem.bytes[row, self._base[row]]
        sizes = (self._bytes[:, None] + more).ravel()
        detours = (self._detour[:, None] + detour[choices]).ravel()
        free = np.maximum(capacity - sizes - high, 0)
        kept = np.flatnonzero((sizes + low <= capacity) & (detours + price * free < self._gap))
        kept = kept[np.lexsort((detours[kept], sizes[kept]))]
        errors = detours[kept] - price * sizes[kept]
        before = np.concatenate([[np.inf], np.minimum.accumulate(errors)[:-1]])
        kept = kept[errors < before]
        self._bytes, self._detour = sizes[kept], detours[kept]
        self._stages.append((row, kept // len(choices), choices[kept % len(choices)]))
        self._take_best()

    def _take_best(self) -> None:
        free = self._problem.capacity - self._bytes
        excess = np.where(free >= 0, self._detour + self._price * free, np.inf)
        if len(excess) and excess.min() < self._gap:
            self._gap = float(excess.min())
            self._best = len(self._stages), int(np.argmin(excess))

    def best(self, known: Indices) -> Indices:
        """The best solution found, or `known` where none is better."""
        if self._best is None:
            return known
        chosen = self._base.copy()
        count, state = self._best
        for row, sources, choices in reversed(self._stages[:count]):
            chosen[row], state = choices[state], sources[state]
        return chosen
