"""One tensor under two schemes: their error maps side by side in one set of colours, or the difference as one map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QVBoxLayout, QWidget

from qtquant_app.core.quantities import figure, stretch_text
from qtquant_app.core.view import MAX_CELLS, Place, View, Window
from qtquant_app.gui.plots.colour_bar import BAR, MARGIN, ColourBar
from qtquant_app.gui.plots.error_map import ErrorMap
from qtquant_app.gui.plots.map_grid import Cell, Grid
from qtquant_app.gui.widgets.text import Elided, Text

if TYPE_CHECKING:
    from qtquant_app.engine.pair import Pair

Grids = Callable[["Pair"], tuple[Grid, ...]]
Titles = Callable[["Pair"], tuple[str, ...]]

ZOOM_MS = 60
"""A zoom at rest for so long asks for its window."""
HINT = "Point at a map, or move over it with the arrow keys, to read both schemes out."


class PairMaps(QWidget):
    """What both views of a pair have in common: a window asked for on zoom, one cursor, a read-out, a colour bar."""

    window_wanted = Signal(object)
    """Window | None: the part in sight, worth finer cells than those of the whole; None where it is not."""
    pinned_changed = Signal(object)
    """Place | None."""

    def __init__(
        self, maps: tuple[ErrorMap, ...], caption: str, grids: Grids, titles: Titles, parent: QWidget | None = None
    ) -> None:
        """`grids` and `titles` make of a pair what each of `maps` shows and is called."""
        super().__init__(parent)
        self.maps, self._grids, self._name = maps, grids, titles
        self.titles = tuple(Elided(bold=True) for _ in maps)
        self.bar = ColourBar(caption)
        self.read_out = Text(HINT)
        self._pair: Pair | None = None
        self._part: Pair | None = None
        self._following = False
        self._timer = QTimer(self, singleShot=True, interval=ZOOM_MS)
        self._timer.timeout.connect(self._want_window)
        for map_ in maps:
            map_.axis("left", "channel" if map_ is maps[0] else "").setWidth(58)
            map_.axis("bottom", "column")
            map_.range_changed.connect(lambda *range_, of=map_: self._follow_range(of, range_))
            map_.cursor_changed.connect(lambda cell, of=map_: self._follow_cursor(of, cell))
            map_.pinned_changed.connect(self._follow_pin)
        maps[0].tones_changed.connect(self.bar.set_tones)
        self._lay_out()

    @property
    def pair(self) -> Pair | None:
        """What is shown; the whole of it."""
        return self._pair

    @property
    def part(self) -> Pair | None:
        """The finer cells that lie over it."""
        return self._part

    def draw(self, pair: Pair) -> None:
        """Shows the whole matrix of `pair`; the zoom stays where the matrix has the same shape."""
        self._pair, self._part = pair, None
        signed = len(self.maps) == 1
        levels, group = (None, None) if signed else ((0.0, pair.largest), pair.schemes[0].group_size)
        for map_, title, name, grid in zip(self.maps, self.titles, self._name(pair), self._grids(pair), strict=True):
            title.setText(name)
            map_.subject = f"{pair.layer}, {name}"
            map_.draw(grid, signed=signed, levels=levels, group=group)
        self._timer.start()

    def draw_part(self, pair: Pair | None) -> None:
        """Lays the window of `pair` over the whole; None takes it away."""
        self._part = pair
        for map_, grid in zip(self.maps, self._grids(pair) if pair else (None,) * len(self.maps), strict=True):
            map_.draw_part(grid)

    def pin(self, place: Place | None) -> None:
        """Keeps the cursor of all maps at `place`."""
        self._follow_pin(place)

    def _lay_out(self) -> None:
        self.bar.setFixedHeight(2 * self.bar.fontMetrics().height() + BAR + 3 * MARGIN)
        self.read_out.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.read_out.setFixedHeight(2 * self.fontMetrics().lineSpacing())
        self.read_out.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        for at, (map_, title) in enumerate(zip(self.maps, self.titles, strict=True)):
            grid.addWidget(title, 0, at)
            grid.addWidget(map_, 1, at)
        grid.setRowStretch(1, 1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(grid, 1)
        column.addWidget(self.bar)
        column.addWidget(self.read_out)

    def _follow_range(self, of: ErrorMap, range_: tuple[float, ...]) -> None:
        if self._following:
            return
        self._following = True
        left, right, top, bottom = range_
        for other in self.maps:
            if other is not of:
                other.setRange(xRange=(left, right), yRange=(top, bottom), padding=0)
        self._following = False
        self._timer.start()

    def _follow_cursor(self, of: ErrorMap, cell: Cell | None) -> None:
        if self._following:
            return
        self._following = True
        place = Place(cell.rows, cell.columns) if cell else None
        for other in self.maps:
            if other is not of:
                other.point_at(place)
        self._following = False
        self.bar.set_value(cell.value if cell else None)
        text = self._read(cell) if cell is not None else HINT
        self.read_out.setText(text)
        for map_ in self.maps:
            map_.setAccessibleDescription(text)

    def _follow_pin(self, place: Place | None) -> None:
        for map_ in self.maps:
            map_.pin(place)
        self.pinned_changed.emit(place)

    def _read(self, cell: Cell) -> str:
        """What both schemes do to a cell, and which is better."""
        pair = self._finest(cell)
        if pair is None:
            return HINT
        one, other = (Grid.of(picture).cell_of(cell.rows, cell.columns).value for picture in pair.pictures)
        better = "the same" if one == other else f"{pair.schemes[one > other].label} is better"
        where = f"{stretch_text('channel', *cell.rows)}, {stretch_text('column', *cell.columns)}"
        less = figure(one - other).replace("-", "\u2212")
        values = f"|error| A {figure(one)}, B {figure(other)}, A \u2212 B {less}: {better}"
        return f"{where}\n{values}"

    def _finest(self, cell: Cell) -> Pair | None:
        if self._part is not None and Grid.of(self._part.pictures[0]).holds(cell.rows, cell.columns):
            return self._part
        return self._pair

    def _want_window(self) -> None:
        if self._pair is not None and self.isVisible():
            self.window_wanted.emit(window_of(self.maps[0], self._pair))


class SideBySide(PairMaps):
    """A left, B right, in one set of colours that ends at the larger of their largest errors."""

    def __init__(self, parent: QWidget | None = None) -> None:
        maps = (ErrorMap("pairMapA", "Error map of A"), ErrorMap("pairMapB", "Error map of B"))
        super().__init__(maps, "Largest |error| of a cell, one scale for both", _both, _labels, parent)


class Difference(PairMaps):
    """|error| under A less that under B: above zero, where B is better."""

    def __init__(self, parent: QWidget | None = None) -> None:
        caption = "|error| of A \u2212 |error| of B, the largest of a cell: below 0 A is better, above it B"
        maps = (ErrorMap("pairDifferenceMap", "Difference of the errors of A and B"),)
        super().__init__(maps, caption, _difference, lambda pair: (" \u2212 ".join(_labels(pair)),), parent)


def _labels(pair: Pair) -> tuple[str, ...]:
    return tuple(f"{pin}: {scheme.label}" for pin, scheme in zip("AB", pair.schemes, strict=True))


def _both(pair: Pair) -> tuple[Grid, ...]:
    return tuple(Grid.of(picture) for picture in pair.pictures)


def _difference(pair: Pair) -> tuple[Grid, ...]:
    return (replace(Grid.of(pair.pictures[0]), values=pair.difference),)


def window_of(map_: ErrorMap, pair: Pair) -> Window | None:
    """The part of the matrix in sight, in as many cells as there are pixels; None where the whole's cells are as fine."""
    (left, right, top, bottom), (down, across), (rows, columns) = map_.visible, map_.pixels, pair.shape
    top_, bottom_ = max(0, int(top)), min(rows, -int(-bottom // 1))
    left_, right_ = max(0, int(left)), min(columns, -int(-right // 1))
    whole = pair.previews[0].picture
    if (whole.rows_per_cell, whole.columns_per_cell) == (1, 1) or (top_, bottom_, left_, right_) == (
        0,
        rows,
        0,
        columns,
    ):
        return None
    if top_ >= bottom_ or left_ >= right_:
        return None
    cells = (min(MAX_CELLS, int(down)), min(MAX_CELLS, int(across)))
    return Window(View.ABSOLUTE, top_, bottom_, left_, right_, *cells)
