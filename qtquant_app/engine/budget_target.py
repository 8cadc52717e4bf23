"""What each kind of target asks of the knapsack: bytes of the files, bits a weight, a device's memory, or a quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from qtquant_app.core.budget import treatment_label
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.device_memory import MemoryUse, memory_use
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import bytes_text, figure
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Memory, Target
from qtquant_app.engine.allocation import Allocation, allocate
from qtquant_app.engine.allocation_by_error import cheapest

if TYPE_CHECKING:
    from qtquant_app.engine.budget import Measured

_GRID = 16
"""Capacities tried for as many bytes as the smallest plan spends on headers, config and index."""
_ALIKE = 1 + 1e-9
"""Errors that are added up in another order differ by less."""


def within(measured: Measured, target: Target) -> tuple[Measured, Allocation]:
    """The best mix within `target`, and what it was chosen from. Raises PlanError where there is none, naming the best there is."""
    if target.bits_per_weight is not None:
        measured = measured.quantized_only
        return measured, _within_bits(measured, target.bits_per_weight)
    if target.memory is not None:
        found = _within_memory(measured, target, target.memory)
    elif target.bytes is not None:
        found = _within_bytes(measured, target, target.bytes)
    else:
        found = _as_good(measured, target, _error_of(measured, target))
    if measured.keeps_all(found.chosen):
        raise _nothing_to_do(measured, target)
    return measured, found


def memory_of(checkpoint: Checkpoint, target: Target, plan: Plan) -> MemoryUse | None:
    """What the result of `plan` takes on the device of `target`, weights as they are stored; None where it names no device."""
    return None if target.memory is None else memory_use(checkpoint.config, target.memory, resident_bytes(plan))


def resident_bytes(plan: Plan) -> int:
    """The bytes of all tensors of the result, which is what a runtime has in memory that computes with packed weights."""
    return sum(file.nbytes - file.header_bytes for file in plan.files)


def _within_bytes(measured: Measured, target: Target, most: int) -> Allocation:
    classes = [found.choices for found in measured.sets]
    least = measured.smallest
    plan = measured.plan(least.chosen)
    if not target.holds(plan):
        raise _impossible(measured, target, f"{bytes_text(plan.output_bytes)} ({plan.output_bytes:,} bytes)")
    # Nothing here but the last test may depend on the target: only so does a larger one never do worse.
    grid = max(1, (sum(file.header_bytes for file in plan.files) + _texts(plan)) // _GRID)
    limit = (most - measured.least_besides) // grid * grid
    largest = sum(max(choices.bytes) for choices in classes)
    for capacity in range(min(limit, -(-largest // grid) * grid), least.bytes, -grid):
        found = _certain(allocate(classes, capacity))
        if measured.keeps_all(found.chosen):
            return found
        if target.holds(measured.plan(found.chosen)):
            return _no_worse(measured, found, target.holds)
    return _no_worse(measured, least, target.holds)


def _no_worse(measured: Measured, found: Allocation, fits: Callable[[Plan], bool]) -> Allocation:
    """`found`, or a uniform scheme that fits and is predicted to be better: one scheme for all takes less of a config."""
    for _, chosen in measured.uniform:
        size, error = measured.spent(chosen)
        if error < found.error and fits(measured.plan(chosen)):
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


def _within_memory(measured: Measured, target: Target, memory: Memory) -> Allocation:
    """Files need not fit, tensors must: what the sets do not decide is the same for every mix."""
    plan = measured.plan(measured.smallest.chosen)
    besides = resident_bytes(plan) - measured.smallest.bytes
    room = memory.bytes - memory_use(measured.checkpoint.config, memory, besides).total
    found = allocate([one.choices for one in measured.sets], room)
    if found is None:
        config = measured.checkpoint.config
        use = memory_use(config, memory, resident_bytes(plan))
        context = _most_context(memory, lambda shorter: memory_use(config, shorter, use.weights).total)
        hint = f"a context of at most {context:,} tokens fits with the smallest weights" if context else ""
        raise _impossible(measured, target, use.text, hint)
    return found


def _most_context(memory: Memory, needed: Callable[[Memory], int]) -> int:
    """The longest context that leaves room for the weights; 0 where not even one token does."""
    low, high = 0, memory.context
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needed(replace(memory, context=middle)) <= memory.bytes else (low, middle)
    return low


def _error_of(measured: Measured, target: Target) -> float:
    """The most predicted error that a quality allows. Raises PlanError where its scheme cannot be given to all."""
    if target.like is None:
        return target.error or 0.0
    known = measured.given_to_all(target.like)
    if known is None:
        raise UsageError(
            f"{target.like.label} was not measured, so nothing can be as good as it",
            hint="measure it among the others",
            code="budget",
        )
    if isinstance(known, str):
        raise PlanError(
            f"no mix can be held against {target.like.label} for all: {known}",
            hint="name a scheme that fits all tensors, or a predicted error as a number",
            code="budget",
        )
    return known


def _as_good(measured: Measured, target: Target, error: float) -> Allocation:
    """The fewest bytes; a uniform scheme in their place whose plan is smaller still, since it takes less of a config."""
    found = cheapest([one.choices for one in measured.sets], error)
    if found is None:
        best = sum(min(one.choices.errors) for one in measured.sets)
        raise PlanError(
            f"no mix for {measured.checkpoint.label} {_quality(target)}: the least error of what is allowed is {figure(best)}",
            hint="ask for less, or --allow something better",
            code="budget",
        )
    if measured.keeps_all(found.chosen):
        return found
    for _, chosen in measured.uniform:
        size, other = measured.spent(chosen)
        smaller = measured.plan(chosen).output_bytes < measured.plan(found.chosen).output_bytes
        if other <= error * _ALIKE and smaller:
            found = replace(found, chosen=chosen, bytes=size, error=other)
    return found


def _impossible(measured: Measured, target: Target, least: str, hint: str = "") -> PlanError:
    smallest = measured.smallest
    labels = dict.fromkeys(
        treatment_label(found.treatments[at])
        for found, at in zip(measured.sets, smallest.chosen, strict=True)
        if not found.fixed
    )
    allow = f"--allow something smaller than {' and '.join(labels) or 'what the rules say'}"
    return PlanError(
        f"{measured.checkpoint.label} does not fit into {target.text}: the smallest that is allowed is {least}",
        hint=f"{hint}, or {allow}" if hint else f"give it that much, or {allow}",
        code="budget",
    )


def _nothing_to_do(measured: Measured, target: Target) -> PlanError:
    if target.error is not None or target.like is not None:
        return PlanError(
            f"of {measured.checkpoint.label} only the original {_quality(target)}",
            hint="nothing would be quantized; ask for less, or --allow something better",
            code="nothing",
        )
    return PlanError(
        f"{measured.checkpoint.label} fits into {target.text} as it is",
        hint="nothing needs to be quantized; a smaller target, or fewer --allow, gives a smaller file",
        code="nothing",
    )


def _quality(target: Target) -> str:
    return f"is {target.text}" if target.like is not None else f"has {target.text}"


def _certain(found: Allocation | None) -> Allocation:
    if found is None:
        raise ValueError("there is no allocation, though its smallest was found to fit")
    return found
