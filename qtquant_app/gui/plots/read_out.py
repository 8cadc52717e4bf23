"""What the picture alone says about a place: its value, and the errors of its channels and groups."""

from __future__ import annotations

from math import inf, log10
from typing import TYPE_CHECKING

from qtquant_app.core.quantities import decibels, figure, percent, plural, stretch_text
from qtquant_app.core.view import Place
from qtquant_app.gui.plots.map_grid import Cell

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

HINT = "Point at the map, or use the arrow keys, to read a cell out; + and \u2212 zoom."


def read_out(preview: Preview, mean: bool, cell: Cell, place: Place) -> str:
    """One line, the value first. `cell` is where it is shown, `place` which rows and columns of the matrix that is."""
    weights = (cell.rows[1] - cell.rows[0]) * (cell.columns[1] - cell.columns[0])
    kind = "" if weights == 1 else "mean " if mean else "largest "
    parts = (f"{kind}{figure(cell.value)}", _channels(preview, cell, place), _columns(preview, cell, place))
    return "  \u00b7  ".join(parts)


def group_span(preview: Preview, place: Place) -> tuple[int, int]:
    """The columns of all groups that a place touches, or of the parts of the profile where there are no groups."""
    size = preview.group_columns
    return place.columns[0] // size * size, min(-(-place.columns[1] // size) * size, preview.shape[1])


def _channels(preview: Preview, cell: Cell, place: Place) -> str:
    if place.rows == (0, preview.shape[0]) and preview.shape[0] > 1:
        return "all channels"
    errors = preview.channel_relative_error[slice(*place.rows)]
    ratio = float(errors.max(initial=0.0))
    worst = "" if len(errors) == 1 else "up to "
    return (
        f"{stretch_text('channel', *place.rows)}{_more(cell.rows, place.rows)}: {worst}{percent(ratio)}, {_db(ratio)}"
    )


def _columns(preview: Preview, cell: Cell, place: Place) -> str:
    """The columns, and the groups they make where the scheme has groups, with the groups' error over all channels."""
    if place.columns == (0, preview.shape[1]):
        return "all columns"
    part = preview.group_columns
    errors = preview.group_relative_error[place.columns[0] // part : -(-place.columns[1] // part)]
    text = f"{stretch_text('column', *place.columns)}{_more(cell.columns, place.columns)}"
    size = preview.scheme.group_size
    if size is not None:
        text += f", {stretch_text('group', place.columns[0] // size, (place.columns[1] - 1) // size + 1)}"
    return f"{text}: {percent(float(errors.max(initial=0.0)))}"


def _more(shown: tuple[int, int], true: tuple[int, int]) -> str:
    """Where sorted rows or columns share a cell, how many there are besides the one that is named."""
    others = (shown[1] - shown[0]) - (true[1] - true[0])
    return f" and {plural(others, 'more', 'more')}" if others else ""


def _db(relative_error: float) -> str:
    """dB of a relative error: 20 log10(1 / r)."""
    return decibels(-20 * log10(relative_error) if relative_error > 0 else inf)
