"""Sets of tensors that must be treated alike, what may become of each, and who has decided already."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from qtquant_app.core.budget import Treatment
from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.runtimes import find
from qtquant_app.engine.rules import Choice, choose

_STRICTEST = "vllm"
"""The reader that fuses the most: what it takes, the others take."""


@dataclass(frozen=True, slots=True)
class FusedSet:
    """Tensors that move together. `fixed` is what the recipe has decided for them, None where the budget may choose."""

    tensors: tuple[TensorInfo, ...]
    fixed: Treatment | None = None
    reason: str = ""
    """Why it is fixed."""
    by_recipe: bool = False
    """Whether the recipe itself says so; where not, a rule has to be added for it."""


def fused_sets(checkpoint: Checkpoint, recipe: Recipe) -> list[FusedSet]:
    """All tensors that can be quantized, in sets.

    A set is what vLLM fuses: query, key and value of one attention, gate and up of one MLP, the experts of one block. Where the
    recipe decides some of a set, the others follow. Raises RuleError where a pattern of the recipe names nothing or never applies.
    """
    choices = dict(zip((t.name for t in checkpoint.tensors), choose(checkpoint, recipe), strict=True))
    together: dict[Hashable, list[TensorInfo]] = {}
    for tensor in checkpoint.tensors:
        if tensor.quantizable:
            together.setdefault(_key(tensor), []).append(tensor)
    return [found for tensors in together.values() for found in _split(tensors, choices)]


def _split(tensors: Sequence[TensorInfo], choices: dict[str, Choice]) -> Iterator[FusedSet]:
    """One set; or several where the recipe treats its tensors differently."""
    fixed: dict[Treatment, list[TensorInfo]] = {}
    free: list[TensorInfo] = []
    for tensor in tensors:
        choice = choices[tensor.name]
        if _decided(choice):
            fixed.setdefault(choice.scheme or "keep", []).append(tensor)
        else:
            free.append(tensor)
    for treatment, members in fixed.items():
        yield FusedSet(tuple(members), treatment, choices[members[0].name].reason, by_recipe=True)
    if free and fixed:
        treatment, members = next(iter(fixed.items()))
        reason = f"moves together with {members[0].module}: {choices[members[0].name].reason}"
        yield FusedSet(tuple(free), treatment, reason)
    elif free:
        yield FusedSet(tuple(free))


def _decided(choice: Choice) -> bool:
    """Whether the recipe says more than its default; a head is kept unless it does."""
    return choice.scheme is None or choice.rule is not None


def _key(tensor: TensorInfo) -> Hashable:
    owner, _, leaf = tensor.module.rpartition(".")
    if tensor.kind == Kind.EXPERT:
        return Kind.EXPERT, tensor.module.rpartition(".experts.")[0]
    for names in find(_STRICTEST).fused:
        if leaf in names:
            return owner, names
    return tensor.module


def modules_of(sets: Iterable[FusedSet]) -> list[str]:
    return [tensor.module for found in sets for tensor in found.tensors]
