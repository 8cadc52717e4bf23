"""The map of a model as a drawing: blocks across, modules down, each cell as dark as its tensor's SQNR is low."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from qtquant_app.core.quantities import decibels, plural
from qtquant_app.core.report import TensorReport
from qtquant_app.core.scan import TensorScan
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.report.html import Markup, element
from qtquant_app.engine.report.rows import Layout, Row
from qtquant_app.ramps import magnitude_table

_CELL, _LEFT, _TOP, _LEGEND = 16, 230, 20, 46
_LABEL, _LEGEND_WIDTH = 34, 500


def model_map(layout: Layout, scheme: Scheme) -> Markup:
    """The drawing for one scheme, with its legend; a sentence where the scheme was tried on nothing."""
    rows = [row for row in layout.rows if any(_tried(cell, scheme) for cell in row.cells.values())]
    values = [worst.errors.sqnr_db for row in rows for cell in row.cells.values() for worst in _worst(cell, scheme)]
    known = [value for value in values if isfinite(value)]
    if not rows:
        return element("p", "No tensor could take this scheme.", class_="faint")
    low, high = (min(known), max(known)) if known else (0.0, 0.0)
    columns = max(1, len(layout.blocks))
    width = _LEFT + max(_CELL * columns + 20, _LEGEND_WIDTH)
    height = _TOP + _CELL * len(rows) + _LEGEND
    parts = [*_numbers(layout.blocks)]
    for at, row in enumerate(rows):
        parts += _row(row, at, scheme, layout.blocks, (low, high))
    parts += _legend(_TOP + _CELL * len(rows) + 16, low, high)
    title = f"SQNR of every tensor under {scheme.label}, from {decibels(low)} to {decibels(high)}"
    drawing = element(
        "svg", *parts, width=width, height=height, viewBox=f"0 0 {width} {height}", role="img", aria_label=title
    )
    return element("div", drawing, class_="scroll", tabindex=0)


def _tried(cell: Sequence[TensorScan], scheme: Scheme) -> list[TensorReport]:
    return [report for tensor in cell if (report := tensor.report(scheme)) is not None]


def _worst(cell: Sequence[TensorScan], scheme: Scheme) -> list[TensorReport]:
    """The report of the lowest SQNR, or nothing."""
    return sorted(_tried(cell, scheme), key=lambda report: report.errors.sqnr_db)[:1]


def _numbers(blocks: Sequence[int]) -> Iterator[Markup]:
    step = 1 if len(blocks) <= 16 else 5 if len(blocks) <= 80 else 20
    for at, block in enumerate(blocks):
        if at % step == 0:
            yield element(
                "text", block, x=_LEFT + _CELL * at + _CELL / 2, y=_TOP - 6, text_anchor="middle", class_="faint"
            )


def _row(row: Row, at: int, scheme: Scheme, blocks: Sequence[int], span: tuple[float, float]) -> Iterator[Markup]:
    y = _TOP + _CELL * at
    label = row.label if len(row.label) <= _LABEL else f"…{row.label[1 - _LABEL :]}"
    yield element("text", element("title", row.label), label, x=_LEFT - 8, y=y + 12, text_anchor="end")
    for column, cell in sorted(row.cells.items()):
        where = f"block {blocks[column]}, {row.label}" if row.in_blocks else row.label
        yield from _cell(cell, _LEFT + _CELL * column, y, scheme, where, span)


def _cell(
    cell: Sequence[TensorScan], x: int, y: int, scheme: Scheme, where: str, span: tuple[float, float]
) -> Iterator[Markup]:
    flags = sorted({flag for tensor in cell for flag in tensor.flags})
    worst = _worst(cell, scheme)
    told = decibels(worst[0].errors.sqnr_db) if worst else "not quantized"
    if len(cell) > 1:
        told = f"{plural(len(cell), 'tensor')}, the worst {told}"
    title = element("title", f"{where}: {told}" + (f"; {', '.join(flags)}" if flags else ""))
    size = _CELL - 1
    fill = _colour(worst[0].errors.sqnr_db, span) if worst else None
    yield element("rect", title, x=x, y=y, width=size, height=size, fill=fill, class_=None if fill else "empty")
    if flags:
        # A ring, since no meaning is told by colour alone.
        yield element("rect", title, x=x + 1, y=y + 1, width=size - 2, height=size - 2, rx=4, class_="mark")


def _colour(value: float, span: tuple[float, float]) -> str:
    """Dark where the SQNR is low; the map's lightness rises in even steps."""
    low, high = span
    part = 1.0 if value > high else 0.0 if value < low or low == high else (value - low) / (high - low)
    return "#" + "".join(f"{channel:02x}" for channel in magnitude_table(False)[round(255 * (1 - part))].tolist())


def _legend(y: int, low: float, high: float) -> Iterator[Markup]:
    steps, width = 32, 6
    for step in range(steps):
        value = low + (high - low) * step / (steps - 1)
        fill = _colour(value, (low, high))
        yield element("rect", x=_LEFT + width * step, y=y, width=width, height=12, fill=fill)
    end = _LEFT + width * steps
    yield element("text", f"{decibels(low)}, worst", x=_LEFT - 8, y=y + 10, text_anchor="end")
    yield element("text", f"{decibels(high)}, best; a ring marks a flagged tensor", x=end + 8, y=y + 10)
