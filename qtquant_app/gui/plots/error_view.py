"""The error map with its margins: error by column group above it, by channel beside it, one cursor through all three."""

from __future__ import annotations

from math import ceil, floor, isnan
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QTimer, Signal
from PySide6.QtWidgets import QWidget

from qtquant_app.core.view import MAX_CELLS, Place, View, Window
from qtquant_app.gui.plots.colour_bar import ColourBar
from qtquant_app.gui.plots.error_layout import ErrorLayout
from qtquant_app.gui.plots.error_map import ErrorMap
from qtquant_app.gui.plots.map_grid import Cell, Grid, Orders
from qtquant_app.gui.plots.map_windows import finer
from qtquant_app.gui.plots.margins import by_channel, by_column
from qtquant_app.gui.plots.profile import Profile
from qtquant_app.gui.plots.read_out import HINT, group_span, read_out
from qtquant_app.gui.plots.tones import Scaling
from qtquant_app.gui.widgets.text import plain_tip

if TYPE_CHECKING:
    from qtquant_app.engine.look import Picture
    from qtquant_app.engine.preview import Preview

SETTLE_MS = 60
"""How long the visible range rests before finer cells are asked for."""
GROWN = 1.02
"""A part that fills less than the visible range by this is coarse to look at, or hides peaks: all of it is shown again."""


