"""How much of a model a plan quantizes: of its linear layers and experts, for nothing else is meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, prod

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.plan import PlanWarning, TensorPlan

LEAST_PERCENT = 90.0
"""Below it a result is hardly what was asked for."""
LOW_COVERAGE = "low-coverage"
"""The code of the warning."""


def linear_coverage(tensors: Iterable[TensorPlan]) -> float:
    """Percent of the parameters in linear layers and experts that are quantized."""
    total = quantized = 0
    for tensor in tensors:
        if _counts(tensor):
            count = prod(tensor.shape)
            total += count
            quantized += count if tensor.action == "quantize" else 0
    return 100 * quantized / total if total else 100.0


def _counts(tensor: TensorPlan) -> bool:
    return tensor.kind in (Kind.LINEAR, Kind.EXPERT) and len(tensor.shape) > 1


def coverage_text(percent: float) -> str:
    """`97.3 % of the parameters of linear layers and experts`; never rounded up."""
    return f"{floor(10 * percent) / 10:.1f} % of the parameters of linear layers and experts"


def low_coverage_text(percent: float) -> str:
    """The warning's sentence; empty where there is nothing to warn of."""
    return "" if percent >= LEAST_PERCENT else f"only {coverage_text(percent)} are quantized"


def coverage_warnings(tensors: Sequence[TensorPlan]) -> tuple[PlanWarning, ...]:
    """That much less is quantized than there is, and why most of the rest is not. None where a plan quantizes nothing at all."""
    text = low_coverage_text(linear_coverage(tensors))
    if not text or not any(tensor.scheme for tensor in tensors):
        return ()
    left: dict[str, int] = {}
    for tensor in tensors:
        if _counts(tensor) and tensor.action == "keep":
            left[tensor.reason] = left.get(tensor.reason, 0) + prod(tensor.shape)
    why = max(left, key=lambda reason: left[reason])
    return (PlanWarning(LOW_COVERAGE, f"{text}; most of the rest stays as it is: {why}"),)


def low_coverage_of(warnings: Iterable[PlanWarning]) -> str:
    """The sentence of the warning among a plan's, empty where there is none."""
    return next((warning.text for warning in warnings if warning.code == LOW_COVERAGE), "")
