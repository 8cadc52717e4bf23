"""The map of the model with its choices, its legend and its read-out."""

from __future__ import annotations

from math import nan

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from qtquant_app.gui.models.measures import BY_KEY, MEASURES, Measure
from qtquant_app.gui.models.model_cells import cells_of
from qtquant_app.gui.models.scan_digest import Digest
from qtquant_app.gui.plots.map_legend import MapLegend
from qtquant_app.gui.plots.model_map import ModelMap, Spot
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Elided, Text

HINT = "Point at a cell, or walk with the arrow keys; a click or Enter selects its tensor."
WIDE = 760
"""Pixels from which on the legend stands beside the choices."""


class MapSide(QWidget):
    """Draws a Digest by the measure and the scheme that are chosen."""

    chosen = Signal(str)
    """The name of a tensor."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measure_combo, self.scheme_combo = ChoiceBox(), ChoiceBox()
        self.map = ModelMap()
        self.map.whole = self  # it says little without its legend
        self.legend = MapLegend()
        self.read_out = Elided(mode=Qt.TextElideMode.ElideMiddle)
        self.read_out.setObjectName("mapReadOut")
        self._under = Text("under")
        self._digest: Digest | None = None
        self._prepare()
        self._lay_out()
        self.map.pointed.connect(self._read)
        self.map.chosen.connect(self.chosen)
        self.measure_combo.currentIndexChanged.connect(self._draw)
        self.scheme_combo.currentIndexChanged.connect(self._draw)
        self._read(None)

    @property
    def measure(self) -> Measure:
        return BY_KEY[self.measure_combo.currentData()]

    def take(self, digest: Digest | None) -> None:
        """Shows `digest`; the scheme that was chosen stays where the new scan has it too."""
        schemes = digest.schemes if digest else ()
        if self._digest is None or self._digest.schemes != schemes:
            self._offer([scheme.label for scheme in schemes])
        self._digest = digest
        self._draw()

    def select(self, name: str) -> None:
        """Marks the cell of a tensor."""
        self.map.select(name)

    def _offer(self, labels: list[str]) -> None:
        before = self.scheme_combo.currentText()
        self.scheme_combo.blockSignals(True)
        self.scheme_combo.clear()
        self.scheme_combo.addItems(labels)
        fallback = min(1, len(labels) - 1)  # the first is nearly lossless in the usual schemes
        self.scheme_combo.setCurrentIndex(labels.index(before) if before in labels else fallback)
        self.scheme_combo.blockSignals(False)

    def _draw(self) -> None:
        depends = self.measure.scheme
        self.scheme_combo.setVisible(depends)
        self._under.setVisible(depends)
        scheme = self.scheme_combo.currentIndex()
        drawable = self._digest is not None and (scheme >= 0 or not depends)
        cells = cells_of(self._digest, self.measure, max(scheme, 0)) if self._digest and drawable else None
        self.map.subject = self._subject()
        self.legend.draw(cells)
        self.map.draw(cells)

    def _subject(self) -> str:
        """What the map shows, for the caption of a picture of it."""
        if self._digest is None:
            return ""
        under = f" under {self.scheme_combo.currentText()}" if self.measure.scheme else ""
        return f"{self._digest.report.label}, {self.measure.title}{under}"

    def _read(self, spot: Spot | None) -> None:
        cells = self.map.cells
        words = cells.words(*spot) if cells and spot else ""
        self.read_out.set_tone("text" if words else "muted")
        self.read_out.setText(words or HINT)
        self.map.setAccessibleDescription(words or HINT)
        self.legend.mark(float(cells.shades[spot]) if cells and spot else nan)

    def _prepare(self) -> None:
        self.measure_combo.setObjectName("mapMeasureCombo")
        self.measure_combo.setAccessibleName("What the map shows")
        self.measure_combo.setMinimumContentsLength(11)
        for measure in MEASURES:
            self.measure_combo.addItem(measure.title, measure.key)
        self.scheme_combo.setObjectName("mapSchemeCombo")
        self.scheme_combo.setAccessibleName("The scheme that the map shows")
        self.scheme_combo.setMinimumContentsLength(11)

    def _lay_out(self) -> None:
        self._line = QHBoxLayout()
        self._line.setSpacing(2 * GRID)
        title = QLabel("&Colour by")
        title.setBuddy(self.measure_combo)
        for widget in (title, self.measure_combo, self._under, self.scheme_combo):
            self._line.addWidget(widget)
        self._line.addStretch(1)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(GRID)
        self._column.addLayout(self._line)
        self._column.addWidget(self.legend)
        self._column.addWidget(self.map, 1)
        self._column.addWidget(self.read_out)
        self.setMinimumHeight(150)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Where there is room the legend moves up beside the choices: height is what a map lacks."""
        super().resizeEvent(event)
        wide = event.size().width() >= WIDE
        if wide == (self._line.indexOf(self.legend) >= 0):
            return
        if wide:
            self._column.removeWidget(self.legend)
            self._line.insertWidget(self._line.count() - 1, self.legend, 3)
        else:
            self._line.removeWidget(self.legend)
            self._column.insertWidget(1, self.legend)
