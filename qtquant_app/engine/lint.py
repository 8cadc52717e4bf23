"""Holds a plan against the readers it is meant for: who refuses it, who computes something else, and what would mend it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.facts import Facts, Sharing, facts_of, looked_at
from qtquant_app.core.fitting import decided
from qtquant_app.core.plan import Plan, TensorPlan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.runtimes import Finding, Runtime, Severity, Trap, find
from qtquant_app.core.stacks import only_stacked
from qtquant_app.engine.mend import Case, in_format, mend
from qtquant_app.formats import find as find_format

_ORDER = list(Severity)


def lint(
    plan: Plan, checkpoint: Checkpoint, runtimes: Iterable[str], *, tensor_parallel: int = 1
) -> tuple[Finding, ...]:
    """What each of `runtimes` makes of the plan's result, the worst first; nothing where all load it as it is.

    `tensor_parallel` is over how many devices a server shares the model out. Raises UsageError where a runtime is not known.
    """
    if tensor_parallel < 1:
        raise UsageError(f"{tensor_parallel} ranks are no number of devices", hint="use 1 or more", code="usage")
    chosen = [find(name) for name in dict.fromkeys(runtimes)]
    apart = find_format(plan.format).taken_apart(checkpoint, plan.tensors) if chosen else frozenset()
    tensors = looked_at(plan.tensors) if chosen else []
    desks: dict[Sharing, _Desk] = {}
    found: list[Finding] = []
    for runtime in chosen:
        sharing = runtime.sharing(tensor_parallel)
        if sharing not in desks:
            desks[sharing] = _Desk(Case(plan.recipe, checkpoint, tensors, sharing), apart)
        found += desks[sharing].of_runtime(runtime)
    return tuple(sorted(found, key=lambda finding: _ORDER.index(finding.severity)))


def lint_refused(recipe: Recipe, checkpoint: Checkpoint, error: PlanError) -> tuple[Finding, ...]:
    """What the format itself refuses of a recipe that has no plan, with a mend; nothing where only a person can tell."""
    tensors = looked_at(_tensors(recipe, checkpoint))
    case = Case(recipe, checkpoint, tensors)
    if error.code == "tied-head":
        heads = [t for t in tensors if t.kind == "head"]
        return (_of_format(case, error.message, heads, mend(case, heads, "keep")),)
    if error.code != "format-constraint":
        return ()
    format = find_format(recipe.format)
    infos = checkpoint.by_name
    caught = [t for t in tensors if t.scheme and format.refuses(infos[t.name], t.scheme)]
    change = mend(case, caught, "fit") or in_format(case, recipe.format, format.bits) or mend(case, caught, "keep")
    return (_of_format(case, error.message, caught, change),)


class _Desk:
    """One case as readers see it that lay a model out alike: its facts are found and its mends are made once for all of them."""

    def __init__(self, case: Case, apart: frozenset[str]) -> None:
        self._case, self._apart = case, apart
        self._mends: dict[Hashable, tuple[Recipe | None, str]] = {}

    @cached_property
    def _facts(self) -> list[Facts]:
        return facts_of(self._case.tensors, self._case.sharing, self._apart, only_stacked(self._case.checkpoint))

    def of_runtime(self, runtime: Runtime) -> list[Finding]:
        case = self._case
        if case.recipe.format not in runtime.formats:
            return [self._other_format(runtime)]
        found = [] if case.checkpoint.config else [_no_config(runtime)]
        for trap in runtime.traps:
            caught = trap.caught(case.tensors, self._facts)
            if not caught:
                continue
            names, text = tuple(t.name for t in caught), trap.sentence(caught[0].module)
            made, does = self._mended(trap, caught, names)
            place = (runtime.name, runtime.title, runtime.version)
            found.append(Finding(trap.code, trap.severity, *place, text, names, made, does, trap.source))
        return found

    def _mended(self, trap: Trap, caught: Sequence[TensorPlan], names: tuple[str, ...]) -> tuple[Recipe | None, str]:
        key = (repr(trap.mend), names)
        if key not in self._mends:
            self._mends[key] = mend(self._case, caught, trap.mend) or (None, "")
        return self._mends[key]

    def _other_format(self, runtime: Runtime) -> Finding:
        case, format = self._case, find_format(runtime.formats[0])
        text = f"{runtime.title} does not read the {case.recipe.format} format; it reads {format.name}"
        if format.name not in self._mends:
            self._mends[format.name] = in_format(case, format.name, format.bits) or (None, "")
        change = self._mends[format.name]
        return Finding("format", Severity.REFUSES, runtime.name, runtime.title, runtime.version, text, (), *change)


def _no_config(runtime: Runtime) -> Finding:
    text = f"{runtime.title} builds the model from its config.json, and there is none beside these weights"
    return Finding("no-config", Severity.REFUSES, runtime.name, runtime.title, runtime.version, text)


def _of_format(case: Case, text: str, caught: Sequence[TensorPlan], change: tuple[Recipe, str] | None) -> Finding:
    name = case.recipe.format
    names = tuple(t.name for t in caught)
    return Finding("refused", Severity.REFUSES, name, f"the {name} format", "", text, names, *(change or (None, "")))


def _tensors(recipe: Recipe, checkpoint: Checkpoint) -> list[TensorPlan]:
    """What the recipe decides, as far as that can be told without a plan: no sizes."""
    found = []
    for t in checkpoint.tensors:
        scheme = decided(recipe, t) if t.quantizable else None
        action = "keep" if scheme is None else "quantize"
        found.append(TensorPlan(t.name, t.module, t.kind, t.dtype, t.shape, action, scheme, 0, "", t.nbytes))  # type: ignore[arg-type]
    return found
