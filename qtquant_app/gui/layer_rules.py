"""A scheme for one layer or for many, as a rule of the recipe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.matrix import part_of
from qtquant_app.core.pattern_writing import pattern_for
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme


def ignoring_pattern(recipe: Recipe, module: str) -> str | None:
    """The ignore pattern that keeps `module` from any rule."""
    return next((pattern for pattern in recipe.ignore if matches(pattern, module)), None)


def scheme_for(recipe: Recipe, tensor: TensorInfo) -> Scheme | None:
    """The scheme that the recipe gives a quantizable tensor; None where it keeps it."""
    for rule in recipe.rules:
        if matches(rule.pattern, tensor.module):
            return None if isinstance(rule.scheme, str) else rule.scheme
    return None if tensor.kind == Kind.HEAD else recipe.default


def decided_by(recipe: Recipe, tensor: TensorInfo) -> str:
    """What the recipe does with `tensor` now, and which part of it says so, as a sentence."""
    pattern = ignoring_pattern(recipe, tensor.module)
    if pattern is not None:
        return f"The recipe ignores this layer: {pattern}"
    scheme = scheme_for(recipe, tensor)
    rule = next((rule.pattern for rule in recipe.rules if matches(rule.pattern, tensor.module)), None)
    if scheme is None:
        return f"The recipe keeps this layer{f' by the rule {rule}' if rule else ', as it does every head'}"
    return f"The recipe gives this layer {scheme.label} by {f'the rule {rule}' if rule else 'default'}"


def why_no_rule(recipe: Recipe, tensor: TensorInfo | None, scheme: Scheme | Literal["keep"]) -> str:
    """Why a rule that gives `tensor` this scheme, or keeps it, would do nothing; empty where it would do something."""
    if tensor is None:
        return "Select a layer first"
    if not tensor.quantizable:
        return "This tensor is not quantized"
    pattern = ignoring_pattern(recipe, tensor.module)
    if pattern is not None:
        return f"The recipe ignores this layer: {pattern}"
    if (scheme_for(recipe, tensor) or "keep") == scheme:
        return "The recipe does so already"
    return ""


def why_no_rule_for(recipe: Recipe, tensors: Iterable[TensorInfo], scheme: Scheme | Literal["keep"]) -> str:
    """Why a rule for all of `tensors` would do nothing; empty where it would do something for one of them."""
    why = why_no_rule(recipe, None, scheme)
    for tensor in tensors:
        why = why_no_rule(recipe, tensor, scheme)
        if not why:
            return ""
    return why


def subjects_of(names: Iterable[str], checkpoint: Checkpoint) -> tuple[TensorInfo, ...]:
    """The tensors that are called so, or a part of which is, each once, and of them what can be quantized."""
    known, fit = checkpoint.by_name, checkpoint.quantizable_names
    whole = dict.fromkeys(name if name in known else part_of(name)[0] for name in names)
    return tuple(known[name] for name in whole if name in fit)


def with_layer_rule(recipe: Recipe, module: str, scheme: Scheme | Literal["keep"], modules: Iterable[str]) -> Recipe:
    """`recipe` with a rule that gives `module` this scheme, or keeps it as it is: see `with_rule`."""
    return with_rule(recipe, (module,), scheme, modules)


def with_rule(
    recipe: Recipe, chosen: Iterable[str], scheme: Scheme | Literal["keep"], modules: Iterable[str]
) -> Recipe:
    """`recipe` with one rule that gives the `chosen` of all `modules` this scheme, or keeps them as they are.

    It comes last, or before the first rule that would take one of them away from it. Rules that decided some of them before and
    none of them now, go. ValueError where nothing is chosen.
    """
    wanted, listed = dict.fromkeys(chosen), tuple(modules)
    made = Rule(pattern_for(wanted, listed), scheme)
    at = next(
        (at for at, rule in enumerate(recipe.rules) if any(matches(rule.pattern, module) for module in wanted)),
        len(recipe.rules),
    )
    rules = [*recipe.rules[:at], made, *recipe.rules[at:]]
    before, now = _deciding(recipe.rules, listed), _deciding(rules, listed)
    gone = {
        place for place, rule in enumerate(rules) if rule is not made and _old(place, at) in before and place not in now
    }
    return replace(recipe, rules=tuple(rule for place, rule in enumerate(rules) if place not in gone))


def add_rule(recipe: Recipe, rule: Rule, modules: Iterable[str]) -> Recipe:
    """`recipe` with `rule` as it was written: at the end, or where it never applied there before the first that takes from it."""
    listed = tuple(modules)
    rules = [*recipe.rules, rule]
    if len(rules) - 1 not in _deciding(rules, listed):
        named = [module for module in listed if matches(rule.pattern, module)]
        before = (at for at, other in enumerate(recipe.rules) if any(matches(other.pattern, name) for name in named))
        at = next(before, len(recipe.rules))
        rules = [*recipe.rules[:at], rule, *recipe.rules[at:]]
    return replace(recipe, rules=tuple(rules))


def _old(place: int, at: int) -> int:
    """Where a rule stood before another was put in at `at`."""
    return place - (place > at)


def _deciding(rules: Sequence[Rule], modules: Iterable[str]) -> set[int]:
    """The rules that are the first to match one of `modules`."""
    found = (next((at for at, rule in enumerate(rules) if matches(rule.pattern, name)), -1) for name in modules)
    return set(found) - {-1}
