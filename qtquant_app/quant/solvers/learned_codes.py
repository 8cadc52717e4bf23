"""A weight matrix whose codes and scales are learned: a position for each code, rounded to write the weight, moved by its gradient.

The gradient passes the rounding as if it were not there (Bengio et al., "Estimating or propagating gradients through stochastic
neurons", 2013): with w' = s (round(p) - z), a weight's gradient g gives its position the gradient s g, and the scale the sum over
its group of g (round(p) - z), as in Esser et al., "Learned step size quantization" (2020). Positions and scales are moved by Adam
(Kingma, Ba, 2015).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from qtquant_app.quant.affine import DTYPES, grouped, ungrouped
from qtquant_app.quant.solvers.grid import Grid, Solved

_MEAN, _SQUARE = 0.9, 0.95
"""How much Adam keeps of its mean gradient and of its mean squared gradient."""

_EDGE = 0.499
"""A position lies within half a step of its code; a little less, so that no rounding of float32 takes it across."""

_TINY = 1e-15
"""Added to the root of the mean square: smaller gradients than this count for nothing."""

_PIECE = {"cpu": 1 << 17}
_LARGE_PIECE = 1 << 24
"""Weights that are worked on at once."""


class Codes:
    """The codes of one matrix while they are learned. `write` gives w' as they are; `learn` moves them against a gradient."""

    def __init__(self, weight: Tensor, start: Solved, dtype: str, moves: bool = True) -> None:
        """Begins at `start`, each position as near to weight [rows, columns] as its code allows. Only scales are learned where not
        `moves`, and none where one scale serves all of the tensor or blocks hold them. `dtype` stores the scales."""
        grid = start.grid
        self._grid, self._dtype, self._moves = grid, DTYPES[dtype], moves
        self._columns = weight.shape[1]
        self._step = max(1, _PIECE.get(weight.device.type, _LARGE_PIECE) // self._columns)
        codes = grouped(start.codes.float(), grid.group)
        self._position = _nearest(grouped(weight.float(), grid.group), codes, grid) if moves else codes
        self._scale = grid.scale.clone()
        shared = len(grid.scale) > 1 and grid.scale.stride(0) == 0
        self._holds_scale = shared or grid.blocks is not None
        self._moments = Moments.of(self._position) if moves else None
        self._scale_moments = Moments.of(self._scale)
        self._steps = 0

    def write(self, out: Tensor) -> None:
        """Writes w' to `out`, [rows, columns] of any float dtype."""
        for rows in self._pieces():
            self._write(rows, out)

    def learn(self, gradient: Tensor, code_rate: float, scale_rate: float, out: Tensor) -> None:
        """One step against `gradient`, [rows, columns], the positions by about `code_rate` at most, the scales by that share of
        theirs; then as `write`."""
        self._steps += 1
        for rows in self._pieces():
            parts = grouped(gradient[rows].float(), self._grid.group)
            slope = None if self._holds_scale else (parts * self._units(rows)).sum(-1)
            if self._moments is not None:
                position = self._position[rows]
                upward = parts if self._grid.blocks is None else parts * self._scale[rows].sign()[..., None]
                self._moments.step(rows, upward, self._steps, position, code_rate)
                position.clamp_(-_EDGE, self._grid.levels - 1 + _EDGE)
            if slope is not None:
                scale = self._scale[rows]
                self._scale_moments.step(rows, slope, self._steps, scale, scale_rate * scale)
            self._write(rows, out)

    def solved(self) -> Solved:
        """The present codes on their grid, as they would be stored."""
        codes = ungrouped(self._position.round(), self._columns).to(torch.uint8)
        return Solved(codes, replace(self._grid, scale=self._stored(slice(None))))

    def _pieces(self) -> Iterator[slice]:
        """Rows that are worked on at once: what they take stays in a CPU's cache."""
        for first in range(0, len(self._scale), self._step):
            yield slice(first, first + self._step)

    def _write(self, rows: slice, out: Tensor) -> None:
        values = self._units(rows).mul_(self._stored(rows)[..., None])
        if self._grid.offset == "float":
            values.add_(self._grid.zero[rows, :, None])
        out[rows] = values.flatten(1)[:, : self._columns]

    def _units(self, rows: slice) -> Tensor:
        """What is multiplied by the scale: codes less their zero point, or codes where the offset is a float."""
        units = self._position[rows].round()
        return units if self._grid.offset == "float" else units.sub_(self._grid.zero[rows, :, None])

    def _stored(self, rows: slice) -> Tensor:
        """The scales as the dtype that stores them holds them."""
        if self._grid.blocks is not None:
            return self._grid.scale[rows]
        stored = self._scale[rows].to(self._dtype).float()
        return torch.where((stored > 0) & stored.isfinite(), stored, self._grid.scale[rows])


@dataclass(frozen=True, slots=True)
class Moments:
    """Adam's running means of a gradient and of its square."""

    mean: Tensor
    square: Tensor

    @classmethod
    def of(cls, values: Tensor) -> Moments:
        return cls(torch.zeros_like(values), torch.zeros_like(values))

    def step(self, rows: slice, gradient: Tensor, count: int, values: Tensor, rate: float | Tensor) -> None:
        """Moves `values`, those of `rows`, by step number `count` (from 1) against their `gradient`, by about `rate` at most."""
        mean, square = self.mean[rows], self.square[rows]
        mean.mul_(_MEAN).add_(gradient, alpha=1 - _MEAN)
        square.mul_(_SQUARE).addcmul_(gradient, gradient, value=1 - _SQUARE)
        size = square.sqrt().add_(_TINY)
        share = (1 - _SQUARE**count) ** 0.5 / (1 - _MEAN**count)
        if isinstance(rate, float):
            values.addcdiv_(mean, size, value=-rate * share)
        else:
            values.addcmul_(mean / size, rate, value=-share)


def _nearest(weight: Tensor, codes: Tensor, grid: Grid) -> Tensor:
    """Where each weight lies in steps of its group's scale, moved into its code's half step to either side; codes [..., size]."""
    scale, zero = grid.scale[..., None], grid.zero[..., None]
    place = (weight - zero) / scale if grid.offset == "float" else weight / scale + zero
    place = torch.where(scale != 0, place, codes)
    return torch.minimum(torch.maximum(place, codes - _EDGE), codes + _EDGE)
