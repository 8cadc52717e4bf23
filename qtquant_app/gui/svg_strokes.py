"""Makes Qt's SVG look the same in every reader: few of them know strokes that do not scale with what they are drawn on."""

from __future__ import annotations

import re

from PySide6.QtCore import QPointF
from PySide6.QtGui import QTransform

_PART = re.compile(
    r'<g [^>]*?transform="matrix\((?P<matrix>[^)]*)\)"'
    r'|<(?P<kind>path|polyline|rect)\s[^>]*?vector-effect="non-scaling-stroke"[^>]*?/>',
    re.DOTALL,
)
_POINT = re.compile(r"(-?[\d.]+(?:e[-+]?\d+)?),(-?[\d.]+(?:e[-+]?\d+)?)")
_FONT = re.compile(r'font-family="([^"]+)"')


def even_strokes(document: str) -> str:
    """`document`, an SVG of Qt's, with shapes under a scaled transform moved to where they end, and a font to fall back on.

    Each such shape gets its points transformed, and the inverse transform as its own, which leaves the width of its
    stroke as it is on the screen.
    """
    current = QTransform()

    def renew(found: re.Match[str]) -> str:
        nonlocal current
        if found["matrix"] is not None:
            a, b, c, d, e, f = (float(number) for number in found["matrix"].split(","))
            current = QTransform(a, b, c, d, e, f)
            return found[0]
        if not (current.isScaling() or current.isRotating()):
            return found[0]
        return _placed(found[0], found["kind"], current)

    return _FONT.sub(r'font-family="\1, sans-serif"', _PART.sub(renew, document))


def _placed(shape: str, kind: str, transform: QTransform) -> str:
    inverse, invertible = transform.inverted()  # type: ignore[misc]  # the stubs forget the flag
    if not invertible:
        return shape
    if kind == "rect":
        shape = _as_path(shape)
    back = (inverse.m11(), inverse.m12(), inverse.m21(), inverse.m22(), inverse.dx(), inverse.dy())
    numbers = ",".join(f"{number:.12g}" for number in back)

    def move(point: re.Match[str]) -> str:
        place = transform.map(QPointF(float(point[1]), float(point[2])))
        return f"{place.x():.6g},{place.y():.6g}"

    moved = _POINT.sub(move, shape)
    return moved.replace("vector-effect=", f'transform="matrix({numbers})" vector-effect=', 1)


def _as_path(shape: str) -> str:
    x, y, width, height = (float(_attribute(shape, name)) for name in ("x", "y", "width", "height"))
    corners = f"M{x!r},{y!r} L{x + width!r},{y!r} L{x + width!r},{y + height!r} L{x!r},{y + height!r} Z"
    return f'<path vector-effect="non-scaling-stroke" d="{corners}"/>'


def _attribute(shape: str, name: str) -> str:
    found = re.search(rf'\s{name}="([^"]*)"', shape)
    return found[1] if found else "0"
