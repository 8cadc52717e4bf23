"""A budget: so many bytes, or so many bits per weight; and the mix of schemes that makes the best of it, with its reasons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qtquant_app.core.device_memory import MemoryUse
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import bytes_text, figure, more_text
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Target

Treatment = Scheme | Literal["keep"]
"""What may become of a tensor."""


def treatment_label(treatment: Treatment) -> str:
    """The scheme's label, or `keep`."""
    return treatment if isinstance(treatment, str) else treatment.label


@dataclass(frozen=True, slots=True)
class Step:
    """Another treatment, as seen from the one that was chosen."""

    treatment: Treatment
    bytes_more: int
    """Negative where it is smaller."""
    error_more: float
    """Predicted; negative where it is better."""

    @property
    def error_per_byte(self) -> float:
        """What each byte of the difference is worth, in predicted error."""
        return abs(self.error_more / self.bytes_more) if self.bytes_more else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "choice": treatment_label(self.treatment),
            "bytes_more": self.bytes_more,
            "error_more": self.error_more,
        }


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a set of modules gets that move together, and why that and nothing else."""

    modules: tuple[str, ...]
    treatment: Treatment
    bytes: int
    """All its stored tensors."""
    error: float
    """Its part of the predicted error."""
    smaller: Step | None = None
    """The next smaller treatment that is not worse than another of its size; None where there is none."""
    larger: Step | None = None
    """The next larger one that has less error."""
    fixed: str = ""
    """Who decided, where it was not the budget."""

    @property
    def label(self) -> str:
        return treatment_label(self.treatment)

    @property
    def reason(self) -> str:
        """Why, in numbers: what the choices next to it would cost and gain."""
        if self.fixed:
            return self.fixed
        smaller, larger = self.smaller, self.larger
        down = (
            f"{treatment_label(smaller.treatment)} would save {bytes_text(-smaller.bytes_more)} and add "
            f"{figure(smaller.error_more)} to the error ({_worth(smaller)})"
            if smaller
            else "nothing smaller is allowed"
        )
        up = (
            f"{treatment_label(larger.treatment)} would take {more_text(larger.bytes_more)} and remove "
            f"{figure(-larger.error_more)} ({_worth(larger)})"
            if larger
            else "nothing allowed is better"
        )
        return f"{down}; {up}"

    def to_json(self) -> dict[str, Any]:
        return {
            "modules": list(self.modules),
            "choice": self.label,
            "scheme": "keep" if isinstance(self.treatment, str) else self.treatment.to_json(),
            "bytes": self.bytes,
            "error": self.error,
            "smaller": None if self.smaller is None else self.smaller.to_json(),
            "larger": None if self.larger is None else self.larger.to_json(),
            "reason": self.reason,
        }


def _worth(step: Step) -> str:
    return f"{figure(1e6 * step.error_per_byte)} per MB"


@dataclass(frozen=True, slots=True)
class Point:
    """A size and the error predicted for it. `label` names the scheme where all tensors get the same one."""

    bytes: int
    error: float
    label: str = ""

    def to_json(self) -> dict[str, Any]:
        shown = {"bytes": self.bytes, "error": self.error}
        return {**shown, "label": self.label} if self.label else shown


@dataclass(frozen=True, slots=True)
class Proof:
    """A mix beside one scheme for all, both run on text that had no part in the choice."""

    text: str
    """Where the text is from."""
    tokens: int
    kl: float
    """KL divergence of the mix from the original, in nats a token."""
    uniform: Point
    """The best of the uniform schemes that are no larger than the target, by its `uniform_kl`."""
    uniform_kl: float

    @property
    def better(self) -> bool:
        """Whether the mix is really better."""
        return self.kl < self.uniform_kl

    @property
    def sentence(self) -> str:
        """What was found, and what follows from it."""
        found = f"KL divergence {figure(self.kl)} against {figure(self.uniform_kl)} nats a token"
        where = f"on {self.tokens:,} tokens of {self.text}"
        if self.better:
            percent = 100 * (1 - self.kl / self.uniform_kl)
            return f"the mix is {percent:.0f}% better than {self.uniform.label} for all: {found}, {where}"
        return f"the mix is no better than {self.uniform.label} for all, which is kept: {found}, {where}"

    def to_json(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "tokens": self.tokens,
            "kl": self.kl,
            "uniform": self.uniform.to_json(),
            "uniform_kl": self.uniform_kl,
            "better": self.better,
        }


@dataclass(frozen=True)
class Budget:
    """The mix of the least predicted error that a target allows."""

    target: Target
    recipe: Recipe
    plan: Plan
    """What the recipe comes to; it is within the target."""
    error: float
    """Predicted for the whole model: a number to compare mixes of one model by, and nothing else."""
    price: float
    """What one more byte is worth, in predicted error; 0 where the target leaves room for the best of everything."""
    assignments: tuple[Assignment, ...]
    frontier: tuple[Point, ...]
    """The best error for each size, the smallest first, as output bytes to within what headers and config differ by."""
    uniform: tuple[Point, ...]
    """One scheme for all that the budget decides, where they all can take it; output bytes exactly."""
    calibrated: bool = False
    """Whether the errors are weighed by what a text does in the model; if not, they are predicted from the weights alone."""
    memory: MemoryUse | None = None
    """What the mix takes on the device that the target names."""
    proof: Proof | None = None
    """What a check on held-out text found; where the mix is not better, `recipe` and `plan` are the uniform scheme's."""

    @property
    def smallest(self) -> int:
        """Output bytes below which there is no plan, to within what headers and config differ by."""
        return self.frontier[0].bytes

    def nearest_uniform(self) -> Point | None:
        """The uniform scheme of the least error that is not larger than the plan's mix; None where all are."""
        fitting = [point for point in self.uniform if point.bytes <= self.plan.output_bytes]
        return min(fitting, key=lambda point: point.error, default=None)

    def to_json(self) -> dict[str, Any]:
        """The `budget` of CONTRACT's plan document."""
        return {
            "target": self.target.to_json(),
            "output_bytes": self.plan.output_bytes,
            "bits_per_weight": self.plan.bits_per_weight,
            "error": self.error,
            "error_per_byte": self.price,
            "assignments": [assignment.to_json() for assignment in self.assignments],
            "frontier": _points(self.frontier),
            "uniform": _points(self.uniform),
            "calibrated": self.calibrated,
            "memory": None if self.memory is None else self.memory.to_json(),
            "proof": None if self.proof is None else self.proof.to_json(),
        }


def _points(points: Sequence[Point]) -> list[dict[str, Any]]:
    return [point.to_json() for point in points]
