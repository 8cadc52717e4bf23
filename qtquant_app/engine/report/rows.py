"""The tensors of a scan by module across blocks: the rows of the map and the lines of the charts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from qtquant_app.core.blocks import spot
from qtquant_app.core.scan import TensorScan

MOST_ROWS = 100
MOST_BLOCKS = 512
"""A page shows no more: names come from files, and may be of any kind."""


@dataclass(frozen=True, slots=True)
class Row:
    """Tensors that are the same module of different blocks; experts of a block share its cell."""

    label: str
    cells: dict[int, tuple[TensorScan, ...]]
    """By the column of the block; column 0 where there are no blocks."""
    in_blocks: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The rows, inside of blocks first, and the numbers of the blocks, one a column."""

    rows: tuple[Row, ...]
    blocks: tuple[int, ...]
    left_out: int
    """Tensors beyond what a page shows."""


def laid_out(tensors: Iterable[TensorScan]) -> Layout:
    """Where each tensor goes."""
    found: dict[tuple[bool, str], dict[int, list[TensorScan]]] = {}
    total = 0
    for tensor in tensors:
        place = spot(tensor.name)
        label = f"{place.stack}: {place.path}" if place.depth is not None else place.path
        found.setdefault((place.depth is None, label), {}).setdefault(place.depth or 0, []).append(tensor)
        total += 1
    blocks = sorted({depth for (outside, _), cells in found.items() if not outside for depth in cells})[:MOST_BLOCKS]
    column = {depth: at for at, depth in enumerate(blocks)}
    stacks = {label.partition(": ")[0] for outside, label in found if not outside}
    rows = []
    for outside, label in sorted(found, key=lambda key: (key[0], _natural(key[1])))[:MOST_ROWS]:
        cells = found[outside, label]
        shown = label.partition(": ")[2] if len(stacks) == 1 and not outside else label
        placed = {
            0 if outside else column[d]: tuple(found_at) for d, found_at in cells.items() if outside or d in column
        }
        rows.append(Row(shown or label, placed, not outside))
    kept = sum(len(cell) for row in rows for cell in row.cells.values())
    return Layout(tuple(rows), tuple(blocks), total - kept)


def _natural(label: str) -> list[tuple[bool, int, str]]:
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"([0-9]{1,9})", label)]
