"""Distributions by depth, with the choice of measure, the legend of the lines and the read-out."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QListView, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from qtquant_app.core.quantities import figure
from qtquant_app.gui.models.depth_lines import DEPTH_MEASURES, Line, lines_of
from qtquant_app.gui.models.measures import BY_KEY, Measure
from qtquant_app.gui.models.scan_digest import Digest
from qtquant_app.gui.plots.depth_plot import DepthPlot, Spot
from qtquant_app.gui.plots.line_styles import SAMPLE, line_style
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.text import Elided, plain_tip

HINT = "Point at a line, or walk with the arrow keys."


class DepthSide(QWidget):
    """One plot; ticks in its legend choose the kinds of modules that it shows."""

    chosen = Signal(str)
    """The name of a tensor."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.measure_combo = ChoiceBox()
        self.plot = DepthPlot()
        self.plot.whole = self  # it says little without its legend
        self.legend = QListWidget()
        self.read_out = Elided(mode=Qt.TextElideMode.ElideMiddle)
        self.read_out.setObjectName("depthReadOut")
        self._digest: Digest | None = None
        self._selected = ""
        self._kinds: tuple[str, ...] = ()
        self._hidden: set[str] = set()
        self._dark = self.plot.theme.dark
        self._prepare()
        self._lay_out()
        self.measure_combo.currentIndexChanged.connect(self._draw)
        self.legend.itemChanged.connect(self._tick)
        self.plot.pointed.connect(self._read)
        self.plot.chosen.connect(self._choose)
        self._read(None)

    @property
    def measure(self) -> Measure:
        return BY_KEY[self.measure_combo.currentData()]

    def take(self, digest: Digest | None) -> None:
        """Shows the weights of `digest`."""
        self._digest = digest
        self._draw()

    def select(self, name: str) -> None:
        """Marks the point of a tensor."""
        self._selected = name
        self.plot.select(self._tensor)

    @property
    def _tensor(self) -> int:
        """The number of the selected tensor, or -1."""
        return self._digest.index.get(self._selected, -1) if self._digest else -1

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and self.__dict__.get("legend") is not None:
            self._fill_legend(self.plot.lines)

    def _draw(self) -> None:
        lines = lines_of(self._digest, self.measure) if self._digest else ()
        self.plot.subject = f"{self._digest.report.label}, {self.measure.title}" if self._digest else ""
        self.plot.draw(lines, self.measure.title, self._tensor)
        kinds = tuple(line.kind for line in lines)
        if kinds != self._kinds:
            self._kinds = kinds
            self._fill_legend(lines)

    def _fill_legend(self, lines: tuple[Line, ...]) -> None:
        self.legend.blockSignals(True)
        self.legend.clear()
        for line in lines:
            sample = line_style(line.row, self.plot.theme.dark).sample(max(2.0, self.devicePixelRatioF()))
            item = QListWidgetItem(sample, line.kind)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            item.setCheckState(Qt.CheckState.Unchecked if line.kind in self._hidden else Qt.CheckState.Checked)
            item.setToolTip(plain_tip(line.kind))
            self.legend.addItem(item)
        self.legend.blockSignals(False)

    def _tick(self, item: QListWidgetItem) -> None:
        (self._hidden.discard if item.checkState() == Qt.CheckState.Checked else self._hidden.add)(item.text())
        self.plot.hide_kinds(self._hidden)

    def _choose(self, tensor: int) -> None:
        if self._digest is not None:
            self.chosen.emit(self._digest.grid.names[tensor])

    def _read(self, spot: Spot | None) -> None:
        words = self._words(*spot) if spot is not None and self._digest is not None else ""
        self.read_out.set_tone("text" if words else "muted")
        self.read_out.setText(words or HINT)
        self.plot.setAccessibleDescription(words or HINT)

    def _words(self, at: int, place: int) -> str:
        line = self.plot.lines[at]
        low, high = float(line.low[place]), float(line.high[place])
        value = f"{figure(low)} to {figure(high)}" if self.measure.key == "range" else self.measure.say(high)
        return f"{line.kind}  \u00b7  block {line.depth[place]}  \u00b7  {self.measure.title.lower()} {value}"

    def _prepare(self) -> None:
        self.measure_combo.setObjectName("depthMeasureCombo")
        self.measure_combo.setAccessibleName("What is drawn against depth")
        self.measure_combo.setMinimumContentsLength(14)
        for measure in DEPTH_MEASURES:
            self.measure_combo.addItem(measure.title, measure.key)
        self.legend.setObjectName("depthLegend")
        self.legend.setAccessibleName("Kinds of modules that are drawn; Space shows or hides one")
        self.legend.setIconSize(SAMPLE)
        self.legend.setUniformItemSizes(True)
        self.legend.setFlow(QListView.Flow.TopToBottom)
        self.legend.setTextElideMode(Qt.TextElideMode.ElideLeft)
        self.legend.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.legend.setMinimumSize(QSize(120, 3 * self.legend.fontMetrics().height()))

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        title = QLabel("By &depth")
        title.setBuddy(self.measure_combo)
        line.addWidget(title)
        line.addWidget(self.measure_combo)
        line.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        column.addWidget(self.plot, 3)
        column.addWidget(self.read_out)
        column.addWidget(self.legend, 1)
        self.setMinimumWidth(220)
