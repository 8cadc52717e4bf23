"""A weight matrix whose codes and scales are learned: a position for each code, rounded to write the weight, moved by its gradient.

The gradient passes the rounding as if it were not there (Bengio et al., "Estimating or propagating gradients through stochastic
neurons", 2013): with w' = s (round(p) - z), a weight's gradient g gives its position the gradient s g, and the scale the sum over
its group of g (round(p) - z), as in Esser et al., "Learned step size quantization" (2020). Positions and scales are moved by Adam
(Kingma, Ba, 2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from qtquant_app.quant.affine import DTYPES, grouped, ungrouped
from qtquant_app.quant.solvers.grid import Grid, Solved

_MEAN, _SQUARE = 0.9, 0.95
"""How much Adam keeps of its mean gradient and of its mean squared gradient."""

_EDGE = 0.499
"""A position lies within half a step of its code; a little less, so that no rounding of float32 takes it across."""

_TINY = 1e-30
"""Added to a divisor that is zero where no gradient ever came."""


@dataclass(slots=True)
class Moments:
    """Adam's running means of a gradient and of its square."""

    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Moments:
        return cls(torch.zeros_like(values), torch.zeros_like(values))

    def step(self, gradient: Tensor, count: int) -> Tensor:
        """The direction of step number `count` (from 1): about -1 to 1 in each element."""
        self.mean.mul_(_MEAN).add_(gradient, alpha=1 - _MEAN)
        self.square.mul_(_SQUARE).addcmul_(gradient, gradient, value=1 - _SQUARE)
        size = self.square.sqrt().mul_((1 - _SQUARE**count) ** -0.5 * (1 - _MEAN**count)).add_(_TINY)
        return self.mean / size


class Codes:
    """The codes of one matrix while they are learned.

    `weight` gives w' under the present codes; `learn` takes the gradient of a loss with respect to it.
    """

    def __init__(self, weight: Tensor, start: Solved, dtype: str, moves: bool = True) -> None:
        """Begins at `start`, each position as near to float32 weight [rows, columns] as its code allows. Only scales are learned
        where not `moves`, and none where one scale serves all of the tensor."""
        grid = start.grid
        self.grid, self.dtype, self.moves = grid, dtype, moves
        self._columns = weight.shape[1]
        self._scale, self._zero = grid.scale.clone(), grid.zero[..., None]
        codes = grouped(start.codes.float(), grid.group)
        self._position = codes
        if moves:
            self._position = _nearest(grouped(weight.float(), grid.group), codes, grid)
        self._alone = grid.scale.shape[0] > 1 and grid.scale.stride(0) == 0
        self._moments: tuple[Moments | None, Moments] | None = None
        self._steps = 0

    def weight(self, out: Tensor) -> None:
        """Writes w' to `out`, [rows, columns] of any float dtype."""
        values = self._units() * self._stored()[..., None]
        if self.grid.offset == "float":
            values += self._zero
        out.copy_(ungrouped(values, self._columns))

    def learn(self, gradient: Tensor, code_rate: float, scale_rate: float) -> None:
        """One step against `gradient`, [rows, columns]: positions by at most about `code_rate`, scales by that share of theirs."""
        self._steps += 1
        parts = grouped(gradient.float(), self.grid.group)
        if self._moments is None:
            self._moments = Moments.of(self._position) if self.moves else None, Moments.of(self._scale)
        positions, scales = self._moments
        slope = (parts * self._units()).sum(-1)
        if positions is not None:
            step = positions.step(parts, self._steps)
            self._position.sub_(step, alpha=code_rate).clamp_(-_EDGE, self.grid.levels - 1 + _EDGE)
        if not self._alone:
            self._scale.mul_(1 - scale_rate * scales.step(slope, self._steps))

    def solved(self) -> Solved:
        """The present codes on their grid, as they would be stored."""
        codes = ungrouped(self._position.round(), self._columns).to(torch.uint8)
        grid = self.grid
        return Solved(codes, Grid(self._stored(), grid.zero, grid.group, grid.levels, grid.offset))

    def _units(self) -> Tensor:
        """What is multiplied by the scale: codes less their zero point, or codes where the offset is a float."""
        units = self._position.round()
        return units if self.grid.offset == "float" else units.sub_(self._zero)

    def _stored(self) -> Tensor:
        """The scales as the dtype that stores them holds them."""
        stored = self._scale.to(DTYPES[self.dtype]).float()
        return torch.where((stored > 0) & stored.isfinite(), stored, self.grid.scale)


def _nearest(weight: Tensor, codes: Tensor, grid: Grid) -> Tensor:
    """Where each weight lies in steps of its group's scale, moved into its code's half step to either side; codes [..., size]."""
    scale, zero = grid.scale[..., None], grid.zero[..., None]
    place = (weight - zero) / scale if grid.offset == "float" else weight / scale + zero
    return torch.minimum(torch.maximum(place, codes - _EDGE), codes + _EDGE)
