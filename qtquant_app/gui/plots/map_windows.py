"""Which part of a matrix to ask for, so that the map shows as much as its pixels can."""

from __future__ import annotations

from math import ceil, floor

from qtquant_app.core.view import MAX_CELLS, View, Window
from qtquant_app.gui.plots.map_grid import Grid

Visible = tuple[float, float, float, float]
"""Columns and rows: left, right, top, bottom."""


def finer(
    view: View,
    sorted_sides: tuple[bool, bool],
    whole: Grid,
    part: Grid | None,
    visible: Visible,
    pixels: tuple[float, float],
) -> Window | None:
    """What is visible in cells of a pixel each; None where `whole` and `part` have nothing coarser there.

    It begins at a whole weight and holds whole cells, so that it covers its rectangle exactly.
    """
    left, right, top, bottom = visible
    rows = _side(top, bottom, whole.rows, pixels[0])
    columns = _side(left, right, whole.columns, pixels[1])
    if whole.cell_rows <= rows[3] and whole.cell_columns <= columns[3]:
        return None
    covered = part is not None and part.holds(rows[:2], columns[:2])
    if covered and part is not None and part.cell_rows <= rows[3] and part.cell_columns <= columns[3]:
        return None
    return Window(view, *rows[:2], *columns[:2], rows[2], columns[2], *sorted_sides)


def _side(low: float, high: float, length: int, pixels: float) -> tuple[int, int, int, int]:
    """First and end of a side, the number of cells between, and the weights in each."""
    first, end = max(0, floor(low + 1e-6)), min(length, max(1, ceil(high - 1e-6)))
    size = max(1, ceil((end - first) / max(1, min(MAX_CELLS, int(pixels)))))
    cells = max(1, ceil((end - first) / size))
    return first, min(length, first + cells * size), cells, size
