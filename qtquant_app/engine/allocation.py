"""Which choice for each tensor: the least error within a number of bytes, exactly. The multiple-choice knapsack problem.

The linear relaxation gives a price per byte and a lower bound. Choices whose detour from the cheapest, bytes paid for at that
price, exceeds the gap between the bound and a known solution are in no better solution and are dropped; what is left is
searched by merging Pareto fronts, pruned by the same bound (Dyer, Kayal and Walker, "A branch and bound algorithm for solving
the multiple-choice knapsack problem", 1984), from the classes outwards that are cheapest to change (Pisinger, "A minimal algorithm
for the multiple-choice knapsack problem", 1995), and by halves (Horowitz and Sahni, "Computing partitions with applications to the
knapsack problem", 1974).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Indices = NDArray[np.int64]

MOST_STATES = 3_000_000
"""Partial solutions that a search makes before it is content with the best it knows. Measured models take up to a hundred
thousand; only where errors and bytes rise in strict proportion are there more than can be told apart."""

_NOTHING = 1e-14
"""The part of a cost that is a matter of rounding."""


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
    excess: float = 0.0
    """What another allocation could have less of error, at most: 0 where this one is known to be the best."""


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

    Errors must be finite and not negative. 1,000 classes of 8 choices take some tens of milliseconds, and a quarter of a second
    where `MOST_STATES` end the search.
    """
    if not classes:
        return Allocation((), 0, 0.0, 0.0)
    if smallest(classes) > capacity:
        return None
    problem = _rectangles(classes, capacity)
    price, chosen = _relaxed(problem)
    chosen, excess = _search(problem, price, chosen)
    return Allocation(tuple(chosen.tolist()), *_sums(problem, chosen), price, excess)


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


def _search(problem: _Problem, price: float, chosen: Indices) -> tuple[Indices, float]:
    """The best solution, `chosen` or a better one, and its `Allocation.excess`.

    With b bytes and error e, a solution's detour is what e + price * b exceeds the cheapest by; its error exceeds the bound by
    its detour plus the price of the bytes it leaves free.
    """
    if price == 0 or problem.bytes.shape[1] == 1:
        return chosen, 0.0
    rows = np.arange(len(chosen))
    cost = problem.errors + price * problem.bytes
    detour = cost - cost.min(axis=1, keepdims=True)
    detour[detour <= _NOTHING * cost.min(axis=1, keepdims=True)] = 0.0
    # of choices that cost the same the known one: with it the cheapest of all comes near to the capacity
    base = np.where(detour[rows, chosen] == 0, chosen, np.argmin(detour, axis=1))
    more = np.where(np.isfinite(cost), problem.bytes - problem.bytes[rows, base][:, None], 0)
    unit = int(np.gcd.reduce(more, axis=None)) or 1
    room = (problem.capacity - _sums(problem, base)[0]) // unit * unit  # what is left of it can never be filled
    return _Core(more, detour, price, room, chosen).solved(base)


class _Front:
    """Partial solutions over some classes, the others at their cheapest: by bytes, no one of them better than another."""

    def __init__(self) -> None:
        self.bytes = np.zeros(1, np.int64)
        """Beyond those of the cheapest choices, in rising order."""
        self.detour = np.zeros(1)
        self._stages: list[tuple[int, Indices, Indices]] = []
        """For each class its row, and for each state the state it came from and the choice made."""

    def extend(self, row: int, choices: Indices, more: Indices, detour: Numbers) -> None:
        """Adds a class: every state with every choice."""
        self._stages.append((row, np.tile(np.arange(len(self.bytes)), len(choices)), choices.repeat(len(self.bytes))))
        self.bytes = (more[:, None] + self.bytes).ravel()
        self.detour = (detour[:, None] + self.detour).ravel()

    def keep(self, states: Indices) -> None:
        """Forgets all but these."""
        if not self._stages:
            return  # the one state there is leads nowhere else
        row, sources, choices = self._stages[-1]
        self._stages[-1] = row, sources[states], choices[states]
        self.bytes, self.detour = self.bytes[states], self.detour[states]

    def write(self, state: int, chosen: Indices) -> None:
        """Puts the choices that led to a state into `chosen`."""
        for row, sources, choices in reversed(self._stages):
            chosen[row], state = choices[state], sources[state]


