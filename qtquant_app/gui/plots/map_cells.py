"""Walking over the cells of a map: to the next one, and over all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qtquant_app.gui.plots.map_grid import Cell, Grid, Orders


def neighbour(cell: Cell, by: tuple[int, int], shape: tuple[int, int]) -> tuple[int, int]:
    """A display column and row in the cell beside `cell`, `by` (down, across); the nearest inside at an edge."""
    y, x = (_next(span, step, length) for span, step, length in zip((cell.rows, cell.columns), by, shape, strict=True))
    return x, y


def _next(span: tuple[int, int], step: int, length: int) -> int:
    at = span[1] if step > 0 else span[0] - 1 if step < 0 else span[0]
    return min(max(at, 0), length - 1)


def cell_rows(grid: Grid, orders: Orders) -> Iterator[Sequence[object]]:
    """First and last channel, first and last column, and the value of each cell, row by row.

    Where rows or columns are sorted, first and last are those of the cell's ranks. May run in any thread.
    """
    for down in range(grid.values.shape[0]):
        rows = _ends(down, grid.cell_rows, grid.top, grid.bottom, orders.rows)
        for across in range(grid.values.shape[1]):
            columns = _ends(across, grid.cell_columns, grid.left, grid.right, orders.columns)
            yield *rows, *columns, float(grid.values[down, across])


def _ends(cell: int, size: int, start: int, end: int, order: object) -> tuple[int, int]:
    first = start + cell * size
    last = min(first + size, end) - 1
    return (first, last) if order is None else (int(order[first]), int(order[last]))  # type: ignore[index]
