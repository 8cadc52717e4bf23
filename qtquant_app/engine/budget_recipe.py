"""Writes a mix of schemes as a recipe: a default, and rules that each match what is meant and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from qtquant_app.core.blocks import spot
from qtquant_app.core.budget import Treatment
from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.pattern_writing import pattern_for
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme

_SHORT = 72
"""Characters of a pattern that is taken in at a glance."""


def mixed_recipe(
    base: Recipe, chosen: Sequence[tuple[tuple[TensorInfo, ...], Treatment]], modules: Iterable[str]
) -> Recipe:
    """`base` with its default and further rules such that each of the sets is treated as `chosen`.

    The default is the scheme of the most weights. `modules` are all of the checkpoint: no new rule matches one that is not meant.
    """
    weights: dict[Treatment, int] = {}
    members: dict[Treatment, list[tuple[str, ...]]] = {}
    for tensors, treatment in chosen:
        weights[treatment] = weights.get(treatment, 0) + sum(tensor.parameters for tensor in tensors)
        members.setdefault(treatment, []).append(tuple(tensor.module for tensor in tensors))
    default = _default(weights, base)
    everything = tuple(dict.fromkeys(modules))
    rules = [
        Rule(pattern, treatment)
        for treatment in sorted(members, key=lambda treatment: -weights[treatment])
        if treatment != default
        for pattern in _patterns(members[treatment], everything)
    ]
    return replace(base, default=default, rules=(*base.rules, *rules))


def _default(weights: Mapping[Treatment, int], base: Recipe) -> Scheme:
    schemes = [treatment for treatment in weights if isinstance(treatment, Scheme)]
    return max(schemes, key=lambda scheme: weights[scheme], default=base.default)


def _patterns(sets: Sequence[tuple[str, ...]], everything: Sequence[str]) -> list[str]:
    """One pattern for all of `sets` where it is short, else one for those in the same place of their blocks."""
    whole = pattern_for((module for found in sets for module in found), everything)
    if len(whole) <= _SHORT:
        return [whole]
    places: dict[object, list[str]] = {}
    for found in sets:
        first = spot(found[0])
        places.setdefault((first.stack, first.path), []).extend(found)
    return [pattern_for(place, everything) for place in places.values()]
