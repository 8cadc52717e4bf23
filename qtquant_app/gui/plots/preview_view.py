"""The centre of the Inspect page: the picture of one tensor under one scheme, and what there is to say about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import QHBoxLayout, QSizePolicy, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import bytes_text, duration_text, rate_text, shape_text
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.plots.error_view import ErrorView
from qtquant_app.gui.plots.histogram import HistogramPlot
from qtquant_app.gui.progress import Progress
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.text import Elided, Text

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

UPDATING_AFTER_MS = 120
"""An answer that comes sooner than this needs no sign that it is awaited."""

READING = "Reading the weights …"
CAPTION = "Weights, and the levels of a group with the median scale"
NO_LEVELS = "Weights; blocks with scales within scales have no levels in common"


class PreviewView(QWidget):
    """Keeps the last picture until the next one arrives, saying meanwhile that it is about to change."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = Elided(bold=True)
        self.detail = Text()
        self.status = Text(muted=True)
        self.caption = Elided(CAPTION, muted=True, mode=Qt.TextElideMode.ElideRight)
        self.note = Text(wrap=True, warning=True)
        self.fetch_button = Button("Fetch it", name="fetchTensorButton", primary=True)
        self.empty = Placeholder("", button=self.fetch_button)
        self.fetching = False
        """Whether a tensor is on its way from the Hub."""
        self.histogram = HistogramPlot()
        self.errors = ErrorView()
        self.preview: Preview | None = None
        """What the plots show; None while they are hidden."""
        self._awaited = ""
        self._timer = QTimer(self, singleShot=True, interval=UPDATING_AFTER_MS)
        self._timer.timeout.connect(self._say_awaited)
        self._name_labels()
        self._lay_out()

    def draw(self, preview: Preview, remark: str = "") -> None:
        """Shows the picture that was awaited; one from a sample says so. `remark` stands above it."""
        self.preview = preview
        self.settle()
        if preview.sampled:
            self.status.setText(f"\u2248 sample: {preview.sampled:,} of {preview.shape[0]:,} channels")
        self.remark(remark)
        self.title.setText(preview.layer)
        self.detail.setText(f"{shape_text(preview.shape)}  {preview.stored}  {preview.scheme.label}")
        self.histogram.subject = f"{preview.layer}, {preview.scheme.label}"
        self.histogram.draw(preview.histogram_edges, preview.histogram_counts, preview.levels)
        self.caption.setText(CAPTION if len(preview.levels) else NO_LEVELS)
        self.errors.draw(preview)
        self._stack.setCurrentWidget(self._plots)

    def remark(self, text: str) -> None:
        """What there is to know about the tensor, above its picture."""
        self.note.setText(text)
        self.note.setVisible(bool(text))

    def wait_for(self, layer: str, scheme: Scheme) -> None:
        """Marks the picture, or the place where it will be, as about to change."""
        same = self.preview is not None and self.preview.layer == layer
        self._awaited = f"Updating: {scheme.label} …" if same else f"Updating: {layer} …"
        if self.preview is None:
            self.title.setText(layer)
        if self.status.text():
            self._say_awaited()
        elif not self._timer.isActive():
            self._timer.start()

    def _say_awaited(self) -> None:
        self.status.setText(self._awaited)
        if self.preview is None:
            self._show_empty(READING, "")

    def settle(self) -> None:
        """Nothing is awaited any more."""
        self._timer.stop()
        self.status.clear()

    def explain(self, layer: str, error: QtQuantError) -> None:
        """Says why there is no picture: beside the last one of the same tensor, or in place of one of another."""
        sentence, hint = _sentence(error.message), _sentence(window_hint(error))
        if self.preview is not None and self.preview.layer == layer:
            self.settle()
            self.note.setText(f"{sentence} {hint}".rstrip())
            self.note.show()
        else:
            self.say(sentence, hint, layer)

    def say(self, sentence: str, explanation: str = "", title: str = "") -> None:
        """Shows words in place of the plots."""
        self.settle()
        self.preview = None
        self.note.hide()
        self.title.setText(title)
        self.detail.clear()
        self._show_empty(sentence, explanation)

    def offer_fetch(self, layer: str, cost: int) -> None:
        """Says what looking at a tensor that is not here would transfer, with the button that does it."""
        size = bytes_text(cost)
        self.say(
            f"This tensor is on the Hub: {size} to look at it.", "What was fetched is kept for the next time.", layer
        )
        self._offer_button(f"Fetch {size} to look at it")

    def show_fetching(self, progress: Progress | None) -> None:
        """How far the tensor is that is on its way; None where nothing has come yet."""
        far = "Asking the Hub…"
        if progress is not None:
            done = f"{bytes_text(progress.bytes_done)} of {bytes_text(progress.bytes_total)}"
            far = f"{done}, {rate_text(progress.rate)}, {duration_text(progress.seconds_left)} left"
        self._timer.stop()
        if self.preview is not None:
            self.status.setText(f"Fetching: {far}")
            return
        self.status.clear()
        self._show_empty("Fetching the tensor from the Hub", far)
        self.fetching = True
        self._offer_button("Stop")

    def _offer_button(self, text: str) -> None:
        self.fetch_button.setText(text)
        self.fetch_button.setAccessibleName(text)
        self.fetch_button.show()

    def _show_empty(self, sentence: str, explanation: str) -> None:
        self.empty.sentence.setText(sentence)
        self.empty.explanation.setText(explanation)
        self.fetch_button.hide()
        self.fetching = False
        self._stack.setCurrentWidget(self.empty)

    def _name_labels(self) -> None:
        self.title.setObjectName("inspectTitle")
        self.status.setObjectName("inspectStatus")
        self.status.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        self.note.setObjectName("inspectNote")
        self.note.hide()
        self.empty.setObjectName("inspectEmpty")
        self.fetch_button.hide()

    def _lay_out(self) -> None:
        self._plots = QSplitter(Qt.Orientation.Vertical)
        self._plots.setChildrenCollapsible(False)
        self._plots.addWidget(_captioned(self.caption, self.status, self.histogram))
        self._plots.addWidget(self.errors)
        self._plots.setStretchFactor(0, 1)
        self._plots.setStretchFactor(1, 3)
        self._plots.setSizes([160, 480])
        self._stack = QStackedWidget()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self._plots)
        line = QHBoxLayout()
        line.setSpacing(3 * GRID)
        line.addWidget(self.title, 1)
        line.addWidget(self.detail)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GRID, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        column.addWidget(self.note)
        column.addWidget(self._stack, 1)


def _captioned(caption: QWidget, status: QWidget, plot: QWidget) -> QWidget:
    """`plot` below its caption; `status` comes and goes at the end of that line, where it moves nothing."""
    box = QWidget()
    line = QHBoxLayout()
    line.addWidget(caption, 1)
    line.addWidget(status)
    column = QVBoxLayout(box)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(2)
    column.addLayout(line)
    column.addWidget(plot, 1)
    return box


def _sentence(text: str) -> str:
    """An error's words as a sentence; the name of a tensor keeps its first letter as it is."""
    first = text.partition(" ")[0]
    start = text[:1].upper() if first.isalpha() else text[:1]
    return f"{start}{text[1:].rstrip('.')}." if text else ""
