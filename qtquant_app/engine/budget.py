"""The best mix of schemes within a budget: measured once, then solved for any target in a moment.

The choice is a multiple-choice knapsack over sets of tensors that move together (`allocation`). What a plan takes besides
the tensors, in headers, config and index, depends on the mix, so plans are made and looked at: the capacities tried lie on
a grid that is the same for all targets, and the largest is taken whose plan is within the target. So a larger target never
does worse.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from qtquant_app.core.budget import Assignment, Budget, Point, Step, Treatment
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Target
from qtquant_app.engine.allocation import Allocation, allocate, frontier, smallest
from qtquant_app.engine.budget_like import choosable, given_to_all
from qtquant_app.engine.budget_measure import MeasuredSet, allowed, measure
from qtquant_app.engine.budget_readers import Readers, readable
from qtquant_app.engine.budget_recipe import mixed_recipe
from qtquant_app.engine.budget_schemes import ALLOWED, schemes_for
from qtquant_app.engine.budget_target import memory_of, within
from qtquant_app.engine.budget_weighing import weigh_by_text
from qtquant_app.engine.device import resolve
from qtquant_app.engine.planner import make_plan
from qtquant_app.formats import find

__all__ = ["ALLOWED", "MAX_POINTS", "Measured", "schemes_for", "solve", "weigh"]

MAX_POINTS = 200
"""Of a frontier; the eye sees no more."""
MAX_PLANS = 16
"""Kept of a measure, those asked for last: a slider asks for hundreds, and one of a large model takes a hundred megabytes."""


@dataclass(frozen=True)
class Measured:
    """A checkpoint measured under all that is allowed; `solve` takes it from there, as often as the target changes."""

    checkpoint: Checkpoint
    base: Recipe
    """What is decided already; the default is left to the budget."""
    sets: tuple[MeasuredSet, ...]
    treatments: tuple[Treatment, ...]
    device: str
    max_memory: int | None = None
    seed: int = 0
    calibrated: bool = False
    """Whether errors are nats a token, weighed by what a text does in the model."""
    compared: Mapping[Scheme, float | str] = field(default_factory=dict)
    """The predicted error of each scheme that was measured where all that is free gets it, or why it cannot."""
    _plans: dict[tuple[int, ...], Plan] = field(default_factory=dict, compare=False, repr=False)

    def plan(self, chosen: Sequence[int]) -> Plan:
        """The plan of one choice for each set."""
        key = tuple(chosen)
        found = self._plans.pop(key, None) or make_plan(
            self.checkpoint, self.recipe(key), device=self.device, max_memory=self.max_memory, seed=self.seed
        )
        while len(self._plans) >= MAX_PLANS:
            del self._plans[next(iter(self._plans))]
        self._plans[key] = found
        return found

    def recipe(self, chosen: Sequence[int]) -> Recipe:
        picked = [
            (found.tensors, found.treatments[at])
            for found, at in zip(self.sets, chosen, strict=True)
            if not found.by_recipe
        ]
        return mixed_recipe(self.base, picked, (tensor.module for tensor in self.checkpoint.tensors))

    def keeps_all(self, chosen: Sequence[int]) -> bool:
        """Whether nothing would be quantized."""
        return all(found.treatments[at] == "keep" for found, at in zip(self.sets, chosen, strict=True))

    @cached_property
    def smallest(self) -> Allocation:
        classes = [found.choices for found in self.sets]
        return _certain(allocate(classes, smallest(classes)))

    @cached_property
    def uniform(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Each scheme that all sets can take which are free to: its label, and the choice for each set."""
        found = []
        for treatment in self.treatments:
            free = [measured for measured in self.sets if not measured.fixed]
            if isinstance(treatment, Scheme) and free and all(treatment in one.treatments for one in free):
                chosen = tuple(0 if one.fixed else one.treatments.index(treatment) for one in self.sets)
                found.append((treatment.label, chosen))
        return tuple(found)

    @cached_property
    def uniform_points(self) -> tuple[Point, ...]:
        """What each of `uniform` comes to: output bytes exactly, and the predicted error."""
        return tuple(Point(self.plan(given).output_bytes, self.spent(given)[1], label) for label, given in self.uniform)

    @cached_property
    def least_besides(self) -> int:
        """The fewest bytes that a plan of one scheme for all takes besides the tensors of the sets, or the smallest plan of all."""
        return min(self.besides(chosen) for chosen in (self.smallest.chosen, *(chosen for _, chosen in self.uniform)))

    @cached_property
    def quantized_only(self) -> Measured:
        """The same with no choice to keep: that would lower the bits per weight of the others, and win every time."""
        free = [not found.fixed and found.treatments != ("keep",) for found in self.sets]
        sets = tuple(found.quantized_only() if open else found for found, open in zip(self.sets, free, strict=True))
        return self if sets == self.sets else replace(self, sets=sets, _plans={})

    @cached_property
    def frontier(self) -> tuple[Point, ...]:
        """The best error for each size; it does not depend on a target."""
        found = frontier([one.choices for one in self.sets])
        besides = self.besides(self.smallest.chosen)
        if len(found) > MAX_POINTS:
            found = [found[round(i * (len(found) - 1) / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]
        return tuple(Point(point.bytes + besides, point.error) for point in found)

    def given_to_all(self, scheme: Scheme) -> float | str | None:
        """The predicted error of one scheme for all, or why that cannot be; None where it was not measured."""
        return self.compared.get(scheme)

    def spent(self, chosen: Sequence[int]) -> tuple[int, float]:
        """The bytes of the sets' tensors and the predicted error."""
        parts = [(found.choices, at) for found, at in zip(self.sets, chosen, strict=True)]
        return sum(choices.bytes[at] for choices, at in parts), sum(choices.errors[at] for choices, at in parts)

    def besides(self, chosen: Sequence[int]) -> int:
        """What the plan of `chosen` takes besides the tensors of the sets."""
        return self.plan(chosen).output_bytes - self.spent(chosen)[0]


def weigh(
    checkpoint: Checkpoint,
    recipe: Recipe,
    *,
    schemes: Sequence[Treatment] = ALLOWED,
    locked: Sequence[str] = (),
    also: Sequence[Scheme] = (),
    runtimes: Sequence[str] = (),
    tensor_parallel: int = 1,
    format: str = "",
    device: str = "auto",
    cache: bool | Path = True,
    max_memory: int | None = None,
    seed: int = 0,
    calibration: str = "",
) -> Generator[Event, None, Measured]:
    """Measures every tensor that can be quantized under `schemes`, through a scan, so that its cache helps.

    "keep" among `schemes` lets the budget leave tensors as they are. What the recipe's rules and ignore patterns say is not
    touched; its default is. `locked` are further patterns of modules to keep. `also` are measured, for targets to be held
    against, and not chosen. What one of `runtimes` would refuse or decode wrongly is not chosen either, on a server that
    shares the model out over `tensor_parallel` devices. With `calibration`, a text file or "default", the model reads its first
    half and errors are predicted in nats a token; `sensitivity` says how. Raises RuleError where a pattern names
    nothing, PlanError where the checkpoint is quantized already or a tensor can take none of the schemes, UsageError for
    an unknown format or device.
    """
    treatments = allowed(schemes)
    ignore = (*recipe.ignore, *(pattern for pattern in locked if pattern not in recipe.ignore))
    base = replace(recipe, ignore=ignore, format=format or recipe.format)
    resolved = resolve(device)
    readers = Readers(tuple(runtimes), base.format, tensor_parallel)
    every = tuple(dict.fromkeys((*treatments, *also)))
    sets = yield from measure(checkpoint, base, every, resolved, cache)
    if calibration:
        sets = yield from weigh_by_text(checkpoint, sets, calibration, find(base.format), resolved, seed)
    compared = given_to_all(sets, every)
    chosen_from = readable(choosable(sets, treatments), checkpoint, treatments, readers)
    return Measured(checkpoint, base, chosen_from, treatments, resolved, max_memory, seed, bool(calibration), compared)


def solve(measured: Measured, target: Target) -> Budget:
    """The best mix within `target`: the least error of so many bytes, or the fewest bytes of a quality.

    Raises PlanError where there is none, naming the best that there is; UsageError where the scheme of `like` was not measured.
    """
    measured, allocation = within(measured, target)
    plan = measured.plan(allocation.chosen)
    return Budget(
        target=target,
        recipe=plan.recipe,
        plan=plan,
        error=allocation.error,
        price=allocation.price,
        assignments=tuple(_assignment(one, at) for one, at in zip(measured.sets, allocation.chosen, strict=True)),
        frontier=measured.frontier,
        uniform=measured.uniform_points,
        calibrated=measured.calibrated,
        memory=memory_of(measured.checkpoint, target, plan),
    )


def _certain(found: Allocation | None) -> Allocation:
    if found is None:
        raise ValueError("there is no allocation, though its smallest was found to fit")
    return found


def _assignment(found: MeasuredSet, at: int) -> Assignment:
    sizes, errors = found.choices.bytes, found.choices.errors
    steps = [
        Step(treatment, sizes[i] - sizes[at], errors[i] - errors[at]) for i, treatment in enumerate(found.treatments)
    ]
    below = [step for step in steps if step.bytes_more < 0]
    above = [step for step in steps if step.bytes_more > 0 and step.error_more < 0]
    most_below = max((step.bytes_more for step in below), default=0)
    return Assignment(
        modules=found.modules,
        treatment=found.treatments[at],
        bytes=sizes[at],
        error=errors[at],
        smaller=min(
            (step for step in below if step.bytes_more == most_below), key=lambda step: step.error_more, default=None
        ),
        larger=min(above, key=lambda step: (step.bytes_more, step.error_more), default=None),
        fixed=found.fixed,
    )
