"""Mends a recipe for all its readers at once: one mend after another, and never to something worse than it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.runtimes import Finding, Severity
from qtquant_app.engine.lint import lint, lint_refused
from qtquant_app.engine.planner import make_plan

MOST = 24
"""Mends tried before it is given up; each takes the time of a plan."""


@dataclass(frozen=True, slots=True)
class Mended:
    """What became of a recipe."""

    recipe: Recipe
    steps: tuple[Finding, ...]
    """What was mended, in order; empty where the recipe is as it was."""
    left: tuple[Finding, ...]
    """What the readers, or the format, still have against the recipe, the worst first."""

    def to_json(self) -> list[dict[str, Any]]:
        """What was mended, a row each."""
        return [{"runtime": step.runtime, "code": step.code, "does": step.does} for step in self.steps]


@dataclass(frozen=True, slots=True)
class _State:
    recipe: Recipe
    steps: tuple[Finding, ...]
    found: tuple[Finding, ...]
    refused: bool

    @property
    def badness(self) -> tuple[int, ...]:
        """A refused plan is the worst, then how many findings there are of each severity, the worst first."""
        kinds = [finding.severity for finding in self.found]
        return (int(self.refused), *map(kinds.count, Severity))


def mend_all(
    checkpoint: Checkpoint,
    recipe: Recipe,
    runtimes: Iterable[str],
    *,
    tensor_parallel: int = 1,
    device: str = "auto",
    max_memory: int | None = None,
    seed: int = 0,
) -> Mended:
    """`recipe` with the mends that `lint` offers for `runtimes`, the worst finding's first, until none is left to try.

    What loads with an option, from some version on, or with a note is left alone: what would spare it costs size or quality.
    A mend may bring another finding about, and readers may want opposite things: of all recipes on the way, the one that
    they have least against is taken, the earliest of equals. Raises PlanError where the recipe is refused and nothing mends
    that, UsageError where a runtime is not known.
    """
    names, options = tuple(runtimes), {"device": device, "max_memory": max_memory, "seed": seed}
    state = best = _look(checkpoint, recipe, (), names, tensor_parallel, options)
    seen = {recipe}
    while len(state.steps) < MOST:
        step = next((finding for finding in state.found if finding.mendable and finding.mend not in seen), None)
        if step is None or step.mend is None:
            break
        seen.add(step.mend)
        state = _look(checkpoint, step.mend, (*state.steps, step), names, tensor_parallel, options)
        best = min(best, state, key=lambda one: one.badness)
    return Mended(best.recipe, best.steps, best.found)


def _look(
    checkpoint: Checkpoint,
    recipe: Recipe,
    steps: tuple[Finding, ...],
    runtimes: Sequence[str],
    tensor_parallel: int,
    options: dict[str, Any],
) -> _State:
    """What there is against a recipe that `steps` have led to."""
    try:
        plan = make_plan(checkpoint, recipe, **options)
    except PlanError as error:
        found = lint_refused(recipe, checkpoint, error)
        if not steps and not any(finding.mend for finding in found):
            raise
        return _State(recipe, steps, found, True)
    return _State(recipe, steps, lint(plan, checkpoint, runtimes, tensor_parallel=tensor_parallel), False)
