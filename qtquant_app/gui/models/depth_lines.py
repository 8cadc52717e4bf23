"""How the weights of each kind of module change with depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qtquant_app.gui.models.measures import BY_KEY, Measure, Numbers
from qtquant_app.gui.models.model_grid import OUTSIDE
from qtquant_app.gui.models.scan_digest import Digest

DEPTH_MEASURES = tuple(BY_KEY[key] for key in ("range", "std", "kurtosis", "count"))
"""What is drawn against depth: no scheme has a part in it."""


@dataclass(frozen=True)
class Line:
    """One kind of module through the blocks that have it, in their order; n of them."""

    kind: str
    row: int
    """Its row in the grid."""
    depth: NDArray[np.intp]
    """Blocks [n]."""
    low: Numbers
    """[n]; the same as `high` but where a range is shown."""
    high: Numbers
    """[n]; the largest of experts that share a block."""
    tensor: NDArray[np.intp]
    """The tensor with the largest value in each block [n]."""

    @property
    def flat(self) -> bool:
        """Whether it is a line rather than a band."""
        return self.low is self.high or np.array_equal(self.low, self.high)


def lines_of(digest: Digest, measure: Measure) -> tuple[Line, ...]:
    """A line for each kind that is in blocks and has been scanned; a range is the smallest and the largest weight."""
    banded = measure.key == "range"
    high = digest.high if banded else digest.values(measure, 0)
    low = digest.low if banded else high
    weight = high - low if banded else high
    known = np.flatnonzero((digest.grid.column != OUTSIDE) & np.isfinite(high))
    order = known[np.lexsort((weight[known], digest.grid.column[known], digest.grid.row[known]))]
    rows, columns = digest.grid.row[order], digest.grid.column[order]
    if not order.size:
        return ()
    starts = np.flatnonzero(np.r_[True, (np.diff(rows) != 0) | (np.diff(columns) != 0)])
    ends = np.r_[starts[1:], len(order)] - 1
    highest, lowest = np.maximum.reduceat(high[order], starts), np.minimum.reduceat(low[order], starts)
    lowest = lowest if banded else highest
    found = []
    for row in sorted(set(rows.tolist())):  # np.unique imports 80 ms of numpy.ma
        mine = rows[starts] == row
        kind = digest.grid.kinds[row]
        found.append(Line(kind, int(row), columns[starts][mine], lowest[mine], highest[mine], order[ends][mine]))
    return tuple(found)
