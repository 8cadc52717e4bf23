"""Has the open model read a text for a statistics file, in the background: how far it is, and a button that stops it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from qtquant_app.core.events import Event, StageChanged, TextRead
from qtquant_app.core.quantities import duration_text
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.gather_statistics import Gathered


class StatisticsMaker(QWidget):
    """Shows only while it is at work."""

    made = Signal(str)
    """The file that was written."""
    failed = Signal(object)
    """QtQuantError: no file was written."""
    busy_changed = Signal(bool)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._latest = Latest(self)
        self._began = 0.0
        self.state = Text(muted=True, wrap=True)
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Progress of the column statistics")
        self.progress_bar.setTextVisible(False)
        self.stop_button = Button("Stop", name="stopStatisticsButton", tip="Stops the reading; no file is written")
        self.stop_button.setAccessibleName("Stop making the column statistics")
        line = QHBoxLayout()
        line.setSpacing(GRID)
        line.addWidget(self.progress_bar, 1)
        line.addWidget(self.stop_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.state)
        layout.addLayout(line)
        self.hide()
        self.stop_button.clicked.connect(self.stop)
        self._latest.batch.connect(self._on_batch)
        self._latest.result.connect(self._on_result)
        self._latest.failed.connect(self.failed)
        self._latest.busy_changed.connect(self.setVisible)
        self._latest.busy_changed.connect(self.busy_changed)

    @property
    def busy(self) -> bool:
        return self._latest.busy

    def start(self, path: str) -> None:
        """Makes a file of the open checkpoint at `path`, in place of what is there, in a worker."""
        checkpoint = self._session.checkpoint
        if checkpoint is not None:
            self._began = time.monotonic()
            self.progress_bar.setRange(0, 0)
            self.stop_button.setEnabled(True)
            self.state.setText("Loading the model…")
            self._latest.submit(self._session.verbs.gather_statistics(checkpoint, path, self._session.device))

    def stop(self) -> None:
        """Gives the file up, as soon as the model rests."""
        self.stop_button.setEnabled(False)
        self.state.setText("Stopping…")
        self._latest.cancel()

    def _on_batch(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case StageChanged():
                    self._began = time.monotonic()
                    self.state.setText("The model reads…")
                case TextRead():
                    self._show_read(event)

    def _show_read(self, read: TextRead) -> None:
        took = time.monotonic() - self._began
        left = took * (read.total - read.done) / max(1, read.done)
        self.progress_bar.setRange(0, max(1, read.total))
        self.progress_bar.setValue(read.done)
        self.state.setText(f"{read.done:,} of {read.total:,} tokens read, {duration_text(left)} left")

    def _on_result(self, found: Gathered) -> None:
        self._session.message.emit(f"Saved {found.output}: {found.layers:,} layers, {found.tokens:,} tokens read", "")
        self.made.emit(found.output)
