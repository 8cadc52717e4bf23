"""Puts the matrices of experts, as torch tensors, back into the stacks that a checkpoint stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from qtquant_app.core.stacks import Stack

if TYPE_CHECKING:
    from torch import Tensor


def joined(weights: Mapping[str, Tensor], stacks: Iterable[Stack]) -> dict[str, Tensor]:
    """`weights` with each of `stacks` in the place of its matrices, where these are all there."""
    found = dict(weights)
    for stack in stacks:
        if all(name in found for name in stack.names()):
            found[stack.tensor.name] = _joined(found, stack)
    return found


def _joined(weights: dict[str, Tensor], stack: Stack) -> Tensor:
    """[experts, ..., ...] as in the file. Takes the matrices out of `weights`, an expert at a time, so that few are there twice."""
    import torch

    whole = torch.empty(stack.tensor.shape, dtype=weights[stack.name(0, 0)].dtype)
    rows, _ = stack.shape
    for expert, slice_ in enumerate(whole):
        turned = slice_.T if stack.transposed else slice_
        for at in range(len(stack.leaves)):
            own = turned[at :: len(stack.leaves)] if stack.interleaved else turned[at * rows : (at + 1) * rows]
            own.copy_(weights.pop(stack.name(expert, at)))
    return whole
