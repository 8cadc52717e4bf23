"""The best mix of schemes within a budget: measured once, then solved for any target in a moment.

The choice is a multiple-choice knapsack over sets of tensors that move together (`allocation`). What a plan takes besides
the tensors, in headers, config and index, depends on the mix, so plans are made and looked at: the capacities tried lie on
a grid that is the same for all targets, and the largest is taken whose plan is within the target. So a larger target never
does worse.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path

from qtquant_app.core.budget import Assignment, Budget, Point, Step, Treatment, treatment_label
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import bytes_text
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Target
from qtquant_app.engine.allocation import Allocation, allocate, frontier, smallest
from qtquant_app.engine.budget_measure import MeasuredSet, allowed, measure
from qtquant_app.engine.budget_recipe import mixed_recipe
from qtquant_app.engine.device import resolve
from qtquant_app.engine.planner import make_plan

ALLOWED: tuple[Scheme, ...] = (
    Scheme(bits=2, group_size=32, symmetric=False, method="mse"),
    Scheme(bits=2, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=3, group_size=128, symmetric=False, method="mse"),
    Scheme(bits=3, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=3, group_size=32, symmetric=False, method="mse"),
    Scheme(bits=4, group_size=128, symmetric=False, method="mse"),
    Scheme(bits=4, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=5, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=6, group_size=64, symmetric=False, method="mse"),
    Scheme(bits=8, strategy="channel", group_size=None),
)
"""What a budget chooses from unless told otherwise; what does not fit a tensor is left out for it. Below 8 bits no scale
serves more than 128 columns: one for a whole channel does more harm than its error tells, and would be taken too often."""

MAX_POINTS = 200
"""Of a frontier; the eye sees no more."""

_GRID = 16
"""Capacities tried for as many bytes as the smallest plan spends on headers, config and index."""


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
    _plans: dict[tuple[int, ...], Plan] = field(default_factory=dict, compare=False, repr=False)

    def plan(self, chosen: Sequence[int]) -> Plan:
        """The plan of one choice for each set."""
        key = tuple(chosen)
        if key not in self._plans:
            self._plans[key] = make_plan(
                self.checkpoint, self.recipe(key), device=self.device, max_memory=self.max_memory, seed=self.seed
            )
        return self._plans[key]

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
    def frontier(self) -> tuple[Point, ...]:
        """The best error for each size; it does not depend on a target."""
        found = frontier([one.choices for one in self.sets])
        besides = self.besides(self.smallest.chosen)
        if len(found) > MAX_POINTS:
            found = [found[round(i * (len(found) - 1) / (MAX_POINTS - 1))] for i in range(MAX_POINTS)]
        return tuple(Point(point.bytes + besides, point.error) for point in found)

    def spent(self, chosen: Sequence[int]) -> tuple[int, float]:
        """The bytes of the sets' tensors and the predicted error."""
        parts = [(found.choices, at) for found, at in zip(self.sets, chosen, strict=True)]
        return sum(choices.bytes[at] for choices, at in parts), sum(choices.errors[at] for choices, at in parts)

    def besides(self, chosen: Sequence[int]) -> int:
        """What the plan of `chosen` takes besides the tensors of the sets."""
        return self.plan(chosen).output_bytes - self.spent(chosen)[0]


def budget(
    checkpoint: Checkpoint,
    recipe: Recipe,
    target: Target,
    *,
    schemes: Sequence[Treatment] = ALLOWED,
    locked: Sequence[str] = (),
    format: str = "",
    device: str = "auto",
    cache: bool | Path = True,
    max_memory: int | None = None,
    seed: int = 0,
) -> Generator[Event, None, Budget]:
    """The recipe of the least predicted error whose plan is within `target`. Arguments as `weigh`, refusals as `solve`."""
    measured = yield from weigh(
        checkpoint,
        recipe,
        schemes=schemes,
        locked=locked,
        format=format,
        device=device,
        cache=cache,
        max_memory=max_memory,
        seed=seed,
    )
    return solve(measured, target)


def weigh(
    checkpoint: Checkpoint,
    recipe: Recipe,
    *,
    schemes: Sequence[Treatment] = ALLOWED,
    locked: Sequence[str] = (),
    format: str = "",
    device: str = "auto",
    cache: bool | Path = True,
    max_memory: int | None = None,
    seed: int = 0,
) -> Generator[Event, None, Measured]:
    """Measures every tensor that can be quantized under `schemes`, through a scan, so that its cache helps.

    "keep" among `schemes` lets the budget leave tensors as they are. What the recipe's rules and ignore patterns say is not
    touched; its default is. `locked` are further patterns of modules to keep. Raises RuleError where a pattern names
    nothing, PlanError where the checkpoint is quantized already or a tensor can take none of the schemes, UsageError for
    an unknown format or device.
    """
    treatments = allowed(schemes)
    ignore = (*recipe.ignore, *(pattern for pattern in locked if pattern not in recipe.ignore))
    base = replace(recipe, ignore=ignore, format=format or recipe.format)
    resolved = resolve(device)
    sets = yield from measure(checkpoint, base, treatments, resolved, cache)
    return Measured(checkpoint, base, tuple(sets), treatments, resolved, max_memory, seed)


