"""Changes to a recipe that spare a reader's trap: the smallest that do, in words and as a recipe."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from qtquant_app.core.checkpoint import Checkpoint, Kind
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.facts import Key, Sharing, block_key, columns_of_rank, fused_key, layout, model_key
from qtquant_app.core.fitting import fitted
from qtquant_app.core.matching import DEFAULT, deciders, named, named_by
from qtquant_app.core.pattern_writing import pattern_for
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.runtimes import Mend
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.rules import choose
from qtquant_app.formats import find as find_format
from qtquant_app.quant.methods import check as check_method

_SIZES = (256, 128, 64, 32, 16, 8)

Wanted = dict[str, Scheme | Literal["keep"]]
"""What modules are to get."""


@dataclass(frozen=True)
class Case:
    """A recipe, what it is for, and the tensors that it concerns: all `looked_at` ones."""

    recipe: Recipe
    checkpoint: Checkpoint
    tensors: Sequence[TensorPlan]
    sharing: Sharing = Sharing()


def mend(
    case: Case, caught: Sequence[TensorPlan], how: Mapping[str, object] | Mend | None
) -> tuple[Recipe, str] | None:
    """A recipe under which `caught` are not caught in the same way, and what it does; None where there is none that plans."""
    if how is None:
        return None
    try:
        made, does = _changed(case, caught, how) if isinstance(how, Mapping) else _MENDS[how](case, caught)
    except QtQuantError:
        return None
    return (made, does) if made != case.recipe and _plans(case.checkpoint, made) else None


def in_format(case: Case, format: str, bits: Sequence[int]) -> tuple[Recipe, str] | None:
    """The recipe in another format; a width that it does not have becomes the next one that it has."""

    def wider(scheme: Scheme) -> Scheme:
        return replace(scheme, bits=min((b for b in bits if b >= scheme.bits), default=max(bits)))

    recipe = case.recipe
    rules = tuple(Rule(r.pattern, "keep" if isinstance(r.scheme, str) else wider(r.scheme)) for r in recipe.rules)
    made = replace(recipe, format=format, default=wider(recipe.default), rules=rules)
    return (made, f"write it as {format}") if _plans(case.checkpoint, made) else None


def _plans(checkpoint: Checkpoint, recipe: Recipe) -> bool:
    """Whether the planner would take the recipe; its files are not laid out, which for thousands of experts takes seconds."""
    format = find_format(recipe.format)
    try:
        choices = choose(checkpoint, recipe)
        schemes = {choice.scheme for choice in choices if choice.scheme is not None}
        for scheme in schemes:
            check_method(scheme)
    except QtQuantError:
        return False
    shapes = {(c.scheme, t.shape): t for t, c in zip(checkpoint.tensors, choices, strict=True) if c.scheme is not None}
    return bool(schemes) and not any(format.refuses(tensor, scheme) for (scheme, _), tensor in shapes.items())


def with_wanted(recipe: Recipe, checkpoint: Checkpoint, wanted: Wanted) -> Recipe:
    """`recipe` changed so that the modules in `wanted` get what it says, and all others what they got.

    A scheme all of whose modules want the same is changed in its place; for the rest, rules come first. Rules left with
    nothing to decide go.
    """
    decides: dict[int, list[str]] = {}
    for module, at in deciders(recipe, checkpoint).items():
        if at is not None:
            decides.setdefault(at, []).append(module)
    rules, default, left = list(recipe.rules), recipe.default, dict(wanted)
    for at, modules in decides.items():
        asked = {wanted.get(module) for module in modules}
        scheme = asked.pop() if len(asked) == 1 else None
        if scheme is None or (at == DEFAULT and isinstance(scheme, str)):
            continue
        if at == DEFAULT:
            assert isinstance(scheme, Scheme)
            default = scheme
        else:
            rules[at] = Rule(rules[at].pattern, scheme)
        for module in modules:
            left.pop(module)
    changed = replace(recipe, default=default, rules=tuple(rules))
    first = _rules(left, checkpoint.quantizable_modules)
    return _without_idle(replace(changed, rules=(*first, *changed.rules)), checkpoint)


def _without_idle(recipe: Recipe, checkpoint: Checkpoint) -> Recipe:
    """Less the rules that decide nothing, or nothing that the rest would not decide alike."""
    recipe = fitted(recipe, checkpoint)
    naming = _naming(recipe, checkpoint)
    kept = set(range(len(recipe.rules)))
    for at, rule in enumerate(recipe.rules):
        decisive = [(left, end) for ats, end in naming if (left := [n for n in ats if n in kept])[:1] == [at]]
        if all((recipe.rules[left[1]].scheme if left[1:] else end) == rule.scheme for left, end in decisive):
            kept.remove(at)
    return replace(recipe, rules=tuple(rule for at, rule in enumerate(recipe.rules) if at in kept))


def _naming(recipe: Recipe, checkpoint: Checkpoint) -> set[tuple[tuple[int, ...], Scheme | Literal["keep"]]]:
    """Which rules name a module that something decides, in order, and what it would get without them: each case once."""
    heads = frozenset(checkpoint.head_modules)
    left = [module for module, at in deciders(recipe, checkpoint).items() if at is not None]
    found: set[tuple[tuple[int, ...], Scheme | Literal["keep"]]] = set()
    found.update((ats, recipe.default) for ats in named_by(recipe, checkpoint, (m for m in left if m not in heads)))
    found.update((ats, "keep") for ats in named_by(recipe, checkpoint, (m for m in left if m in heads)))
    return found


def _rules(wanted: Wanted, everyone: Sequence[str]) -> list[Rule]:
    by_scheme: dict[Scheme | Literal["keep"], list[str]] = {}
    for module, scheme in wanted.items():
        by_scheme.setdefault(scheme, []).append(module)
    return [Rule(pattern_for(modules, everyone), scheme) for scheme, modules in by_scheme.items()]


def _changed(case: Case, caught: Sequence[TensorPlan], parts: Mapping[str, object]) -> tuple[Recipe, str]:
    def change(scheme: Scheme) -> Scheme:
        return Scheme.from_json({**scheme.to_json(), **parts})

    made = _each(case, caught, change)
    return made, _words(parts)


def _words(parts: Mapping[str, object]) -> str:
    match parts:
        case {"symmetric": True}:
            return "make them symmetric"
        case {"bits": bits}:
            return f"give them {bits} bits"
        case {"group_size": int(size)}:
            return f"groups of {size}"
        case {"activations": "none"}:
            return "leave their activations alone"
        case _:
            return "one scale per row"


def _each(case: Case, caught: Iterable[TensorPlan], change: Callable[[Scheme], Scheme]) -> Recipe:
    changed = {scheme: change(scheme) for scheme in {t.scheme for t in caught if t.scheme}}
    wanted: Wanted = {t.module: changed[t.scheme] for t in caught if t.scheme}
    return with_wanted(case.recipe, case.checkpoint, wanted)


def _keep(case: Case, caught: Sequence[TensorPlan]) -> tuple[Recipe, str]:
    wanted: Wanted = {t.module: "keep" for t in caught}
    return with_wanted(case.recipe, case.checkpoint, wanted), "keep them as they are"


def _fit(case: Case, caught: Sequence[TensorPlan]) -> tuple[Recipe, str]:
    """All that share a scheme with `caught` get one group size that divides the columns of all of them."""
    sizes = {layout(t.scheme) for t in caught}
    peers = [t for t in case.tensors if t.scheme is not None and layout(t.scheme) in sizes]
    widths = [columns_of_rank(t, case.sharing) for t in peers]
    largest = min((t.scheme.group_size or 0 for t in caught if t.scheme), default=0)
    size = next((s for s in _SIZES if s < largest and all(w and w % s == 0 for w in widths)), None)
    if size is None:
        return _each(case, peers, lambda s: replace(s, strategy="channel", group_size=None)), "one scale per row"
    return _each(case, peers, lambda s: replace(s, group_size=size)), f"groups of {size}"


def _share(
    key: Callable[[Case], Key], kept_too: bool = True
) -> Callable[[Case, Sequence[TensorPlan]], tuple[Recipe, str]]:
    """The tensors of one key get the best scheme among them; where one stays in float, all do."""

    def share(case: Case, caught: Sequence[TensorPlan]) -> tuple[Recipe, str]:
        own = key(case)
        sets: dict[Hashable, list[TensorPlan]] = {own(t): [] for t in caught}
        for tensor in case.tensors:
            if own(tensor) in sets:
                sets[own(tensor)].append(tensor)
        wanted: Wanted = {}
        for members in sets.values():
            schemes = [t.scheme for t in members]
            finest = max((s for s in schemes if s), key=_fineness)
            best: Scheme | Literal["keep"] = "keep" if None in schemes and kept_too else finest
            wanted |= {t.module: best for t in members if t.scheme is not None}
        return with_wanted(case.recipe, case.checkpoint, wanted), "one scheme for each set, the finest in it"

    return share


def _fineness(scheme: Scheme) -> tuple[int, int, bool]:
    return scheme.bits, -(scheme.group_size or 1 << 30), not scheme.symmetric


def _share_all(case: Case, caught: Sequence[TensorPlan]) -> tuple[Recipe, str]:
    """All linear layers get the finest scheme among them, those that stay in float too; ignore patterns for them alone go."""
    linear = [t for t in case.tensors if t.kind == Kind.LINEAR]
    scheme = max((t.scheme for t in linear if t.scheme), key=_fineness)
    modules = {t.module for t in linear}
    only = [p for p in case.recipe.ignore if named(case.checkpoint, p) <= modules]
    recipe = replace(case.recipe, ignore=tuple(p for p in case.recipe.ignore if p not in only))
    return with_wanted(recipe, case.checkpoint, dict.fromkeys(modules, scheme)), "one scheme for all linear layers"


def _quantize(case: Case, caught: Sequence[TensorPlan]) -> tuple[Recipe, str]:
    """All experts get the scheme of those that have one, or the default; ignore patterns for experts alone go."""
    schemes = [t.scheme for t in case.tensors if t.kind == Kind.EXPERT and t.scheme]
    scheme = max(schemes, key=_fineness) if schemes else case.recipe.default
    experts = {t.module for t in case.tensors if t.kind == Kind.EXPERT}
    only = [p for p in case.recipe.ignore if named(case.checkpoint, p) <= experts]
    recipe = replace(case.recipe, ignore=tuple(p for p in case.recipe.ignore if p not in only))
    return with_wanted(recipe, case.checkpoint, dict.fromkeys(experts, scheme)), "quantize the experts too"


_MENDS: Mapping[str, Callable[[Case, Sequence[TensorPlan]], tuple[Recipe, str]]] = {
    "keep": _keep,
    "fit": _fit,
    "share-fused": _share(lambda case: fused_key(case.sharing)),
    "share-block": _share(lambda case: block_key),
    "share-experts": _share(lambda case: model_key, kept_too=False),
    "share-all": _share_all,
    "quantize": _quantize,
}
