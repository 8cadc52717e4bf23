"""The range that what serves a whole tensor comes from: its own, or under NVFP4 that of all weights that a reader makes one of.

Such weights must have one divisor of their scales: vLLM fuses query, key and value, and gate and up, and keeps but one of theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.events import ChunkDone
from qtquant_app.core.recipe import NonFinitePolicy
from qtquant_app.core.runtimes import find
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.tensor_work import extremes, fixed_for
from qtquant_app.engine.tools import Tools
from qtquant_app.quant.chunk import Fixed
from qtquant_app.quant.floats import NVFP4, code_of, is_float

_STRICTEST = "vllm"
"""The reader that fuses the most."""

Range = tuple[float, float]


def mates(checkpoint: Checkpoint, tensor: TensorInfo, scheme: Scheme) -> tuple[TensorInfo, ...]:
    """`tensor`, and under NVFP4 the other weights of the checkpoint that readers make one of with it."""
    if not (is_float(scheme) and code_of(scheme) is NVFP4):
        return (tensor,)
    owner, _, leaf = tensor.module.rpartition(".")
    by_name = checkpoint.by_name
    for names in find(_STRICTEST).fused:
        if leaf in names and f"{owner}.{leaf}.weight" == tensor.name:
            found = (by_name.get(f"{owner}.{name}.weight") for name in names)
            return tuple([other for other in found if other is not None and other.quantizable])
    return (tensor,)


def shared_range(
    tools: Tools,
    tensor: TensorInfo,
    scheme: Scheme,
    policy: NonFinitePolicy = "refuse",
    *,
    known: dict[str, Range] | None = None,
    takes_part: Callable[[TensorInfo], bool] | None = None,
) -> Generator[ChunkDone, None, Range]:
    """The smallest and the largest weight of `tensor` and its `mates`, those of them that `takes_part` says.

    `known` holds the ranges of tensors by name that have been looked at already, and gains those that have not.
    """
    known = {} if known is None else known
    found = []
    for other in mates(tools.reader.checkpoint, tensor, scheme) or (tensor,):
        if other.name != tensor.name and takes_part is not None and not takes_part(other):
            continue
        if other.name not in known:
            known[other.name] = yield from extremes(tools, other, policy)
        found.append(known[other.name])
    return min(low for low, _ in found), max(high for _, high in found)


def fixed_of(tools: Tools, tensor: TensorInfo, scheme: Scheme) -> Generator[ChunkDone, None, Fixed | None]:
    """What serves the whole of `tensor` under `scheme`; None where nothing does."""
    if not scheme.needs_extremes:
        return None
    return fixed_for(tools, tensor, scheme, (yield from shared_range(tools, tensor, scheme)))
