"""Schemes that a mix is held against: measured with those that it is chosen from, and not to be chosen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from qtquant_app.core.budget import Treatment
from qtquant_app.core.errors import PlanError
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.budget_measure import MeasuredSet


def given_to_all(sets: Sequence[MeasuredSet], schemes: Iterable[Treatment]) -> Mapping[Scheme, float | str]:
    """The predicted error of each scheme where all that is free gets it, or the reason why that cannot be."""
    return {scheme: _given(sets, scheme) for scheme in schemes if isinstance(scheme, Scheme)}


def _given(sets: Sequence[MeasuredSet], scheme: Scheme) -> float | str:
    total = 0.0
    for one in sets:
        if not one.fixed and scheme not in one.treatments:
            return f"it does not fit {one.tensors[0].name}"
        total += one.choices.errors[0 if one.fixed else one.treatments.index(scheme)]
    return total


def choosable(sets: Iterable[MeasuredSet], treatments: Sequence[Treatment]) -> list[MeasuredSet]:
    """`sets` with no other choices than `treatments`. Raises PlanError where a set has none of them."""
    return [one if one.fixed else _with(one, treatments) for one in sets]


def _with(one: MeasuredSet, treatments: Sequence[Treatment]) -> MeasuredSet:
    at = [i for i, treatment in enumerate(one.treatments) if treatment in treatments]
    if not at:
        raise PlanError(
            f"nothing that is allowed can be done to {one.tensors[0].name}: none of the schemes fits it",
            hint=f"allow another scheme with --allow, or leave it as it is with --keep {one.tensors[0].module}",
            code="budget",
        )
    return one.with_choices(at)
