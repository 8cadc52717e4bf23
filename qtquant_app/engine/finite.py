"""Which tensors hold weights that are not finite: what must be known beforehand where such tensors are to be kept as they are."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.events import Event
from qtquant_app.core.plan import PlanWarning
from qtquant_app.core.quantities import plural
from qtquant_app.core.recipe import Recipe
from qtquant_app.engine.rules import Choice, choose
from qtquant_app.engine.scan import scan

NonFiniteCounts = Mapping[str, int]
"""How many weights of a tensor are not finite, for the tensors that have any."""


def check_finite(
    checkpoint: Checkpoint, recipe: Recipe, *, cache: bool | Path = True
) -> Generator[Event, None, NonFiniteCounts]:
    """Looks at every tensor that `recipe` quantizes. What a scan has seen already, of files unchanged since, is not read again.

    Raises SourceError where a file cannot be read, RuleError where the recipe's patterns are at fault.
    """
    choices = choose(checkpoint, recipe)
    quantized = tuple(t for t, choice in zip(checkpoint.tensors, choices, strict=True) if choice.scheme is not None)
    report = yield from scan(replace(checkpoint, tensors=quantized), (), device="cpu", cache=cache)
    return {found.name: found.stats.non_finite for found in report.tensors if found.stats.non_finite}


def without(counts: NonFiniteCounts, tensors: Sequence[TensorInfo], choices: Sequence[Choice]) -> list[Choice]:
    """`choices`, but for tensors that are not finite: these are kept as they are."""
    return [
        replace(choice, scheme=None, reason=f"kept: {plural(counts[tensor.name], 'weight')} not finite")
        if choice.scheme is not None and tensor.name in counts
        else choice
        for tensor, choice in zip(tensors, choices, strict=True)
    ]


def unlooked(recipe: Recipe, counts: NonFiniteCounts | None) -> tuple[PlanWarning, ...]:
    """What to say of a recipe that keeps such tensors, where nobody has looked for them."""
    if recipe.nonfinite != "keep" or counts is not None:
        return ()
    text = "the weights have not been looked at: the run ends at the first tensor to be quantized that is not finite"
    return (PlanWarning("not-looked-at", text),)
