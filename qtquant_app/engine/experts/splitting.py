"""Puts the matrices of the experts in the place of the stacks that a checkpoint stores; and a stack back, where none of its
matrices is quantized."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.dtypes import QUANTIZABLE
from qtquant_app.core.stacks import Part, Stack
from qtquant_app.engine.experts.families import Family, family_of
from qtquant_app.engine.experts.mxfp4 import decoded_stacks, hidden_by
from qtquant_app.engine.experts.mxfp4 import matrix as packed_matrix
from qtquant_app.engine.garbage import uncollected

_MOST_EXPERTS = 4096
_MOST_MATRICES = 500_000


def stacks_of(tensors: Sequence[TensorInfo], config: Mapping[str, Any]) -> tuple[Stack, ...]:
    """The stacks of experts among `tensors` whose layout is known.

    None where their matrices would have the names of other tensors, or would be more than any model has.
    """
    if not any(len(tensor.shape) == 3 for tensor in tensors):
        return ()
    known = family_of(config)
    if known is None:
        return ()
    family, hidden = known
    if family.packed:
        tensors = [*tensors, *decoded_stacks(tensors)]
    candidates = [one for tensor in tensors if (one := _candidate(tensor, family)) is not None]
    told = {turned for tensor, leaves, _ in candidates if (turned := _transposed(tensor, hidden, leaves)) is not None}
    usual = told.pop() if len(told) == 1 else family.transposed  # one program wrote them all
    found = tuple(stack for one in candidates if (stack := _stack(*one, family, hidden, usual)) is not None)
    if sum(stack.experts * len(stack.leaves) for stack in found) > _MOST_MATRICES:
        return ()
    taken = {tensor.name for tensor in tensors}
    return () if any(not taken.isdisjoint(stack.names()) for stack in found) else found


_Candidate = tuple[TensorInfo, tuple[str, ...], str]
"""A tensor that may be a stack, the matrices of each of its experts, and what their names begin with."""


def _candidate(tensor: TensorInfo, family: Family) -> _Candidate | None:
    plain = tensor.tied_to is None and tensor.dtype in QUANTIZABLE
    if len(tensor.shape) != 3 or not plain or not all(tensor.shape) or tensor.shape[0] > _MOST_EXPERTS:
        return None
    *gate_up, down = family.leaves
    for name, leaves in ((family.gate_up, tuple(gate_up)), (family.down, (down,))):
        if tensor.name.endswith(f".{name}"):
            return tensor, leaves, tensor.name.removesuffix(name) + family.experts
    return None


def _transposed(tensor: TensorInfo, hidden: int, leaves: tuple[str, ...]) -> bool | None:
    """Whether outputs run along the last dimension: which of the two is the hidden size says so. None where both are, or neither.

    Gate and up take the hidden size in, down gives it out.
    """
    _, first, last = tensor.shape
    plain, turned = (last, first) if len(leaves) > 1 else (first, last)
    return turned == hidden if plain != turned and hidden in (plain, turned) else None


def _stack(
    tensor: TensorInfo, leaves: tuple[str, ...], prefix: str, family: Family, hidden: int, usual: bool
) -> Stack | None:
    turned = _transposed(tensor, hidden, leaves)
    if turned is None:
        if tensor.shape[1:] != (hidden, hidden):
            return None
        turned = usual
    outputs = tensor.shape[2 if turned else 1]
    if outputs % len(leaves):
        return None
    alternating = family.interleaved and len(leaves) > 1
    return Stack(replace(tensor, kind=Kind.EXPERT), prefix, leaves, turned, alternating, family.by_expert)


@uncollected()
def split(tensors: Iterable[TensorInfo], stacks: Iterable[Stack]) -> list[TensorInfo]:
    """`tensors` with the matrices of each of `stacks` in its place."""
    by_name: dict[str, Stack] = {}
    hidden: set[str] = set()
    for stack in stacks:
        first, *others = hidden_by(stack.tensor) or (stack.tensor.name,)
        by_name[first] = stack
        hidden.update(others)
    found: list[TensorInfo] = []
    for tensor in tensors:
        own = by_name.get(tensor.name)
        if own is None and tensor.name not in hidden:
            found.append(tensor)
        elif own is not None:
            found += _matrices(own)
    return found


def _matrices(stack: Stack) -> Iterator[TensorInfo]:
    """Each matrix as a tensor: at its place in the file where it is in one piece, else at byte 0 of itself."""
    whole, shape, count = stack.tensor, stack.shape, len(stack.leaves)
    nbytes = stack.slice_bytes // count
    together = Part(stack, 0, 0).in_one_piece
    for expert in range(stack.experts):
        for at in range(count):
            part = Part(stack, expert, at)
            if whole.packed is not None:
                yield packed_matrix(part)
                continue
            offset = whole.offset + (expert * count + at) * nbytes if together else 0
            name = stack.name(expert, at)
            yield TensorInfo(name, whole.dtype, shape, whole.file, offset, nbytes, Kind.EXPERT, part=part)


def rejoined(checkpoint: Checkpoint, names: Collection[str]) -> Checkpoint:
    """`checkpoint` with the stacks called `names` as they are stored, in the place of their matrices."""
    whole = [stack for stack in checkpoint.stacks if stack.tensor.name in names]
    if not whole:
        return checkpoint
    first = {stack.name(0, 0): stack.tensor for stack in whole}
    joined = {id(stack) for stack in whole}
    tensors = tuple(
        first.get(tensor.name, tensor)
        for tensor in checkpoint.tensors
        if tensor.name in first or tensor.part is None or id(tensor.part.stack) not in joined
    )
    return replace(checkpoint, tensors=tensors)


def as_planned(checkpoint: Checkpoint, names: Iterable[str]) -> Checkpoint:
    """`checkpoint` with those stacks whole that `names`, a plan's tensors, have whole."""
    if not checkpoint.stacks:
        return checkpoint
    return rejoined(checkpoint, {stack.tensor.name for stack in checkpoint.stacks}.intersection(names))


def kept_whole(checkpoint: Checkpoint, quantized: Collection[str]) -> frozenset[str]:
    """The stacks none of whose matrices is among `quantized`."""
    touched = {id(t.part.stack) for t in checkpoint.tensors if t.part is not None and t.name in quantized}
    return frozenset(stack.tensor.name for stack in checkpoint.stacks if id(stack) not in touched)
