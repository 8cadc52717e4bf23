"""Where each tensor of a model stands on the map: its block across, its kind of module down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from qtquant_app.gui.models.tensor_nodes import natural

OUTSIDE = -1
"""The depth of a tensor that is in no block."""
ANY = "*"
"""Stands for the number of an expert in the path of a module."""

Numbers = NDArray[np.float64]
Indices = NDArray[np.intp]


def place(name: str) -> tuple[str, int, str]:
    """(stack of blocks, depth, path inside the block) of a tensor; an empty stack and OUTSIDE where it is in no block.

    What comes up to the first number is a block. Further numbers are those of experts, which share a path; the name of the
    parameter goes unsaid where it is the weight.
    """
    parts = name.split(".")
    at = next((i for i, part in enumerate(parts[:-1]) if part.isdigit()), None)
    if at is None:
        return "", OUTSIDE, _path(parts)
    return ".".join(parts[:at]), int(parts[at]), _path(parts[at + 1 :])


def _path(parts: Sequence[str]) -> str:
    kept = parts[:-1] if len(parts) > 1 and parts[-1] == "weight" else parts
    return ".".join(ANY if part.isdigit() else part for part in kept)


@dataclass(frozen=True, slots=True)
class ModelGrid:
    """Tensors by kind of module and by depth. Arrays have one number a tensor, in the order given."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    """What the rows are called: those inside of blocks first, then those outside."""
    depth: int
    """Columns: blocks of the deepest stack."""
    row: Indices
    column: Indices
    """The block, or OUTSIDE."""

    @property
    def blocks(self) -> int:
        """How many rows are inside of blocks, from the top."""
        inside = self.row[self.column != OUTSIDE]
        return int(inside.max()) + 1 if inside.size else 0

    def members(self, row: int, column: int) -> Indices:
        """The tensors of a cell: one, or the experts of a block, which share it."""
        return np.flatnonzero((self.row == row) & (self.column == column))


def grid_of(names: Sequence[str]) -> ModelGrid:
    """The places of tensors by their names. Where a model has several stacks of blocks, each has rows of its own."""
    places = [place(name) for name in names]
    stacks = {stack for stack, depth, _ in places if depth != OUTSIDE}
    short = _told_apart(sorted(stacks))
    keys = [(depth == OUTSIDE, stack, path) for stack, depth, path in places]
    ordered = sorted(set(keys), key=lambda key: (key[0], natural(key[1]), natural(key[2])))
    rows = {key: at for at, key in enumerate(ordered)}
    return ModelGrid(
        names=tuple(names),
        kinds=tuple(_label(short.get(stack, ""), path) for _, stack, path in ordered),
        depth=1 + max((depth for _, depth, _ in places), default=OUTSIDE),
        row=np.array([rows[key] for key in keys], np.intp),
        column=np.array([depth for _, depth, _ in places], np.intp),
    )


def _label(stack: str, path: str) -> str:
    return f"{stack}: {path}" if stack and path else stack or path


def _told_apart(stacks: Sequence[str]) -> dict[str, str]:
    """What tells each stack from the others: its name less what all have at the start and at the end."""
    if len(stacks) < 2:
        return dict.fromkeys(stacks, "")
    split = [stack.split(".") for stack in stacks]
    ahead = _shared(split)
    behind = _shared([parts[ahead:][::-1] for parts in split])
    found = {}
    for stack, parts in zip(stacks, split, strict=True):
        found[stack] = ".".join(parts[ahead : len(parts) - behind]) or stack
    return found


def _shared(lists: Sequence[Sequence[str]]) -> int:
    """How many parts from the start are the same in all."""
    same = [len(set(parts)) == 1 for parts in zip(*lists, strict=False)]
    return next((len(list(run)) for alike, run in groupby(same) if alike), 0) if same and same[0] else 0
