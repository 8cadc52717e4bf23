"""Whether a plan needs samples, and which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from qtquant_app.core.calibration import RANDOM, Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.language_model import runnable
from qtquant_app.quant import methods

OWN_SHARE = 1.5
"""Samples that a model writes itself for each of the others, where nothing is said."""


def needs_calibration(scheme: Scheme | None) -> bool:
    """Whether the scheme's method looks at samples."""
    return scheme is not None and methods.find(scheme.method).needs_calibration


def learns(scheme: Scheme | None) -> bool:
    """Whether the scheme's codes are learned from samples."""
    return scheme is not None and needs_calibration(scheme) and methods.steps(scheme.method)[1] == "learned"


def calibration_of(
    checkpoint: Checkpoint, tensors: Sequence[TensorPlan], asked: Calibration | None, seed: int, room: Callable[[], int]
) -> Calibration | None:
    """The samples that a plan over `tensors` looks at; None where none of their methods does.

    How many the model writes itself is decided here where it was left open: some where codes are learned, and where the model
    is one that writes and takes no more than half of `room()` bytes. What is learned from a few samples over and over fits those
    alone: on SmolLM2-135M at 3 bits, half as many more by its own hand lower the KL divergence on other text by a third.

    Raises PlanError naming a tensor where it cannot be calibrated: where there is no model to run.
    """
    first = next((tensor for tensor in tensors if needs_calibration(tensor.scheme)), None)
    if first is None or first.scheme is None:
        return None
    if not checkpoint.config.get("model_type"):
        raise PlanError(
            f"{first.name} is to be quantized by {first.scheme.method}, which runs the model, and {checkpoint.label} has no "
            "config.json that says what model it is",
            hint="use --method mse, or open the model's folder",
            code="calibration",
        )
    wanted = asked or Calibration(seed=seed)
    if wanted.own is not None or not any(learns(tensor.scheme) for tensor in tensors):
        return wanted
    return replace(wanted, own=round(OWN_SHARE * wanted.samples) if _writes(checkpoint, wanted, room) else 0)


def _writes(checkpoint: Checkpoint, wanted: Calibration, room: Callable[[], int]) -> bool:
    """Whether the model is to write samples unasked."""
    if checkpoint.remote is not None or wanted.source == RANDOM or runnable(checkpoint):
        return False
    return 2 * writing_bytes(checkpoint.parameters) <= room()


def writing_bytes(parameters: int) -> int:
    """Memory that a model of so many parameters takes to write: 16 bits each, twice while they are put in."""
    return 4 * parameters
