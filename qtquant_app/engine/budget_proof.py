"""Whether a mix is really better than one scheme for all: both are run on text that had no part in the choice."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from math import inf

from qtquant_app.core.budget import Budget, Proof
from qtquant_app.core.errors import PlanError
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan
from qtquant_app.engine.budget import Measured
from qtquant_app.engine.budget_target import memory_of
from qtquant_app.engine.divergence import divergences
from qtquant_app.engine.text import BUILT_IN, read_text

WINDOWS, LENGTH = 8, 256
"""Of the text: so many windows of so many tokens."""


def check(measured: Measured, budget: Budget, *, text: str = BUILT_IN) -> Generator[Event, None, Budget]:
    """`budget` with the proof of its mix; where the mix is not better, with the uniform scheme's recipe and plan.

    The uniform scheme is the one of the least predicted error among those that are within the target too. Of `text` the second
    half is read; the first is what a calibration reads. Raises PlanError where no uniform scheme fits, EvaluateError or
    DeviceError where the model cannot be run, SourceError where the text cannot be read.
    """
    label, chosen = _rival(measured, budget)
    _, held_out = read_text(text).halves()
    plan = measured.plan(chosen)
    (mix, uniform), tokens = yield from divergences(
        measured.checkpoint, (budget.plan, plan), held_out, WINDOWS, LENGTH, measured.device
    )
    point = next(point for point in budget.uniform if point.label == label)
    proof = Proof(held_out.name, tokens, mix, point, uniform)
    if proof.better:
        return replace(budget, proof=proof)
    memory = memory_of(measured.checkpoint, budget.target, plan)
    return replace(budget, proof=proof, recipe=measured.recipe(chosen), plan=plan, memory=memory)


def _rival(measured: Measured, budget: Budget) -> tuple[str, tuple[int, ...]]:
    errors = {point.label: point.error for point in budget.uniform}
    found = [(label, chosen) for label, chosen in measured.uniform if _fits(budget, measured.plan(chosen))]
    if not found:
        raise PlanError(
            f"no scheme that is allowed would fit {budget.target.text} if all tensors got it",
            hint="there is nothing to compare the mix with; allow one with --allow",
            code="budget",
        )
    return min(found, key=lambda one: errors.get(one[0], inf))


def _fits(budget: Budget, plan: Plan) -> bool:
    """Whether a plan is within the target, or where that is not a size, no larger than the mix."""
    target = budget.target
    if target.bytes is not None or target.bits_per_weight is not None:
        return target.holds(plan)
    return plan.output_bytes <= budget.plan.output_bytes
