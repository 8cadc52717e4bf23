"""Which modules of a checkpoint a pattern names: looked for once, and remembered with the checkpoint.

A mixture of experts has tens of thousands of modules, and its recipe is looked at over and over while it is edited.
"""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.patterns import compiled
from qtquant_app.core.recipe import Recipe

DEFAULT = -1
"""Stands for the default scheme among the numbers of rules."""
_MOST = 512
"""Patterns remembered for a checkpoint."""


def named(checkpoint: Checkpoint, pattern: str) -> frozenset[str]:
    """The modules that `pattern` names, whether they can be quantized or not. Raises UsageError where it is malformed."""
    known = checkpoint.matched
    found = known.get(pattern)
    if found is None:
        expression = compiled(pattern)
        match = expression.match if pattern.startswith("re:") else expression.fullmatch
        found = frozenset(module for module in checkpoint.modules if match(module))
        if len(known) >= _MOST:
            known.clear()
        known[pattern] = found
    return found


def ignored_by(recipe: Recipe, checkpoint: Checkpoint) -> dict[str, str]:
    """The first ignore pattern that names each module which one does."""
    return {module: pattern for pattern in reversed(recipe.ignore) for module in named(checkpoint, pattern)}


def ruled_by(recipe: Recipe, checkpoint: Checkpoint) -> dict[str, int]:
    """The first rule, by number, that names each module which one does."""
    rules = [named(checkpoint, rule.pattern) for rule in recipe.rules]
    return {module: at for at in reversed(range(len(rules))) for module in rules[at]}


def deciders(recipe: Recipe, checkpoint: Checkpoint) -> dict[str, int | None]:
    """What decides each module that can be quantized, in the checkpoint's order: a rule, by number, or DEFAULT; None where it is
    ignored, or a head that no rule names."""
    found: dict[str, int | None] = dict.fromkeys(checkpoint.quantizable_modules, DEFAULT)
    possible = frozenset(found)
    found.update(dict.fromkeys(checkpoint.head_modules))
    for at in reversed(range(len(recipe.rules))):
        found.update(dict.fromkeys(possible & named(checkpoint, recipe.rules[at].pattern), at))
    for pattern in recipe.ignore:
        found.update(dict.fromkeys(possible & named(checkpoint, pattern)))
    return found


def named_by(recipe: Recipe, checkpoint: Checkpoint, modules: Iterable[str]) -> set[tuple[int, ...]]:
    """The rules that name the same of `modules`, by number and in order: one entry for all modules that have the same."""
    classes: dict[tuple[int, ...], frozenset[str]] = {(): frozenset(modules)}
    for at, rule in enumerate(recipe.rules):
        meant = named(checkpoint, rule.pattern)
        split = {}
        for rules, members in classes.items():
            split[(*rules, at)], split[rules] = members & meant, members - meant
        classes = {rules: members for rules, members in split.items() if members}
    return set(classes)
