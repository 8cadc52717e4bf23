"""The numbers of a map and where they lie: cells of a matrix, in the order in which its rows and columns are shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.view import Place

if TYPE_CHECKING:
    from qtquant_app.engine.look import Picture

Cells = NDArray[np.float32]
Order = NDArray[np.int32]
Span = tuple[int, int]
"""Display positions, half-open."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A rectangle of the map in display positions, half-open, and its value of the largest magnitude."""

    rows: Span
    columns: Span
    value: float


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells [R, C] of `cell_rows` x `cell_columns` weights each, the last ones smaller, over `rows` x `columns` weights."""

    values: Cells
    rows: int
    columns: int
    cell_rows: int = 1
    cell_columns: int = 1
    top: int = 0
    """Display position of the first row; only a part of a matrix starts elsewhere than at 0."""
    left: int = 0

    @classmethod
    def of(cls, picture: Picture, mean: bool = False) -> Grid:
        """The largest magnitudes of a picture's cells, or their means."""
        window = picture.window
        return cls(
            picture.mean if mean else picture.extreme,
            window.bottom - window.top,
            window.right - window.left,
            picture.rows_per_cell,
            picture.columns_per_cell,
            window.top,
            window.left,
        )

    @property
    def bottom(self) -> int:
        return self.top + self.rows

    @property
    def right(self) -> int:
        return self.left + self.columns

    @property
    def single(self) -> bool:
        """Whether each cell is one weight."""
        return self.cell_rows == 1 == self.cell_columns

    def holds(self, rows: Span, columns: Span) -> bool:
        """Whether a rectangle lies inside."""
        down = self.top <= rows[0] and rows[1] <= self.bottom
        return down and self.left <= columns[0] and columns[1] <= self.right

    def cell_at(self, x: float, y: float) -> Cell | None:
        """The cell at display column `x` and row `y`; None outside."""
        if not (self.left <= x < self.right and self.top <= y < self.bottom):
            return None
        return self.cell(int((y - self.top) // self.cell_rows), int((x - self.left) // self.cell_columns))

    def cell(self, row: int, column: int) -> Cell:
        """The cell at `row`, `column` of `values`."""
        top, left = self.top + row * self.cell_rows, self.left + column * self.cell_columns
        rows = (top, min(top + self.cell_rows, self.bottom))
        columns = (left, min(left + self.cell_columns, self.right))
        return Cell(rows, columns, float(self.values[row, column]))

    def cell_of(self, rows: Span, columns: Span) -> Cell:
        """A rectangle inside, with the value of the largest magnitude among the cells that it touches."""
        down = slice((rows[0] - self.top) // self.cell_rows, -(-(rows[1] - self.top) // self.cell_rows))
        across = slice((columns[0] - self.left) // self.cell_columns, -(-(columns[1] - self.left) // self.cell_columns))
        part = self.values[down, across]
        return Cell(rows, columns, float(largest(part)) if part.size else 0.0)


@dataclass(frozen=True, slots=True)
class Orders:
    """Which row and column of the matrix stands at each display position; None where they stand as they are."""

    rows: Order | None = None
    columns: Order | None = None

    @classmethod
    def of(cls, picture: Picture) -> Orders:
        """The orders of a picture of a whole matrix."""
        window = picture.window
        return cls(picture.rows if window.sort_rows else None, picture.columns if window.sort_columns else None)

    def alike(self, other: Orders) -> bool:
        """Whether the same sides are sorted."""
        return [o is None for o in (self.rows, self.columns)] == [o is None for o in (other.rows, other.columns)]

    def place(self, cell: Cell, shape: tuple[int, int]) -> Place:
        """The rows and columns of the matrix under a cell.

        Where they are sorted, those of one cell lie apart: then it is the first, which has the largest error of them.
        """
        return Place(_true(cell.rows, self.rows, shape[0]), _true(cell.columns, self.columns, shape[1]))

    def spans(self, place: Place, shape: tuple[int, int]) -> tuple[Span, Span]:
        """The display positions of a place; of the first row or column where several lie apart."""
        return _shown(place.rows, self.rows, shape[0]), _shown(place.columns, self.columns, shape[1])


def _true(span: Span, order: Order | None, length: int) -> Span:
    if order is None or span == (0, length):
        return span
    first = int(order[span[0]])
    return first, first + 1


def _shown(span: Span, order: Order | None, length: int) -> Span:
    first, end = max(0, min(span[0], length - 1)), max(1, min(span[1], length))
    if order is None or (first, end) == (0, length):
        return first, end
    at = int(np.flatnonzero(order == first)[0])
    return at, at + 1


def largest(values: Cells) -> np.float32:
    """The value of the largest magnitude, with its sign."""
    high, low = values.max(), values.min()
    found: np.float32 = high if high >= -low else low
    return found


def pooled(values: Cells, down: int, across: int) -> Cells:
    """`values` with each block of `down` x `across` cells replaced by its value of the largest magnitude, with its sign."""
    if down <= 1 and across <= 1:
        return np.ascontiguousarray(values)
    high = _drawn(_drawn(values, down, np.maximum), across, np.maximum, axis=1)
    low = _drawn(_drawn(values, down, np.minimum), across, np.minimum, axis=1)
    return np.ascontiguousarray(np.where(high >= -low, high, low))


def _drawn(values: Cells, step: int, reduce: np.ufunc, axis: int = 0) -> Cells:
    """Every `step` neighbours along `axis` drawn together: as slices of the whole, which `reduceat` takes ten times as long for."""
    if axis:
        return _drawn(values.T, step, reduce).T
    found = values[::step].copy()
    for offset in range(1, min(step, len(values))):
        part = values[offset::step]
        reduce(found[: len(part)], part, out=found[: len(part)])
    return found