class ErrorView(QWidget):
    """Shows where a preview's error sits; asks for what it cannot show from the picture that came with it."""

    view_changed = Signal(object)
    """View: another number of each weight is wanted; a preview with it is awaited."""
    window_wanted = Signal(object)
    """Window: to be answered with `draw_window`; a newer one takes the place of one that is not answered yet."""
    place_changed = Signal(object)
    """Place | None: what was pinned here by a click or a key, or let go."""
    place_pointed = Signal(object)
    """Place | None: what the cursor is over, pinned or not; its explanation is awaited with `set_detail`."""
    weight_pointed = Signal(object)
    """float | None: the weight under the cursor, where it is known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.map = ErrorMap()
        self.groups = Profile("groupErrorPlot", "Error by column group", upright=False)
        self.channels = Profile("channelErrorPlot", "Error by channel", upright=True)
        self.bar = ColourBar()
        self._preview: Preview | None = None
        self._picture: Picture | None = None
        self._part: Picture | None = None
        self._stale = False
        """Whether the picture is that of another scheme, kept until the one in its order comes."""
        self._asked: Window | None = None
        self._timer = QTimer(self, singleShot=True)
        self._timer.timeout.connect(self._ask)
        self._shown = ErrorLayout(self)
        self.choices = self._shown.choices
        self.sort_rows, self.sort_columns = self._shown.sort_rows, self._shown.sort_columns
        self.read_out, self.detail = self._shown.read_out, self._shown.detail
        self.map.whole = self  # it is copied and saved with its margins and its colour bar
        self._connect()

    def _connect(self) -> None:
        self.choices.view_changed.connect(self._change_view)
        self.choices.mean_changed.connect(self._redraw)
        self.choices.scaling_changed.connect(self._rescale)
        for box in (self.sort_rows, self.sort_columns):
            box.toggled.connect(lambda: self._ask_in(0))
        self.map.cursor_changed.connect(self._follow_cursor)
        self.map.range_changed.connect(self._follow_range)
        self.map.tones_changed.connect(self.bar.set_tones)
        self.map.pinned_changed.connect(self.place_changed)
        self.groups.hovered.connect(lambda x: self.map.point_at(self._group_at(x)))
        self.channels.hovered.connect(lambda y: self.map.point_at(self._channel_at(y)))
        self.groups.clicked.connect(lambda x: self.map.pin(self._group_at(x)))
        self.channels.clicked.connect(lambda y: self.map.pin(self._channel_at(y)))

    @property
    def view(self) -> View:
        """What is wanted of each weight; a preview is drawn in its own view."""
        return self.choices.view

    @property
    def place(self) -> Place | None:
        """What the cursor is over."""
        return self.map.place

    def draw(self, preview: Preview) -> None:
        """Shows the error of `preview`. Of the same tensor, a sorted picture stays until the new one of its kind comes."""
        before, self._preview, self._asked = self._preview, preview, None
        for plot in (self.map, self.groups, self.channels):
            plot.subject = f"{preview.layer}, {preview.scheme.label}"
        same = before is not None and (before.layer, before.shape) == (preview.layer, preview.shape)
        if not same:
            self.map.pin(None)
        shown = self._picture
        keeps = same and shown is not None and shown.window.view == preview.picture.window.view
        if keeps and shown is not None and self._sides(shown.window) == self._wanted_sides != (False, False):
            self._stale = True
            self._draw_margins()
        else:
            self._draw_whole(preview.picture)
        self._follow_cursor(self.map.cursor_cell)
        self._ask_in(0)

    def draw_window(self, picture: Picture) -> None:
        """Shows the answer to `window_wanted`: the whole in another order, or finer cells laid over a part.

        An answer that no longer fits what is shown is dropped.
        """
        window, preview, shown = picture.window, self._preview, self._picture
        self._asked = None
        if preview is None or shown is None or window.view != shown.window.view:
            return
        if self._sides(window) != self._wanted_sides or (window.bottom, window.right) > preview.shape:
            return
        if (window.top, window.bottom, window.left, window.right) == (0, preview.shape[0], 0, preview.shape[1]):
            self._draw_whole(picture)
            self._ask_in(0)
        elif self._sides(shown.window) == self._sides(window) and not self._stale:
            self._part = picture
            self.map.draw_part(Grid.of(picture, self.choices.mean))

    def set_detail(self, text: str, weight: float | None = None) -> None:
        """What the engine says about the weight under the cursor, in two lines at most, and the weight; until the cursor moves."""
        self.detail.setText(text)
        spoken = " ".join(text.split())
        self.detail.setToolTip(plain_tip(text))
        self.map.setAccessibleDescription(f"{self.read_out.full_text()}. {spoken}")
        if weight is not None:
            self.weight_pointed.emit(weight)

    def show_place(self, place: Place | None) -> None:
        """Zooms to `place` and pins it, unless it is pinned already; None lets the cursor go."""
        self.map.show_place(place)

    @property
    def _wanted_sides(self) -> tuple[bool, bool]:
        return self.sort_rows.isChecked(), self.sort_columns.isChecked()

    @staticmethod
    def _sides(window: Window) -> tuple[bool, bool]:
        return window.sort_rows, window.sort_columns

    def _change_view(self, view: View) -> None:
        self._timer.stop()
        self.view_changed.emit(view)

    def _draw_whole(self, picture: Picture) -> None:
        self._picture, self._part, self._stale = picture, None, False
        self._redraw()
        self._draw_margins()

    def _redraw(self) -> None:
        """Hands over the cells that are there, as largest values or as means."""
        picture, preview, part = self._picture, self._preview, self._part
        if picture is None or preview is None:
            return
        view, mean = picture.window.view, self.choices.mean
        group = None if picture.window.sort_columns else preview.scheme.group_size
        self._shown.name_axes(*self._sides(picture.window), strip=preview.shape[0] == 1)
        self.map.draw(Grid.of(picture, mean), view.signed, orders=Orders.of(picture), group=group)
        if part is not None:
            self._part = part
            self.map.draw_part(Grid.of(part, mean))
        self.bar.set_caption(f"{view.label}\n{view.formula}, {'mean' if mean else 'largest'} of a cell")

    def _rescale(self, scaling: Scaling) -> None:
        self.map.set_scaling(scaling)

    def _draw_margins(self) -> None:
        preview, orders = self._preview, self.map.orders
        if preview is not None:
            self.groups.draw(*by_column(preview, orders.columns))
            self.channels.draw(*by_channel(preview, orders.rows))
            self._follow_range(*self.map.visible)

    def _ask_in(self, milliseconds: int) -> None:
        self._timer.start(milliseconds)

    def _ask(self) -> None:
        """Asks for the one thing that is missing most: the right order, then finer cells of what is visible."""
        wanted = self._missing()
        if wanted is not None and wanted != self._asked:
            self.window_wanted.emit(wanted)
        self._asked = wanted

    def _missing(self) -> Window | None:
        preview, picture, whole = self._preview, self._picture, self.map.grid
        if preview is None or picture is None or whole is None or preview.sampled or not self.isEnabled():
            return None
        view, sides = picture.window.view, self._wanted_sides
        if view != self.view:
            return None  # a preview is on its way
        if self._stale or self._sides(picture.window) != sides:
            return Window(view, 0, preview.shape[0], 0, preview.shape[1], MAX_CELLS, MAX_CELLS, *sides)
        return finer(view, sides, whole, self.map.part, self.map.visible, self.map.pixels)

    def _follow_range(self, left: float, right: float, top: float, bottom: float) -> None:
        self.groups.follow(left, right)
        self.channels.follow(top, bottom)
        part = self.map.part
        if part is not None and (right - left > GROWN * part.columns or bottom - top > GROWN * part.rows):
            self._part = None
            self.map.draw_part(None)
        self._ask_in(SETTLE_MS)

    def _channel_at(self, y: float) -> Place | None:
        """The worst channel of those that share the pixel at display row `y`."""
        if self._preview is None or isnan(y):
            return None
        _, values = by_channel(self._preview, self.map.orders.rows)
        _, _, top, bottom = self.map.visible
        at = _peak(values, y, (bottom - top) / max(1.0, self.channels.view.height()))
        order = self.map.orders.rows
        row = at if order is None else int(order[at])
        return Place((row, row + 1), (0, self._preview.shape[1]))

    def _group_at(self, x: float) -> Place | None:
        """The worst group, or column where they are sorted, of those that share the pixel at display column `x`."""
        if self._preview is None or isnan(x):
            return None
        edges, values = by_column(self._preview, self.map.orders.columns)
        left, right, _, _ = self.map.visible
        size = edges[1] - edges[0]
        at = _peak(values, x / size, (right - left) / max(1.0, self.groups.view.width()) / size)
        order = self.map.orders.columns
        span = (int(edges[at]), int(edges[at + 1])) if order is None else (int(order[at]), int(order[at]) + 1)
        return Place((0, self._preview.shape[0]), span)

    def _follow_cursor(self, cell: Cell | None) -> None:
        preview, place, text = self._preview, self.map.place, HINT
        groups = channels = None
        if cell is not None and place is not None and preview is not None and self._picture is not None:
            text = read_out(preview, self.choices.mean, cell, place)
            spread = self.map.orders.columns is not None
            groups = cell.columns if spread else group_span(preview, place)
            channels = cell.rows
        self.groups.mark(None if groups is None or groups == (0, self.map.shape[1]) else groups)
        self.channels.mark(None if channels is None or channels == (0, self.map.shape[0]) else channels)
        self.bar.set_value(cell.value if cell else None)
        self.read_out.setText(text)
        self.detail.setText("")
        self.map.setAccessibleDescription(text)
        weights = self._picture is not None and self._picture.window.view == View.WEIGHT and not self.choices.mean
        self.weight_pointed.emit(cell.value if cell and weights else None)
        self.place_pointed.emit(place)


def _peak(values: np.ndarray, at: float, width: float) -> int:
    """The position of the largest of `values` within half of `width` around `at`."""
    first = min(max(0, floor(at - width / 2)), len(values) - 1)
    end = max(first + 1, min(len(values), ceil(at + width / 2)))
    if width < 1:
        return min(max(0, floor(at)), len(values) - 1)
    return first + int(np.argmax(np.nan_to_num(values[first:end], nan=-1.0)))
