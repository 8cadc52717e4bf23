"""What the weights are like from the first block to the last: a chart for each measure, a line for each module."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite

from qtquant_app.core.quantities import figure
from qtquant_app.core.scan import TensorScan, TensorStats
from qtquant_app.engine.report.html import Markup, element, joined
from qtquant_app.engine.report.rows import Layout, Row

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 380, 180, 56, 8, 10, 22
_COLOURS = 6
_DASHES = (None, "6 3", "2 3")
"""A line is told by its colour and its dashes together."""
_LINES = _COLOURS * len(_DASHES)

_MEASURES: tuple[tuple[str, Callable[[TensorStats], float]], ...] = (
    ("Range: largest |w|", lambda stats: stats.peak),
    ("Standard deviation", lambda stats: stats.std),
    ("Excess kurtosis", lambda stats: stats.kurtosis),
    ("Outliers, per million weights", lambda s: 1e6 * s.outliers / s.weights if s.weights else 0.0),
)


def depth_charts(layout: Layout) -> Markup:
    """All charts and what their lines mean. Where experts share a cell, the largest of their values is shown."""
    rows = [row for row in layout.rows if row.in_blocks and any(_is_matrix(cell) for cell in row.cells.values())]
    if not rows or len(layout.blocks) < 2:
        return element("p", "There are no two blocks to compare.", class_="faint")
    shown = rows[:_LINES]
    keys = [element("span", _sample(at), " ", row.label) for at, row in enumerate(shown)]
    more = element("p", f"{len(rows) - _LINES} more modules are in the table below.") if len(rows) > _LINES else ""
    charts = [_chart(title, measure, shown, layout.blocks) for title, measure in _MEASURES]
    return joined([element("p", *keys, class_="keys"), more, element("div", *charts, class_="charts")])


def _is_matrix(cell: Sequence[TensorScan]) -> bool:
    return len(cell[0].shape) > 1


def _sample(at: int) -> Markup:
    line = element("path", d="M0 5 H26", class_=f"line k{at % _COLOURS}", stroke_dasharray=_DASHES[at // _COLOURS])
    return element("svg", line, width=26, height=10, aria_hidden="true")


def _chart(title: str, measure: Callable[[TensorStats], float], rows: Sequence[Row], blocks: Sequence[int]) -> Markup:
    lines = [{c: max(measure(t.stats) for t in cell) for c, cell in row.cells.items()} for row in rows]
    values = [value for line in lines for value in line.values() if isfinite(value)]
    low, high = min([0.0, *values]), max([0.0, *values])
    high = high if high > low else low + 1.0
    across, down = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def at(column: int, value: float) -> tuple[float, float]:
        x = _LEFT + across * column / (len(blocks) - 1)
        return round(x, 1), round(_TOP + down * (1 - (value - low) / (high - low)), 1)

    parts = [_axis(value, at(0, value)[1]) for value in (low, (low + high) / 2, high)]
    for place, line in enumerate(lines):
        points = " ".join(f"{x},{y}" for x, y in (at(c, line[c]) for c in sorted(line) if isfinite(line[c])))
        dashes = _DASHES[place // _COLOURS]
        name = element("title", rows[place].label)
        parts.append(
            element("polyline", name, points=points, class_=f"line k{place % _COLOURS}", stroke_dasharray=dashes)
        )
    for column, side in ((0, "start"), (len(blocks) - 1, "end")):
        x = at(column, low)[0]
        parts.append(element("text", f"block {blocks[column]}", x=x, y=_HEIGHT - 6, text_anchor=side, class_="faint"))
    drawing = element(
        "svg", *parts, width="100%", viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img", aria_label=f"{title} by depth"
    )
    return element("figure", element("h3", title), drawing)


def _axis(value: float, y: float) -> Markup:
    line = element("path", d=f"M{_LEFT} {y} H{_WIDTH - _RIGHT}", class_="grid")
    return joined([line, element("text", figure(value), x=_LEFT - 6, y=y + 4, text_anchor="end", class_="faint")])
