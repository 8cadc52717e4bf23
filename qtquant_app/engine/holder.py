"""Which format says how many bytes a tensor takes."""

from __future__ import annotations

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.layouts import is_mixture
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import Format, find

_FORMATS = ("compressed-tensors", "qtquant", "gguf")
"""Asked in turn where the wanted format cannot hold a tensor: its picture is worth showing all the same."""


def holder(tensor: TensorInfo, scheme: Scheme, name: str = "") -> Format:
    """The format `name`, or another that can hold `tensor` under `scheme`. Raises PlanError where none can."""
    if is_mixture(scheme.layout):
        raise PlanError(
            f"{tensor.name}: {scheme.label} gives each tensor a type of its own, and only a plan says which",
            hint="choose one of the block types, such as Q4_K",
            code="mixture",
        )
    names = [*([name] if name else []), *(other for other in _FORMATS if other != name)]
    refusals = {}
    for candidate in names:
        found = find(candidate)
        refusals[candidate] = found.refuses(tensor, scheme)
        if not refusals[candidate]:
            return found
    raise PlanError(f"{tensor.name}: {refusals[names[0]]}", hint="choose another group size", code="format-constraint")


def stored_bytes(tensor: TensorInfo, scheme: Scheme, name: str = "") -> int:
    """What `tensor` takes in a file of its `holder`, to the byte. Raises PlanError where there is none."""
    return sum(part.nbytes for part in holder(tensor, scheme, name).stored(tensor, scheme))
