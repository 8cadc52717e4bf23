"""The channels and groups that lose the most, each a click away from its place on the map."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log10, sqrt
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QModelIndex
from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.core.quantities import decibels, figure, percent
from qtquant_app.core.view import Place
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

MOST = 32
NO_CHECKPOINT = "Open a checkpoint on the Source page to see what loses the most."
NOTHING_CHOSEN = "Choose a tensor on the left: what loses the most is listed here."
LOSSLESS = "This scheme loses nothing here."


@dataclass(frozen=True, slots=True)
class Worst:
    """A channel, or a group of one, and what it loses."""

    place: Place
    square_error: float
    square_weight: float
    max_error: float
    total: float
    """Squared error of the whole tensor."""

    @property
    def relative(self) -> float:
        """||e|| / ||w||."""
        if self.square_weight > 0:
            return sqrt(self.square_error / self.square_weight)
        return inf if self.square_error else 0.0

    @property
    def share(self) -> float:
        """Of the squared error of the whole tensor."""
        return self.square_error / self.total if self.total else 0.0

    @property
    def sqnr(self) -> float:
        """dB."""
        return -20 * log10(self.relative) if 0 < self.relative < inf else -inf if self.relative else inf

    @property
    def channel(self) -> int:
        return self.place.rows[0]


_CHANNEL = Column("Channel", lambda w: f"{w.channel:,}", lambda w: w.channel, "88,888", True)
_COLUMNS = Column("Columns", lambda w: _span(*w.place.columns), lambda w: w.place.columns, "88,888 to 88,888")
_RELATIVE = Column("Relative", lambda w: percent(w.relative), lambda w: w.relative, "88.88 %", True)
_SQNR = Column("SQNR", lambda w: decibels(w.sqnr), lambda w: w.sqnr, "88.88 dB", True)
_SHARE = Column(
    "Share", lambda w: _short(100 * w.share), lambda w: w.square_error, "0.00088 %", True,
    lambda w: f"{percent(w.share)} of the squared error of the tensor",
)  # fmt: skip
_PEAK = Column("Max |e|", lambda w: figure(w.max_error), lambda w: w.max_error, "0.08888", True)


class WorstPanel(QWidget):
    """Two tables of at most 32 rows. A click, or Enter, goes to the place."""

    def __init__(self, session: Session, inspection: Inspection, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._inspection = session, inspection
        self._listed = ""
        self.channel_model = RowsModel((_CHANNEL, _SHARE, _RELATIVE, _PEAK, _SQNR), self)
        self.group_model = RowsModel((_CHANNEL, _COLUMNS, _SHARE, _PEAK), self)
        self.channels = Table(self.channel_model, "worstChannelsTable", "Channels that lose the most")
        self.groups = Table(self.group_model, "worstGroupsTable", "Groups that lose the most")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GRID, 0, 0)
        column.setSpacing(GRID)
        self.channels.set_narrow({0: "Channel", 1: "0.088 %", 2: "88.88 %", 3: "0.08888", 4: "88.88 dB"})
        self.groups.set_narrow({0: "Channel", 1: "8,888 to 8,888", 2: "0.088 %", 3: "0.08888"})
        for title, table in (("Worst channels", self.channels), ("Worst groups of a channel", self.groups)):
            table.clicked.connect(self._go)
            table.activated.connect(self._go)
            table.setMinimumHeight(24 * GRID)
            column.addWidget(Text(title, muted=True))
            column.addWidget(table, 1)
        inspection.preview_changed.connect(self._draw)
        inspection.part_changed.connect(lambda: self._draw(None))
        session.checkpoint_changed.connect(lambda: self._draw(inspection.preview))
        self._draw(inspection.preview)

    def _draw(self, preview: Preview | None) -> None:
        """Lists what `preview` says; without one the last list stays, for a newer one of the same tensor to replace."""
        if preview is None and self._listed and self._listed == self._inspection.part:
            return
        self._listed = preview.layer if preview is not None else ""
        self.channel_model.set_rows(_channels(preview) if preview is not None else ())
        self.group_model.set_rows(_groups(preview) if preview is not None else ())
        why = NOTHING_CHOSEN if preview is None else LOSSLESS
        if self._session.checkpoint is None:
            why = NO_CHECKPOINT
        for table in (self.channels, self.groups):
            table.set_empty_text(why)

    def _go(self, index: QModelIndex) -> None:
        model = index.model()
        if isinstance(model, RowsModel):
            place = model.row(index.row()).place
            if place == self._inspection.place:
                self._inspection.set_place(None)  # said anew: the map may have moved on since
            self._inspection.set_place(place)


def _short(share: float) -> str:
    """A share in percent, as far as it matters for which is worse; its tip has all of it."""
    if 0 < share < 1e-3:
        return "< 0.001 %"
    return f"{share:.2g} %" if share < 10 else f"{share:.0f} %"


def _span(first: int, end: int) -> str:
    return f"{first:,}" if end - first == 1 else f"{first:,} to {end - 1:,}"


def _channels(preview: Preview) -> list[Worst]:
    """The channels with the largest squared error, the largest first; those without any are no part of it."""
    errors = preview.channel_square_error
    count = min(MOST, len(errors))
    found = np.argpartition(-errors, count - 1)[:count]
    ranked = found[np.lexsort((found, -errors[found]))]
    columns, total = preview.shape[1], float(preview.channel_square_error.sum())
    return [
        Worst(
            Place((row, row + 1), (0, columns)),
            float(errors[row]),
            float(preview.channel_square_weight[row]),
            float(preview.channel_max_error[row]),
            total,
        )
        for row in ranked.tolist()
        if errors[row] > 0
    ]


def _groups(preview: Preview) -> list[Worst]:
    total = float(preview.channel_square_error.sum())
    return [
        Worst(
            Place((hot.row, hot.row + 1), (hot.first, hot.end)),
            hot.square_error,
            hot.square_weight,
            hot.max_error,
            total,
        )
        for hot in preview.worst_groups[:MOST]
        if hot.square_error > 0
    ]