def solve(measured: Measured, target: Target) -> Budget:
    """The best mix within `target`. Raises PlanError where there is none, naming the smallest that there is."""
    if target.bits_per_weight is not None:
        measured = _quantized_only(measured)
        allocation = _within_bits(measured, target.bits_per_weight)
    else:
        allocation = _within_bytes(measured, target)
    return Budget(
        target=target,
        recipe=measured.recipe(allocation.chosen),
        plan=measured.plan(allocation.chosen),
        error=allocation.error,
        price=allocation.price,
        assignments=tuple(_assignment(one, at) for one, at in zip(measured.sets, allocation.chosen, strict=True)),
        frontier=measured.frontier,
        uniform=tuple(
            Point(measured.plan(chosen).output_bytes, measured.spent(chosen)[1], label)
            for label, chosen in measured.uniform
        ),
    )


def _within_bytes(measured: Measured, target: Target) -> Allocation:
    classes = [found.choices for found in measured.sets]
    least = measured.smallest
    plan = measured.plan(least.chosen)
    if not target.holds(plan):
        raise _impossible(measured, target, f"{bytes_text(plan.output_bytes)} ({plan.output_bytes:,} bytes)")
    # Nothing here but the last test may depend on the target: only so does a larger one never do worse.
    besides = min(measured.besides(chosen) for chosen in (least.chosen, *(c for _, c in measured.uniform)))
    grid = max(1, (sum(file.header_bytes for file in plan.files) + _texts(plan)) // _GRID)
    limit = ((target.bytes or 0) - besides) // grid * grid
    most = sum(max(choices.bytes) for choices in classes)
    for capacity in range(min(limit, -(-most // grid) * grid), least.bytes, -grid):
        found = _certain(allocate(classes, capacity))
        if measured.keeps_all(found.chosen):
            raise PlanError(
                f"{measured.checkpoint.label} fits into {target.text} as it is",
                hint="nothing needs to be quantized; a smaller target, or fewer --allow, gives a smaller file",
                code="nothing",
            )
        if target.holds(measured.plan(found.chosen)):
            return _no_worse(measured, target, found)
    return _no_worse(measured, target, least)


def _no_worse(measured: Measured, target: Target, found: Allocation) -> Allocation:
    """`found`, or a uniform scheme that fits and is predicted to be better: one scheme for all takes less of a config."""
    for _, chosen in measured.uniform:
        size, error = measured.spent(chosen)
        if error < found.error and target.holds(measured.plan(chosen)):
            found = replace(found, chosen=chosen, bytes=size, error=error)
    return found


def _texts(plan: Plan) -> int:
    return sum(len(text.encode()) for text in plan.texts.values())


def _within_bits(measured: Measured, bits: float) -> Allocation:
    """Bits per weight are rounded to six places in a plan; kept tensors have no part in them."""
    bound = Fraction(Decimal(repr(bits)).quantize(Decimal("1e-6"), ROUND_FLOOR))
    quantized = [isinstance(found.treatments[0], Scheme) for found in measured.sets]
    weights = sum(found.weights for found, counts in zip(measured.sets, quantized, strict=True) if counts)
    kept = sum(found.choices.bytes[0] for found, counts in zip(measured.sets, quantized, strict=True) if not counts)
    found = allocate([one.choices for one in measured.sets], int(bound * weights / 8) + kept)
    if found is None:
        plan = measured.plan(measured.smallest.chosen)
        target = Target(bits_per_weight=bits)
        raise _impossible(measured, target, f"{plan.bits_per_weight:.6g} bits per weight")
    return found


def _quantized_only(measured: Measured) -> Measured:
    """Keeping a tensor would lower the bits per weight of the others, and win every time."""
    sets = tuple(found if found.fixed else found.quantized_only() for found in measured.sets)
    return measured if sets == measured.sets else replace(measured, sets=sets, _plans={})


def _impossible(measured: Measured, target: Target, least: str) -> PlanError:
    smallest = measured.smallest
    labels = dict.fromkeys(
        treatment_label(found.treatments[at])
        for found, at in zip(measured.sets, smallest.chosen, strict=True)
        if not found.fixed
    )
    return PlanError(
        f"{measured.checkpoint.label} does not fit into {target.text}: the smallest that is allowed is {least}",
        hint=f"give it that much, or --allow something smaller than {' and '.join(labels) or 'what the rules say'}",
        code="budget",
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
