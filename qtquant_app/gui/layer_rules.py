"""A scheme for one layer, as a rule of the recipe."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from glob import escape
from typing import Literal

from qtquant_app.core.checkpoint import Kind, TensorInfo
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


def with_layer_rule(recipe: Recipe, module: str, scheme: Scheme | Literal["keep"], modules: Iterable[str]) -> Recipe:
    """`recipe` with a rule that gives `module` this scheme, or keeps it as it is.

    It comes last, or before the first rule that would take the module away from it. Rules for this module alone, among
    `modules`, would never apply again: they go.
    """
    others = [other for other in modules if other != module]
    rules = [rule for rule in recipe.rules if not _only_for(rule, module, others)]
    at = next((at for at, rule in enumerate(rules) if matches(rule.pattern, module)), len(rules))
    rules.insert(at, Rule(escape(module), scheme))
    return replace(recipe, rules=tuple(rules))


def _only_for(rule: Rule, module: str, others: Iterable[str]) -> bool:
    return matches(rule.pattern, module) and not any(matches(rule.pattern, other) for other in others)
