"""Stacks of experts that are stored as MXFP4: the float stacks that they stand for, and the matrices in those."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.dtypes import nbytes
from qtquant_app.core.stacks import Part
from qtquant_app.engine.packed.fp4_experts import GROUP, packed

BLOCKS, SCALES = "_blocks", "_scales"
_DTYPE = "BF16"


def decoded_stacks(tensors: Iterable[TensorInfo]) -> list[TensorInfo]:
    """A float stack [experts, inputs, outputs] for each pair of `_blocks` and `_scales` that fit each other."""
    pairs = {t.name: t for t in tensors if t.dtype == "U8" and t.name.endswith((BLOCKS, SCALES)) and all(t.shape)}
    found = []
    for name, blocks in pairs.items():
        scales = pairs.get(f"{name.removesuffix(BLOCKS)}{SCALES}") if name.endswith(BLOCKS) else None
        fit = scales is not None and len(scales.shape) == 3 and blocks.shape == (*scales.shape, GROUP // 2)
        if scales is not None and fit:
            experts, outputs, count = scales.shape
            shape = (experts, count * GROUP, outputs)
            whole = packed("fp4-experts", blocks, scales)
            title = name.removesuffix(BLOCKS)
            found.append(
                TensorInfo(title, _DTYPE, shape, blocks.file, 0, nbytes(_DTYPE, shape), Kind.EXPERT, packed=whole)
            )
    return found


def hidden_by(stack: TensorInfo) -> tuple[str, ...]:
    """The stored tensors that a decoded stack stands for: its blocks first."""
    return () if stack.packed is None else tuple(tensor.name for _, tensor in stack.packed.parts)


def matrix(part: Part) -> TensorInfo:
    """One matrix of a decoded stack."""
    stack = part.stack
    assert stack.tensor.packed is not None
    rows, columns = stack.shape
    count = len(stack.leaves)
    codes, scale = (_slice(tensor, part.expert, stack.experts, count, rows) for _, tensor in stack.tensor.packed.parts)
    first, step = (part.at, count) if stack.interleaved else (part.at * rows, 1)
    own = packed("fp4-expert", codes, scale, first, step)
    size, name = nbytes(_DTYPE, stack.shape), stack.name(part.expert, part.at)
    return TensorInfo(name, _DTYPE, (rows, columns), codes.file, 0, size, Kind.EXPERT, packed=own, part=part)


def _slice(tensor: TensorInfo, expert: int, experts: int, count: int, rows: int) -> TensorInfo:
    """What is stored for one expert, `count` matrices of `rows`, as rows of bytes; its size is the share of one matrix."""
    size = tensor.nbytes // experts
    shape = (count * rows, size // (count * rows))
    return replace(tensor, shape=shape, offset=tensor.offset + expert * size, nbytes=size // count)
