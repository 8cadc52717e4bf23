"""Several lines over each other, told apart by dashes and width as well as by colour, and named in a legend."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPen

from qtquant_app.gui.plots.base import Plot, axis_font
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.plots.histogram import EMPTY, CountAxis
from qtquant_app.ramps import oklab_to_rgb

Values = NDArray[np.float64]

_STYLES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
    Qt.PenStyle.DashDotDotLine,
)
_WIDTHS = (2.0, 3.5)
_HUES = (255.0, 60.0, 330.0, 195.0, 105.0, 290.0)
"""Degrees of Oklch, far apart; never red against green."""
SAMPLE = 48
"""Pixels of the legend beside a name: the piece of line, and the air around both."""
_FIRST_NORMAL = 4
"""The first bin of |e| that holds no zero."""
_DECADES = 3
"""So far below the largest error the histogram reaches; what is smaller does not matter beside it."""

EDGES: Values = (np.arange(1021, dtype=np.uint32) << np.uint32(21)).view(np.float32).astype(np.float64)
"""Where the bins of an error histogram begin: the float32 numbers whose lower 21 bits are zero."""


@dataclass(frozen=True, slots=True)
class Curve:
    """A line: its name, and where it goes. With one more x than y, each y holds from one x to the next."""

    name: str
    x: Values
    y: Values

    @property
    def stepped(self) -> bool:
        return len(self.x) == len(self.y) + 1


def line_pen(theme: Theme, at: int) -> QPen:
    """The pen of line number `at`: no two of the first ten look alike without their colours."""
    lightness, angle = (0.78 if theme.dark else 0.5), np.radians(_HUES[at % len(_HUES)])
    rgb = oklab_to_rgb(np.array([[lightness, 0.13 * np.cos(angle), 0.13 * np.sin(angle)]]))[0].clip(0, 1)
    width = _WIDTHS[at // len(_STYLES) % len(_WIDTHS)]
    pen: QPen = pg.mkPen(QColor.fromRgbF(*rgb.tolist()), width=width, style=_STYLES[at % len(_STYLES)])
    return pen


class CurvesPlot(Plot):
    """Draws curves in the order given; the same place in it gets the same pen."""

    def __init__(self, name: str, spoken: str, axes: dict[str, pg.AxisItem] | None = None) -> None:
        super().__init__(name, spoken, axes)
        self._curves: tuple[Curve, ...] = ()
        self._lines: list[pg.PlotCurveItem] = []
        self._legend = pg.LegendItem(colCount=1)
        self.plot.layout.addItem(self._legend, 2, 3)  # beside the lines: on them it would hide some
        self.plot.layout.setAlignment(self._legend, Qt.AlignmentFlag.AlignTop)
        self.setMouseEnabled(x=True, y=False)
        self.recolour()

    @property
    def curves(self) -> tuple[Curve, ...]:
        return self._curves

    def draw_curves(self, curves: Sequence[Curve]) -> None:
        """Shows `curves` in place of those before."""
        self._curves = tuple(curves)
        for line in self._lines:
            self.removeItem(line)
        self._legend.clear()
        self._lines = []
        for curve in self._curves:
            line = pg.PlotCurveItem(curve.x, curve.y, stepMode="center" if curve.stepped else None, name=curve.name)
            self.addItem(line, ignoreBounds=True)
            self._lines.append(line)
            self._legend.addItem(line, curve.name)
        self._legend.setVisible(bool(self._curves))
        self.setAccessibleDescription(f"Lines, from the first: {', '.join(curve.name for curve in self._curves)}")
        self.recolour()
        self.show_all()

    def recolour(self) -> None:
        super().recolour()
        if self.__dict__.get("_lines") is None:
            return
        font = axis_font(self.font())
        for at, line in enumerate(self._lines):
            line.setPen(line_pen(self.theme, at))
        for _, label in self._legend.items:
            label.setText(label.text, color=self.theme.text, size=f"{font.pointSizeF():.1f}pt")
        rooms = [label.itemRect() for _, label in self._legend.items]
        self._legend.setFixedWidth(max((room.width() + SAMPLE for room in rooms), default=0.0))
        self._legend.setFixedHeight(sum(room.height() + 2 for room in rooms))

    def extent(self) -> tuple[Values, Values]:
        """All x, and all y."""
        none = np.array([0.0, 1.0])
        xs, ys = [curve.x for curve in self._curves], [curve.y for curve in self._curves]
        return np.concatenate(xs or [none]), np.concatenate(ys or [none])

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
        """A row for each point of each line."""
        rows = (
            (curve.name, x, y)
            for curve in self._curves
            for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=False)
        )
        return ("line", "x", "y"), rows


class PowerAxis(CountAxis):
    """An axis of logarithms, labelled with the powers of ten themselves."""

    def tickValues(self, low: float, high: float, size: float) -> list[tuple[float, list[float]]]:
        powers = np.arange(np.ceil(low), np.floor(high) + 1)
        step = max(1, -(-len(powers) // max(1, int(size // 48))))
        return [(float(step), [float(power) for power in powers][::step])]

    def tickStrings(self, values: Iterable[float], scale: float, spacing: float) -> list[str]:
        raised = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
        return ["1" if value == 0 else f"10{str(int(value)).translate(raised)}" for value in values]


class ErrorHistogramPlot(CurvesPlot):
    """How many weights are off by how much, both on logarithmic axes: a line for each scheme."""

    def __init__(self) -> None:
        axes = {"left": CountAxis("left"), "bottom": PowerAxis("bottom")}
        super().__init__("errorHistogramPlot", "Histograms of the errors", axes)
        self.axis("left", "weights")
        self.axis("bottom", "|error|")
        self._counts: dict[str, NDArray[np.int64]] = {}

    def draw(self, counts: dict[str, NDArray[np.int64]]) -> None:
        """Shows `counts` [1024] by the name of their scheme; where there is no error at all there is nothing to show."""
        self._counts = counts
        filled = [np.flatnonzero(c[_FIRST_NORMAL : len(EDGES) - 1]) + _FIRST_NORMAL for c in counts.values()]
        some = [places for places in filled if len(places)]
        last = max((int(places[-1]) for places in some), default=_FIRST_NORMAL)
        first = max(min((int(places[0]) for places in some), default=last), _bin_of(EDGES[last] / 10**_DECADES))
        x = np.log10(EDGES[first : last + 2])
        self.draw_curves([Curve(name, x, _heights(c[first : last + 1])) for name, c in counts.items()])

    def show_all(self) -> None:
        x, y = self.extent()
        top = max(float(y.max()), 1.0)
        self.setRange(xRange=(float(x.min()), float(x.max())), yRange=(EMPTY, 1.06 * top), padding=0)

    def table(self) -> tuple[Sequence[str], Iterable[Sequence[object]]]:
        """A row for each bin that is not empty: its scheme, where it begins and ends, and its count."""
        rows = (
            (name, EDGES[k], EDGES[k + 1], int(counts[k]))
            for name, counts in self._counts.items()
            for k in np.flatnonzero(counts[: len(EDGES) - 1]).tolist()
        )
        return ("scheme", "|error| from", "to", "weights"), rows


class ChannelErrorPlot(CurvesPlot):
    """The relative error of every channel, the worst first: a line for each scheme."""

    def __init__(self) -> None:
        super().__init__("channelCurvesPlot", "Error by channel, the worst first")
        self.axis("left", "relative error, %")
        self.axis("bottom", "channels, %")

    def draw(self, channels: dict[str, NDArray[np.float32]]) -> None:
        """Shows ||e|| / ||w|| of the channels, the largest first, by the name of their scheme."""
        self.draw_curves(
            [
                Curve(name, np.linspace(0.0, 100.0, len(found)), 100 * found.astype(np.float64))
                for name, found in channels.items()
            ]
        )

    def show_all(self) -> None:
        _, y = self.extent()
        self.setRange(xRange=(0.0, 100.0), yRange=(0.0, 1.06 * float(y.max()) or 1.0), padding=0)


def _heights(counts: NDArray[np.int64]) -> Values:
    heights: Values = np.where(counts > 0, np.log10(np.maximum(counts, 1)), EMPTY)
    return heights


def _bin_of(error: float) -> int:
    return int(np.searchsorted(EDGES, error, side="right")) - 1
