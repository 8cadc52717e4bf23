"""What the scheme costs and loses on the tensor looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from qtquant_app.core.quantities import NOTHING, bytes_text, decibels, figure, percent
from qtquant_app.gui.widgets.metrics_table import MetricsTable
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


class FiguresPanel(QWidget):
    """A table of measures. Those of a sample are marked: they will change a little."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.metrics = MetricsTable("metricsTable", "Size and error under this scheme")
        self.note = Text(muted=True, wrap=True)
        self.copy_button = QPushButton("Copy")
        self.copy_button.setObjectName("copyMetricsButton")
        self.copy_button.setAccessibleName("Copy the figures")
        self.copy_button.clicked.connect(self.metrics.copy)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 4, 0, 0)
        column.addWidget(self.metrics)
        foot = QHBoxLayout()
        foot.addWidget(self.note, 1)
        foot.addWidget(self.copy_button, 0, Qt.AlignmentFlag.AlignTop)
        column.addLayout(foot)
        column.addStretch()
        self.draw(None, 0)

    def draw(self, preview: Preview | None, source_bytes: int) -> None:
        """Shows the figures of `preview`, beside the bytes that its tensor takes in the source."""
        values = _values(preview, source_bytes) if preview else [NOTHING] * len(MEASURES)
        raw = dict(zip(MEASURES, _raw(preview, source_bytes), strict=True)) if preview else None
        self.metrics.set_rows(list(zip(MEASURES, values, strict=True)), raw)
        self.copy_button.setEnabled(preview is not None and not preview.sampled)
        self.note.setText("From a sample; exact ones follow" if preview and preview.sampled else "")


def _raw(preview: Preview, source_bytes: int) -> tuple[object, ...]:
    """The measures as plain numbers, in their order."""
    errors = preview.errors
    sums = errors.sqnr_db, errors.relative_error, errors.mse, errors.max_error, errors.cosine
    return preview.bytes, source_bytes, preview.bits_per_weight, *sums, *preview.weight_range


def _values(preview: Preview, source_bytes: int) -> list[str]:
    errors, (low, high) = preview.errors, preview.weight_range
    about = "\u2248 " if preview.sampled else ""
    share = f" ({100 * preview.bytes / source_bytes:.1f} %)" if source_bytes else ""
    measured = [
        decibels(errors.sqnr_db),
        percent(errors.relative_error),
        figure(errors.mse),
        figure(errors.max_error),
        f"{errors.cosine:.6f}",
        figure(low),
        figure(high),
    ]
    return [
        bytes_text(preview.bytes) + share,
        bytes_text(source_bytes),
        f"{preview.bits_per_weight:.3f}",
        *(about + text for text in measured),
    ]
