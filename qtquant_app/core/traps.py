"""Where a reader trips: one row of the tables of `core.runtimes`, held against the facts of a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from qtquant_app.core.facts import Facts
from qtquant_app.core.plan import TensorPlan


class Severity(StrEnum):
    """What comes of it, the worst first."""

    REFUSES = "refuses"
    """The reader does not load the result."""
    WRONG = "wrong"
    """It loads, and computes something else."""
    NEEDS = "needs"
    """It loads with an option, or from some version on."""
    NOTE = "note"
    """It loads; there is something to know."""


Mend = Literal["keep", "fit", "share-fused", "share-block", "share-experts", "share-all", "quantize"]
"""keep: leave the tensors in float; fit: a group size that fits; share: one scheme for those that must have one,
all linear layers with share-all; quantize: let the default scheme have them."""


@dataclass(frozen=True, slots=True)
class Trap:
    """One row: a tensor springs it whose facts are all among those of `when`, and not all among those of `unless`."""

    code: str
    severity: Severity
    text: str
    """A sentence that names the reader and its version."""
    source: str
    when: Mapping[str, Sequence[object]]
    unless: Mapping[str, Sequence[object]] | None = None
    mend: Mapping[str, object] | Mend | None = None
    """What would help: parts of a scheme to change, or one of the words above."""
    warned: bool = False
    """Whether a plan warns of it whatever the runtimes asked for."""

    def springs(self, facts: Facts) -> bool:
        """Whether a tensor with these facts is caught."""
        return _all_in(facts, self.when) and (self.unless is None or not _all_in(facts, self.unless))

    def caught(self, tensors: Sequence[TensorPlan], facts: Sequence[Facts]) -> list[TensorPlan]:
        """Those of `tensors` that spring it, each with its facts. Facts that are shared are looked at once."""
        verdicts = {id(known): known for known in facts}
        springing = {key for key, known in verdicts.items() if self.springs(known)}
        return [t for t, known in zip(tensors, facts, strict=True) if id(known) in springing] if springing else []

    def sentence(self, module: str) -> str:
        """The text, `module` the first of those it is about."""
        return self.text.replace("{tensor}", module)


def _all_in(facts: Facts, wanted: Mapping[str, Sequence[object]]) -> bool:
    return all(getattr(facts, name) in values for name, values in wanted.items())
