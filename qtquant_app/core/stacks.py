"""Stacks of experts: three-dimensional tensors that hold the matrices of every expert of a block, and the matrices in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
    from qtquant_app.core.plan import TensorPlan


@dataclass(frozen=True, slots=True)
class Stack:
    """A stored tensor [experts, ..., ...] and how each expert's matrices lie in it."""

    tensor: TensorInfo
    prefix: str
    """What the names of its matrices begin with; then come the expert's number and one of `leaves`."""
    leaves: tuple[str, ...]
    """The matrices of an expert in order: ("gate_proj", "up_proj")."""
    transposed: bool = False
    """Whether output channels run along the last dimension, not along the one before."""
    interleaved: bool = False
    """Whether the matrices' output channels take turns, rather than follow each other matrix by matrix."""
    by_expert: bool = False
    """Whether transformers also loads checkpoints of this family that store each matrix on its own."""

    @property
    def experts(self) -> int:
        return self.tensor.shape[0]

    @property
    def shape(self) -> tuple[int, int]:
        """[rows, columns] of each matrix, rows being output channels."""
        _, first, last = self.tensor.shape
        rows, columns = (last, first) if self.transposed else (first, last)
        return rows // len(self.leaves), columns

    @property
    def slice_bytes(self) -> int:
        """Bytes of one expert."""
        return self.tensor.nbytes // self.experts

    def name(self, expert: int, at: int) -> str:
        """The name of matrix `at` of an expert, as checkpoints name it that store each on its own."""
        return f"{self.prefix}.{expert}.{self.leaves[at]}.weight"

    def names(self) -> tuple[str, ...]:
        """The names of all its matrices, expert by expert."""
        return tuple(self.name(expert, at) for expert in range(self.experts) for at in range(len(self.leaves)))


@dataclass(frozen=True, slots=True)
class Part:
    """One matrix of a stack: number `at` of an expert."""

    stack: Stack
    expert: int
    at: int

    @property
    def in_one_piece(self) -> bool:
        """Whether its rows follow each other in the file."""
        alternating = self.stack.interleaved and len(self.stack.leaves) > 1
        return not (self.stack.transposed or alternating)

    @property
    def place(self) -> str:
        """Tells it from any other matrix of the same file."""
        stack = self.stack
        turned = f"{stack.transposed} {stack.interleaved}"
        return f"{stack.tensor.offset} {stack.tensor.shape} {turned} {len(stack.leaves)} {self.expert} {self.at}"


def taken_apart(checkpoint: Checkpoint, tensors: Sequence[TensorPlan]) -> tuple[Stack, ...]:
    """The stacks whose matrices a plan stores each on its own."""
    if not checkpoint.stacks:
        return ()
    names = {tensor.name for tensor in tensors}
    return tuple(stack for stack in checkpoint.stacks if stack.tensor.name not in names)


def only_stacked(checkpoint: Checkpoint) -> frozenset[str]:
    """The matrices of stacks that transformers knows in stacks alone."""
    return frozenset(name for stack in checkpoint.stacks if not stack.by_expert for name in stack.names())
