"""Experts as mlx-lm's models hold them: the same layer of all experts of a block is one tensor, `switch_mlp`.

mlx-lm puts float experts together itself while it loads them, and for some families packed ones too; for others, Qwen3-MoE among
them, it forgets their scales. Written together they load for all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.scheme import Scheme

_EXPERT = re.compile(r"(.+)\.experts\.(\d{1,6})\.(gate_proj|up_proj|down_proj|w1|w2|w3)")
_NAMES = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
"""What mlx-lm calls Mixtral's layers."""


def stack_of(tensor: TensorInfo | TensorPlan) -> tuple[str, int | None]:
    """The module that a quantized tensor is stored under, and which part of it; its own, and None, where it is not of a stack."""
    found = _EXPERT.fullmatch(tensor.module) if tensor.kind == Kind.EXPERT else None
    if found is None:
        return tensor.module, None
    owner, number, leaf = found.groups()
    return f"{owner}.switch_mlp.{_NAMES.get(leaf, leaf)}", int(number)


def refuse_torn_stacks(checkpoint: Checkpoint, schemes: Sequence[Scheme | None]) -> None:
    """Raises PlanError where the experts of a block do not all have a scheme or none, or those of one layer have several."""
    stacks: dict[str, tuple[str, Scheme | None]] = {}
    blocks: dict[str, tuple[str, bool]] = {}
    for tensor, scheme in zip(checkpoint.tensors, schemes, strict=True):
        if tensor.kind != Kind.EXPERT or len(tensor.shape) != 2:
            continue
        module, part = stack_of(tensor)
        if part is None:
            continue
        first, known = stacks.setdefault(module, (tensor.name, scheme))
        other, quantized = blocks.setdefault(module.rpartition(".")[0], (tensor.name, scheme is not None))
        if known is not scheme and known != scheme:
            raise _torn(first, known, tensor.name, scheme)
        if quantized != (scheme is not None):
            raise _torn(other, None if scheme else known, tensor.name, scheme)


def _torn(first: str, scheme: Scheme | None, second: str, other: Scheme | None) -> PlanError:
    said = [one.label if one else "kept" for one in (scheme, other)]
    return PlanError(
        f"{first} would be {said[0]} and {second} {said[1]}, but mlx-lm holds the experts of a block as one",
        hint="give all experts of a block one scheme, or ignore all of them",
        code="mixture",
    )