class _Core:
    """The search among the choices that a better solution may hold.

    The classes go into two fronts, those first that leave their cheapest choice most easily. Each state of one with each of the
    other is a solution, and the best is found without making them all: it takes the square root of the states of a single front.
    """

    def __init__(self, more: Indices, detour: Numbers, price: float, room: int, known: Indices) -> None:
        rows = np.arange(len(known))
        self._more, self._detour, self._price, self._room, self._known = more, detour, price, room, known
        free = room - int(more[rows, known].sum())
        self._gap = float(detour[rows, known].sum()) + price * free
        """What the known solution exceeds the bound by."""

    def solved(self, base: Indices) -> tuple[Indices, float]:
        """The best solution found, and what a better one could save: 0 where there is none."""
        order, fronts = self._order(), (_Front(), _Front())
        self._look(base, *fronts)
        low, high = self._ranges(order)
        singly: list[int] = []
        made = least = most = 0
        for at, row in enumerate(order.tolist(), 1):
            choices = np.flatnonzero(self._detour[row] < self._gap)
            if len(choices) < 2:
                continue
            more, detour = self._more[row, choices], self._detour[row, choices]
            if np.partition(detour, 1)[1] >= self._gap / 2:
                # a better solution leaves the cheapest choice in one of these at most
                singly, least, most = [*singly, row], min(least, int(more.min())), max(most, int(more.max()))
                continue
            front, other = sorted(fronts, key=lambda one: len(one.bytes))
            made += len(front.bytes) * len(choices)
            if made > MOST_STATES:
                return self._known, self._gap
            front.extend(row, choices, more, detour)
            self._prune(front, int(other.bytes[0] + low[at]) + least, int(other.bytes[-1] + high[at]) + most)
            if not len(front.bytes):
                return self._known, 0.0
            if self._look(base, *fronts):
                low, high = self._ranges(order)
        return self._with_singles(base, fronts, singly, made)

    def _with_singles(
        self, base: Indices, fronts: tuple[_Front, _Front], rows: Sequence[int], made: int
    ) -> tuple[Indices, float]:
        """The end of `solved`: pairs of states and one more class away from its cheapest choice, by half the gap or more."""
        for front in fronts:
            front.keep(np.flatnonzero(front.detour < self._gap / 2))
        for row in rows:
            for choice in np.flatnonzero((self._detour[row] > 0) & (self._detour[row] < self._gap)).tolist():
                made += min(len(front.bytes) for front in fronts)
                if made > MOST_STATES:
                    return self._known, self._gap
                self._look(base, *fronts, (row, choice))
        return self._known, 0.0

    def _order(self) -> Indices:
        """The classes that are open, those with the cheapest step first: to more bytes and to fewer in turns."""
        nearest = [np.where(side, self._detour, np.inf).min(axis=1) for side in (self._more > 0, self._more < 0)]
        turns = np.stack([np.argsort(near, kind="stable") for near in nearest], axis=1).ravel()
        _, first = np.unique(turns, return_index=True)
        order = turns[np.sort(first)]
        is_open: NDArray[np.bool_] = np.minimum(*nearest)[order] < self._gap
        return np.asarray(order[is_open], np.int64)

    def _ranges(self, order: Indices) -> tuple[Indices, Indices]:
        """The fewest and the most bytes [classes + 1] that the classes from each one on can add."""
        more = np.where(self._detour[order] < self._gap, self._more[order], 0)
        sums = [np.concatenate([np.cumsum(side[::-1])[::-1], [0]]) for side in (more.min(axis=1), more.max(axis=1))]
        return sums[0], sums[1]

    def _prune(self, front: _Front, low: int, high: int) -> None:
        """Drops the states that lead to no better solution where all else adds `low` to `high` bytes, and those that another is as
        good as."""
        free = np.maximum(self._room - high - front.bytes, 0)
        hopeful = (front.bytes <= self._room - low) & (front.detour + self._price * free < self._gap)
        front.keep(np.flatnonzero(hopeful))
        front.keep(np.argsort(front.bytes, kind="stable"))
        errors = front.detour - self._price * front.bytes
        front.keep(np.flatnonzero(errors < np.concatenate([[np.inf], np.minimum.accumulate(errors)[:-1]])))
        last_of_equals = np.diff(front.bytes, append=np.iinfo(np.int64).max) != 0
        front.keep(np.flatnonzero(last_of_equals))

    def _look(self, base: Indices, one: _Front, other: _Front, besides: tuple[int, int] | None = None) -> bool:
        """Takes the best pair of states where it is better than what is known; whether it was. `besides` is a class that neither
        has, and its choice."""
        room, spent = self._room, 0.0
        if besides is not None:
            room, spent = room - int(self._more[besides]), float(self._detour[besides])
        if len(one.bytes) > len(other.bytes):
            one, other = other, one
        reach = int(min(self._gap / self._price, 2.0**60))  # bytes left free that cost no more than the gap
        first = int(np.searchsorted(one.bytes, room - reach - int(other.bytes[-1])))
        free = room - one.bytes[first : np.searchsorted(one.bytes, room - int(other.bytes[0]), "right")]
        if not len(free):
            return False
        partner = np.searchsorted(other.bytes, free, "right") - 1
        detour = one.detour[first : first + len(free)] + other.detour[partner]
        excess = spent + detour + self._price * (free - other.bytes[partner])
        state = int(np.argmin(excess))
        if excess[state] >= self._gap:
            return False
        self._gap, self._known = float(excess[state]), base.copy()
        one.write(first + state, self._known)
        other.write(int(partner[state]), self._known)
        if besides is not None:
            self._known[besides[0]] = besides[1]
        return True
