"""The right side of the Inspect page: the knobs, what they cost and lose, and where to use them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, figure, percent
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.widgets.metrics_table import MetricsTable
from qtquant_app.gui.widgets.scheme_editor import SchemeEditor
from qtquant_app.gui.widgets.text import Text

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

MEASURES = (
    "Size",
    "Source size",
    "Bits per weight",
    "SQNR",
    "Relative error",
    "Mean square error",
    "Largest error",
    "Cosine",
    "Smallest weight",
    "Largest weight",
)


class SchemePanel(QScrollArea):
    """Edits the scheme that is previewed, and hands it on to the whole model or to one layer."""

    scheme_changed = Signal(object)
    """Scheme"""
    for_model = Signal(object)
    """Scheme, wanted for the whole model."""
    for_layer = Signal(object)
    """Scheme, wanted for the selected layer."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editor = SchemeEditor("inspect")
        self.model_button = QPushButton("&Use for the whole model")
        self.rule_button = QPushButton("Add as a &rule for this layer")
        self.hint = Text(muted=True, wrap=True)
        self.metrics = MetricsTable("metricsTable", "Size and error under this scheme")
        self.copy_button = QPushButton("&Copy")
        self._name_widgets()
        self._lay_out()
        self.editor.scheme_changed.connect(self.scheme_changed)
        self.model_button.clicked.connect(lambda: self.for_model.emit(self.editor.scheme))
        self.rule_button.clicked.connect(lambda: self.for_layer.emit(self.editor.scheme))
        self.copy_button.clicked.connect(self.metrics.copy)
        self.draw(None, 0)

    @property
    def scheme(self) -> Scheme:
        return self.editor.scheme

    def draw(self, preview: Preview | None, source_bytes: int) -> None:
        """Shows the figures of `preview`, beside the bytes that its tensor takes in the source."""
        values = _values(preview, source_bytes) if preview else [NOTHING] * len(MEASURES)
        self.metrics.set_rows(list(zip(MEASURES, values, strict=True)))
        self.copy_button.setEnabled(preview is not None)

    def offer(self, *, model: str, layer: str) -> None:
        """Enables each button whose text is empty; another text says why there is nothing to do."""
        for button, why, title in (
            (self.model_button, model, "Makes this the default scheme of the recipe"),
            (self.rule_button, layer, "Makes this the scheme of the selected layer alone"),
        ):
            button.setEnabled(not why)
            button.setToolTip(why or title)
        self.hint.setText(layer)

    def _name_widgets(self) -> None:
        self.model_button.setObjectName("useForModelButton")
        self.model_button.setAccessibleName("Use this scheme for the whole model")
        self.rule_button.setObjectName("addRuleButton")
        self.rule_button.setAccessibleName("Add this scheme as a rule for the selected layer")
        self.copy_button.setObjectName("copyMetricsButton")
        self.copy_button.setAccessibleName("Copy the figures")
        self.hint.setObjectName("schemeHint")

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 4, 0)
        column.setSpacing(8)
        for widget in (self.editor, self.model_button, self.rule_button):
            column.addWidget(widget)
        column.addSpacing(8)
        column.addWidget(self.metrics)
        foot = QHBoxLayout()
        foot.addWidget(self.hint, 1)  # below all else: it comes and goes, and nothing may jump with it
        foot.addWidget(self.copy_button, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(foot)
        column.addStretch()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(inner)
        self.setMinimumWidth(inner.minimumSizeHint().width() + 8)


def _values(preview: Preview, source_bytes: int) -> list[str]:
    errors, (low, high) = preview.errors, preview.weight_range
    share = f" ({100 * preview.bytes / source_bytes:.1f} %)" if source_bytes else ""
    return [
        bytes_text(preview.bytes) + share,
        bytes_text(source_bytes),
        f"{preview.bits_per_weight:.3f}",
        decibels(errors.sqnr_db),
        percent(errors.relative_error),
        figure(errors.mse),
        figure(errors.max_error),
        f"{errors.cosine:.6f}",
        figure(low),
        figure(high),
    ]
