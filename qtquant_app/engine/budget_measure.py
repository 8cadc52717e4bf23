"""Measures what every set of tensors would take and lose under every scheme that a budget may choose from."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

from qtquant_app.core.budget import Treatment
from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.events import Event, Warned
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scan import TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.allocation import Choices
from qtquant_app.engine.budget_error import places, predicted
from qtquant_app.engine.budget_sets import FusedSet, fused_sets
from qtquant_app.engine.sampled import sampled
from qtquant_app.engine.scan import scan
from qtquant_app.formats import Format, find
from qtquant_app.quant.methods import check as check_method


@dataclass(frozen=True, slots=True)
class MeasuredSet:
    """A set, the treatments open to it, and the bytes and the predicted error of each, in the same order."""

    tensors: tuple[TensorInfo, ...]
    treatments: tuple[Treatment, ...]
    choices: Choices
    fixed: str = ""
    """Why there is no choice, where somebody else made it."""
    by_recipe: bool = False

    @property
    def modules(self) -> tuple[str, ...]:
        return tuple(tensor.module for tensor in self.tensors)

    @property
    def weights(self) -> int:
        return sum(tensor.parameters for tensor in self.tensors)

    def with_choices(self, at: Sequence[int]) -> MeasuredSet:
        """The same with the choices of these numbers only."""
        sizes, errors = self.choices.bytes, self.choices.errors
        choices = Choices([sizes[i] for i in at], [errors[i] for i in at])
        return replace(self, treatments=tuple(self.treatments[i] for i in at), choices=choices)

    def quantized_only(self) -> MeasuredSet:
        """The same without keeping as a choice."""
        return self.with_choices([i for i, treatment in enumerate(self.treatments) if isinstance(treatment, Scheme)])


def measure(
    checkpoint: Checkpoint,
    recipe: Recipe,
    treatments: Sequence[Treatment],
    device: str,
    cache: bool | Path,
) -> Generator[Event, None, list[MeasuredSet]]:
    """The sets of `checkpoint`, measured by a scan; of a model that is not here, by one of a sample.

    Raises PlanError where a set can take none of `treatments`.
    """
    format = find(recipe.format)
    sets = fused_sets(checkpoint, recipe)
    if not sets:
        raise PlanError(f"{checkpoint.label} has nothing that can be quantized", code="nothing")
    given = [found.fixed for found in sets if found.fixed is not None]
    schemes = dict.fromkeys(t for t in (*treatments, *given) if isinstance(t, Scheme))
    for scheme in schemes:
        check_method(scheme)
    looked_at = checkpoint
    if checkpoint.remote is not None:
        looked_at = sampled(checkpoint)
        yield Warned("sampled", f"{checkpoint.label} is not here: its errors are measured on a few rows of each tensor")
    report = yield from scan(looked_at, tuple(schemes), format=recipe.format, device=device, cache=cache)
    scans = {tensor.name: tensor for tensor in report.tensors}
    weigh = places(tensor for found in sets for tensor in found.tensors)
    return [_measured(found, treatments, scans, weigh, format) for found in sets]


def _measured(
    found: FusedSet,
    treatments: Sequence[Treatment],
    scans: Mapping[str, TensorScan],
    weigh: Mapping[str, float],
    format: Format,
) -> MeasuredSet:
    open_ones, sizes, errors, refusals = [], [], [], []
    for treatment in (found.fixed,) if found.fixed is not None else treatments:
        try:
            parts = [
                _weighed(tensor, treatment, scans[tensor.name], weigh[tensor.name], format) for tensor in found.tensors
            ]
        except _Refused as refused:
            refusals.append(str(refused))
            continue
        open_ones.append(treatment)
        sizes.append(sum(size for size, _ in parts))
        errors.append(sum(error for _, error in parts))
    if not open_ones:
        raise PlanError(
            f"nothing that is allowed can be done to {found.tensors[0].name}: {refusals[0]}",
            hint=f"allow another scheme with --allow, or leave it as it is with --keep {found.tensors[0].module}",
            code="budget",
        )
    return MeasuredSet(found.tensors, tuple(open_ones), Choices(sizes, errors), found.reason, found.by_recipe)


class _Refused(Exception):  # noqa: N818
    """A tensor cannot be treated so; the text says why."""


def _weighed(
    tensor: TensorInfo, treatment: Treatment, scan: TensorScan, place: float, format: Format
) -> tuple[int, float]:
    """The bytes and the predicted error of one tensor."""
    if isinstance(treatment, str):
        return tensor.nbytes, 0.0
    refusal = format.refuses(tensor, treatment)
    if refusal:
        raise _Refused(refusal)
    report = scan.report(treatment)
    if report is None:
        raise _Refused(scan.skipped or f"{treatment.label} does not fit it")
    error = predicted(report.errors, place)
    if not isfinite(error):
        raise _Refused("its errors are too large to be added up")
    return sum(part.nbytes for part in format.stored(tensor, treatment)), error


def allowed(treatments: Iterable[Treatment]) -> tuple[Treatment, ...]:
    """Each once. Raises UsageError where there is no scheme among them."""
    found = tuple(dict.fromkeys(treatments))
    if not any(isinstance(treatment, Scheme) for treatment in found):
        raise UsageError(
            "a budget needs a scheme to choose from", hint='add one, such as --allow "W4 g64 asym mse"', code="budget"
        )
    return found
