"""Fits a recipe to the modules of one checkpoint: what would never apply there goes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from qtquant_app.core.blocks import spot
from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.matching import DEFAULT, deciders, named
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme

FIRST, LAST = "{first}", "{last}"
"""In a pattern of a preset: the first and the last block of every stack, such as `model.layers.0`."""


def decider(recipe: Recipe, tensor: TensorInfo) -> int | None:
    """Which rule, by number, decides a quantizable tensor, or DEFAULT; None where it is ignored, or a head no rule names."""
    if any(matches(pattern, tensor.module) for pattern in recipe.ignore):
        return None
    for at, rule in enumerate(recipe.rules):
        if matches(rule.pattern, tensor.module):
            return at
    return None if tensor.kind == Kind.HEAD else DEFAULT


def decided(recipe: Recipe, tensor: TensorInfo) -> Scheme | None:
    """The scheme that the recipe gives a quantizable tensor; None where it keeps it."""
    at = decider(recipe, tensor)
    if at is None:
        return None
    scheme = recipe.default if at == DEFAULT else recipe.rules[at].scheme
    return None if isinstance(scheme, str) else scheme


def fitted(recipe: Recipe, checkpoint: Checkpoint) -> Recipe:
    """`recipe` less the ignore patterns that name nothing in `checkpoint`, and the rules that would decide nothing.

    `{first}` and `{last}` become the blocks they stand for: a rule with one of them becomes a rule for every stack.
    """
    patterns = (*recipe.ignore, *(rule.pattern for rule in recipe.rules))
    placed = any(placeholder in pattern for pattern in patterns for placeholder in (FIRST, LAST))
    edges = _edges(tensor.name for tensor in checkpoint.quantizable) if placed else {}
    wanted = [pattern for given in recipe.ignore for pattern in _spelt(given, edges)]
    ignore = tuple(pattern for pattern in wanted if named(checkpoint, pattern))
    left = set(checkpoint.quantizable_modules).difference(*(named(checkpoint, pattern) for pattern in ignore))
    rules = []
    for rule in (Rule(pattern, given.scheme) for given in recipe.rules for pattern in _spelt(given.pattern, edges)):
        decided_here = left & named(checkpoint, rule.pattern)
        if decided_here:
            rules.append(rule)
        left -= decided_here
    return replace(recipe, ignore=ignore, rules=tuple(rules))


def with_first(recipe: Recipe, rules: Sequence[Rule], checkpoint: Checkpoint) -> Recipe:
    """`recipe` with `rules` before its own. Of its own, those that decided something before and nothing any more, go."""
    if not rules:
        return recipe
    made = replace(recipe, rules=(*rules, *recipe.rules))
    before, now = (set(deciders(which, checkpoint).values()) for which in (recipe, made))
    idle = {at for at in range(len(recipe.rules)) if at in before and len(rules) + at not in now}
    return replace(made, rules=(*rules, *(rule for at, rule in enumerate(recipe.rules) if at not in idle)))


def _edges(names: Iterable[str]) -> dict[str, list[str]]:
    """The first and the last block of each stack, by placeholder."""
    depths: dict[str, set[int]] = {}
    for name in names:
        found = spot(name)
        if found.depth is not None:
            depths.setdefault(found.stack, set()).add(found.depth)
    return {
        FIRST: [f"{stack}.{min(numbers)}" for stack, numbers in depths.items()],
        LAST: [f"{stack}.{max(numbers)}" for stack, numbers in depths.items()],
    }


def _spelt(pattern: str, edges: Mapping[str, list[str]]) -> list[str]:
    for placeholder, blocks in edges.items():
        if placeholder in pattern:
            return [pattern.replace(placeholder, block) for block in blocks]
    return [pattern]
