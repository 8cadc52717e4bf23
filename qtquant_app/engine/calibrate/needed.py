"""Whether a plan needs samples, and which."""

from __future__ import annotations

from collections.abc import Iterable

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods


def needs_calibration(scheme: Scheme | None) -> bool:
    """Whether the scheme's method looks at samples."""
    return scheme is not None and methods.find(scheme.method).needs_calibration


def calibration_of(
    checkpoint: Checkpoint, tensors: Iterable[TensorPlan], asked: Calibration | None, seed: int
) -> Calibration | None:
    """The samples that a plan over `tensors` looks at; None where none of their methods does.

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
    return asked or Calibration(seed=seed)
