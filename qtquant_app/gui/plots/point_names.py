"""Names beside the points of a plot, each where it covers nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pyqtgraph as pg
from PySide6.QtCore import QPointF, QRectF

POINT = 10.0
"""Pixels that a point takes."""
STEP = 6.0
"""Pixels between the places of a line that a name must not cover."""
MARGIN = 4.0
"""Pixels around the letters of a name that belong to it."""
_SIDES = ((0.0, 0.5), (0.0, 1.0), (0.5, 1.0), (0.0, 0.0), (1.0, 1.0), (1.0, 0.5), (0.5, 0.0), (1.0, 0.0))
"""Which place of a name lies at its point, in widths and heights of the name."""
_GAPS = (3.0, 12.0, 24.0)
"""Pixels from the point to its name, the near ones first."""

Spot = tuple[QRectF, tuple[float, float]]
"""Where a name may stand, and the anchor that puts it there."""


def shortened(labels: Sequence[str]) -> list[str]:
    """`labels` without the words that tell none of them apart: only bits and groups where those are enough."""
    for count in (2, 3, 4):
        short = [" ".join(label.split()[:count]) for label in labels]
        if len(set(short)) == len(labels):
            return short
    return list(labels)


def part(names: Sequence[pg.TextItem], points: Sequence[QPointF], line: Sequence[QPointF], within: QRectF) -> None:
    """Puts each name beside its point, inside `within`, where it covers no point, no other name and no part of `line`.

    Where there is no such place it may cover `line`, and where there is none even so it is not shown. All places are in the scene.
    """
    taken = [QRectF(place.x() - POINT / 2, place.y() - POINT / 2, POINT, POINT) for place in points]
    curve = [QRectF(place.x() - 1, place.y() - 1, 2, 2) for place in _filled(line)]
    for item, place in zip(names, points, strict=True):
        size = item.boundingRect().size()
        spots = [spot for spot in _spots(place, size.width(), size.height()) if within.contains(_inked(spot[0]))]
        free = _free(spots, [*taken, *curve]) or _free(spots, taken)
        item.setVisible(free is not None)
        if free is not None:
            item.setAnchor(free[1])
            taken.append(_inked(free[0]))


def _spots(place: QPointF, width: float, height: float) -> list[Spot]:
    found = []
    for gap in _GAPS:
        for across, down in _SIDES:
            left = place.x() - across * width + gap * (1 - 2 * across)
            top = place.y() - down * height + gap * (1 - 2 * down) * 0.6
            anchor = ((place.x() - left) / (width or 1), (place.y() - top) / (height or 1))
            found.append((QRectF(left, top, width, height), anchor))
    return found


def _free(spots: Sequence[Spot], taken: Sequence[QRectF]) -> Spot | None:
    return next((spot for spot in spots if not any(_inked(spot[0]).intersects(other) for other in taken)), None)


def _inked(spot: QRectF) -> QRectF:
    """What of the place of a name is not its margin."""
    return spot.adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)


def _filled(line: Sequence[QPointF]) -> list[QPointF]:
    """`line` as points STEP pixels apart or nearer, and not many more of them than that takes."""
    found = list(line[:1])
    for place in line[1:]:
        way = place - found[-1]
        steps = int(max(abs(way.x()), abs(way.y())) // STEP)
        if steps:
            start = found[-1]
            found += [start + way * ((i + 1) / steps) for i in range(steps)]
    return found
