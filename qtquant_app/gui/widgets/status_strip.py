"""The strip at the bottom: device, memory and its ceiling, the running job, the last message with its detail."""

from __future__ import annotations

from PySide6.QtCore import QRectF, Qt, QTimer
from PySide6.QtGui import QPainter, QPaintEvent
from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from qtquant_app.core.quantities import bytes_text, duration_text, share_text
from qtquant_app.gui.memory import used_bytes
from qtquant_app.gui.progress import Progress
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID, colors
from qtquant_app.gui.widgets.details import DetailsDialog
from qtquant_app.gui.widgets.text import Elided, Text, plain_tip

MEMORY_MS = 1000
HEIGHT = 8 * GRID
STEPS = 24 * GRID
"""One a pixel: a progress bar repaints at every step."""


class StatusStrip(QWidget):
    """Reads the session and shows it; changes nothing."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("statusStrip")
        self.setAccessibleName("Status")
        self._session = session
        self._detail = ""
        from qtquant_app.engine.memory import ceiling_bytes  # the window is there before the engine is

        self._ceiling = ceiling_bytes()
        self.device = Text(muted=True)
        self.memory = Text(muted=True)
        self.job = Text()
        self.job_bar = QProgressBar()
        self.message = Elided(mode=Qt.TextElideMode.ElideRight)
        self.details_button = QPushButton("Details")
        self._name()
        self._lay_out()
        self._connect()
        self._show_device()
        self._show_memory()

    def show_message(self, text: str, detail: str) -> None:
        """Shows `text`; with a detail, a link to it."""
        self._detail = detail
        self.message.setText(text)
        self.details_button.setVisible(bool(detail))

    def _name(self) -> None:
        self.job_bar.setAccessibleName("Progress of the running job")
        self.job_bar.setRange(0, STEPS)
        self.job_bar.setTextVisible(False)
        self.job_bar.setFixedWidth(STEPS)
        self.details_button.setObjectName("messageDetailsButton")
        self.details_button.setAccessibleName("Details of the message")
        self.details_button.setFlat(True)
        self.details_button.setVisible(False)
        self.message.setObjectName("statusMessage")
        self.memory.setMinimumWidth(self.memory.fontMetrics().horizontalAdvance("8.88 GB of 88.8 GB"))
        for widget in (self.job_bar, self.job):
            widget.setVisible(False)

    def _lay_out(self) -> None:
        self.setFixedHeight(max(HEIGHT, self.fontMetrics().height() + 3 * GRID))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(4 * GRID, 0, 4 * GRID, 0)
        layout.setSpacing(4 * GRID)
        for widget in (self.device, self.memory, self.job_bar, self.job):
            layout.addWidget(widget)
        layout.addWidget(self.message, 1)
        layout.addWidget(self.details_button)

    def _connect(self) -> None:
        session = self._session
        session.message.connect(self.show_message)
        session.device_changed.connect(self._show_device)
        session.plan_changed.connect(self._show_device)
        session.runner.progressed.connect(self._show_job)
        session.runner.state_changed.connect(self._show_job)
        session.verifier.progressed.connect(self._show_job)
        session.verifier.busy_changed.connect(self._show_job)
        self.details_button.clicked.connect(self._show_details)
        self._clock = QTimer(self, interval=MEMORY_MS)
        self._clock.timeout.connect(self._show_memory)
        self._clock.start()

    def _show_device(self) -> None:
        plan, device = self._session.plan, self._session.device
        self.device.setText(f"Device {plan.device if plan else device}")

    def _show_memory(self) -> None:
        text = f"{bytes_text(used_bytes())} of {bytes_text(self._ceiling)}"
        self.memory.setText(text)
        plan = self._session.plan
        forecast = f"; the run is expected to peak at {bytes_text(plan.peak_ram_bytes)}" if plan else ""
        self.memory.setToolTip(plain_tip(f"Memory this program uses, of what there is{forecast}"))
        self.memory.setAccessibleName(f"Memory {text}")

    def _show_job(self) -> None:
        runner, verifier = self._session.runner, self._session.verifier
        if runner.state.active:
            waits = runner.waits_for and runner.state is RunState.RUNNING
            self._show_progress("Waiting at" if waits else _WORDS[runner.state], runner.progress)
        elif verifier.busy:
            self._show_progress("Verifying", verifier.progress)
        else:
            self.job_bar.setVisible(False)
            self.job.setVisible(False)

    def _show_progress(self, word: str, progress: Progress) -> None:
        left = f", {duration_text(progress.seconds_left)} left" if progress.seconds_left is not None else ""
        self.job.setText(f"{word} {share_text(progress.fraction, 1, 0)}{left}")
        self.job_bar.setValue(round(STEPS * progress.fraction))
        self.job.setVisible(True)
        self.job_bar.setVisible(True)

    def _show_details(self) -> None:
        DetailsDialog(self.message.full_text(), self._detail, self.window()).show()

    def paintEvent(self, event: QPaintEvent) -> None:
        painter = QPainter(self)
        painter.fillRect(QRectF(0, 0, self.width(), 1), colors(self.palette()).line)
        painter.end()


_WORDS = {RunState.RUNNING: "Running", RunState.PAUSED: "Paused at", RunState.CANCELLING: "Cancelling at"}
