"""What a search for the range of each group is given: the factors it tries, and how much each column's errors weigh."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from qtquant_app.quant.kernels.half_quadratic import WORK
from qtquant_app.quant.kernels.jit import compiled
from qtquant_app.quant.kernels.lanes import LANES


class Ranges(NamedTuple):
    """Of one call, for groups of `group` columns."""

    factors: NDArray[np.float64]
    """Tried on each group's range, in order; none where scales are given."""
    importance: NDArray[np.float32]
    """How much the squared errors of each column weigh, [columns]; [0] where all weigh alike."""
    shares: NDArray[np.float32]
    """Those of one group, zeros after them to whole lanes."""

    shrinks: NDArray[np.float64]
    """1 / beta of each round of the half-quadratic solver, which goes on from the range; none where it is left as it is."""
    work: NDArray[np.float64]
    """The solver's working memory."""

    @classmethod
    def of(
        cls,
        factors: NDArray[np.float64],
        importance: NDArray[np.float32] | None,
        columns: int,
        group: int,
        shrinks: Sequence[float] = (),
    ) -> Ranges:
        """Raises ValueError where the importances are not those of so many columns."""
        if importance is None or len(factors) < 2:
            importance = np.empty(0, np.float32)
        elif importance.shape != (columns,):
            raise ValueError(f"{columns} columns are given importances of shape {importance.shape}")
        own = np.ascontiguousarray(importance, np.float32)
        shares, work = np.empty(group + LANES, np.float32), np.empty(WORK)
        return cls(factors, own, shares, np.array(shrinks, np.float64), work)


@compiled
def weigh(ranges: Any, first: int, last: int) -> bool:
    """Puts the shares of columns first to last in their place. False where errors weigh alike: there are none, or none counts."""
    if len(ranges.importance) == 0:
        return False
    counts = False
    for index in range(last - first):
        share = ranges.importance[first + index]
        ranges.shares[index] = share
        counts = counts or share > 0
    for index in range(last - first, (last - first + LANES - 1) // LANES * LANES):
        ranges.shares[index] = 0
    return counts
