"""The cells of the model's map: which tensor stands for each, and how strong its colour is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.quantities import plural
from qtquant_app.gui.models.flags import flag_words
from qtquant_app.gui.models.measures import Measure, Numbers
from qtquant_app.gui.models.model_grid import OUTSIDE
from qtquant_app.gui.models.scan_digest import Digest

NOBODY = -1
"""In place of a tensor where a cell has none."""


@dataclass(frozen=True)
class ModelCells:
    """R rows of kinds, D blocks and one column more for what is outside of blocks. The worst tensor stands for its cell."""

    digest: Digest
    measure: Measure
    scheme: int
    """Which of the scan's schemes."""
    kinds: tuple[str, ...]
    """What the rows are called [R]."""
    values: Numbers
    """[R, D + 1]; NaN where there is no figure."""
    tensor: NDArray[np.intp]
    """The tensor that stands for each cell [R, D + 1], or NOBODY."""
    members: NDArray[np.intp]
    """How many tensors share each cell [R, D + 1]."""
    flagged: NDArray[np.bool_]
    """Whether one of them is odd [R, D + 1]."""
    grid_rows: NDArray[np.intp]
    """Which rows of the digest's grid these are [R]."""

    @property
    def depth(self) -> int:
        """Blocks across."""
        return self.digest.grid.depth

    @cached_property
    def ends(self) -> tuple[float, float] | None:
        """The values of the weakest and the strongest colour."""
        return self.measure.ends(self.values)

    @cached_property
    def shades(self) -> Numbers:
        """[R, D + 1] from 0 to 1, NaN where there is no figure."""
        return self.measure.shades(self.values, self.ends)

    @cached_property
    def scanned(self) -> NDArray[np.bool_]:
        """Whether a cell's tensor has been looked at [R, D + 1]."""
        return np.append(self.digest.seen, False)[self.tensor]

    def name(self, row: int, column: int) -> str:
        """The tensor that stands for a cell; empty where there is none."""
        at = self.tensor[row, column]
        return "" if at == NOBODY else self.digest.grid.names[at]

    def cell_of(self, name: str) -> tuple[int, int] | None:
        """(row, column) of the cell that a tensor is in; None where the map does not show it."""
        at = self.digest.index.get(name)
        if at is None:
            return None
        rows = np.flatnonzero(self.grid_rows == self.digest.grid.row[at])
        return (int(rows[0]), int(self.digest.grid.column[at]) % (self.depth + 1)) if rows.size else None

    def words(self, row: int, column: int) -> str:
        """A cell for the read-out: the tensor, its figure, what is odd, and how many it stands for."""
        at = self.tensor[row, column]
        if at == NOBODY:
            return ""
        scan = self.digest.scans[at]
        parts = [self.name(row, column), self._figure_words(row, column, at)]
        if scan is None:
            parts[1] = "not scanned yet"
        elif scan.flags:
            parts.append(f"odd: {flag_words(scan.flags)}")
        if self.members[row, column] > 1:
            parts.append(
                f"the worst of {plural(int(self.members[row, column]), 'tensor')}{self._odd_ones(row, column)}"
            )
        return "  \u00b7  ".join(parts)

    def numbers(self) -> tuple[tuple[str, ...], Iterator[tuple[object, ...]]]:
        """Titles and a row for each cell with a tensor: its kind, its block if it is in one, the tensor, the figure."""
        places = np.argwhere(self.tensor != NOBODY).tolist()
        values, kinds, depth = self.values, self.kinds, self.depth
        rows = (
            (
                kinds[row],
                column if column < depth else None,
                self.name(row, column),
                None if np.isnan(values[row, column]) else float(values[row, column]),
                bool(self.flagged[row, column]),
            )
            for row, column in places
        )
        return ("kind", "block", "tensor", self.measure.title, "odd"), rows

    def _odd_ones(self, row: int, column: int) -> str:
        """How many of those that share a cell are odd."""
        grid, depth = self.digest.grid, column if column < self.depth else OUTSIDE
        members = grid.members(int(self.grid_rows[row]), depth)
        odd = sum(grid.names[at] in self.digest.flags for at in members)
        return f", {odd:,} of them odd" if odd else ""

    def _figure_words(self, row: int, column: int, at: int) -> str:
        scan, value = self.digest.scans[at], float(self.values[row, column])
        if np.isnan(value):
            return f"no figure: {scan.skipped}" if scan and scan.skipped else "no figure"
        under = f" under {self.digest.schemes[self.scheme].label}" if self.measure.scheme else ""
        return f"{self.measure.title} {self.measure.say(value)}{under}"


def cells_of(digest: Digest, measure: Measure, scheme: int) -> ModelCells:
    """The map of one measure. Rows whose tensors have no figure under it are left out, unless one of them is odd."""
    grid = digest.grid
    values = digest.values(measure, scheme)
    shape = (len(grid.kinds), grid.depth + 1)
    at = (grid.row, grid.column)  # OUTSIDE is the last column
    flagged = digest.odd > 0
    order = np.lexsort(
        (flagged, np.nan_to_num(measure.badness(values), nan=-np.inf))
    )  # the worst comes last, and stays
    worst, tensor = np.full(shape, np.nan), np.full(shape, NOBODY, np.intp)
    worst[grid.row[order], grid.column[order]] = values[order]
    tensor[grid.row[order], grid.column[order]] = order
    members, odd = np.zeros(shape, np.intp), np.zeros(shape, bool)
    np.add.at(members, at, 1)
    np.logical_or.at(odd, at, flagged)
    shown = np.zeros(len(grid.kinds), bool)
    np.logical_or.at(shown, grid.row, (digest.expected | flagged) if measure.scheme else True)
    rows = np.flatnonzero(shown)
    return ModelCells(
        digest=digest,
        measure=measure,
        scheme=scheme,
        kinds=tuple(grid.kinds[row] for row in rows),
        values=worst[rows],
        tensor=tensor[rows],
        members=members[rows],
        flagged=odd[rows],
        grid_rows=rows,
    )
