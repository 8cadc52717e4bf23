"""Holds a quantized checkpoint, whoever made it, against the one it was made from: in the background, to be stopped."""

from __future__ import annotations

import time

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QProgressBar, QStackedWidget, QVBoxLayout, QWidget

from qtquant_app.core.audit import AuditReport
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event, RunStarted, Warned
from qtquant_app.core.quantities import duration_text, plural
from qtquant_app.gui.progress import ProgressMeter
from qtquant_app.gui.session import Session
from qtquant_app.gui.summary import lasting_name
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.audit_result import AuditResult
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.path_field import PathField
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.text import Text, plain_tip
from qtquant_app.jobs.latest import Latest

WEIGHTS = "Weights (*.safetensors *.gguf *.bin *.pt *.pth);;All files (*)"
_HINT = "a folder, a file, or org/name of a model that is in the Hub's cache"
_NEXT = "Name both checkpoints above, or drop them there, and press Audit. Only reading is done; no file is changed."
_ABOUT = "It tells the error of each tensor, what was skipped, scales that are off, and where the files disagree with their config."


class AuditPanel(QWidget):
    """Two fields, of which the checkpoint that is open fills one; then what was found."""

    audited = Signal(object)
    """AuditReport."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("auditPanel")
        self._session = session
        self._latest = Latest(self)
        self._meter = ProgressMeter(0.0)
        self._warned: list[str] = []
        self.other_field = PathField("auditOther", "Quantized checkpoint", hint=_HINT, files=WEIGHTS)
        self.base_field = PathField("auditBase", "Base of the audit", hint=_HINT, files=WEIGHTS)
        self.audit_button = Button("A&udit", "check", name="auditButton", primary=True)
        self.stop_button = Button("Stop", name="stopAuditButton", tip="Stops the audit")
        self.stop_button.setAccessibleName("Stop the audit")
        self.state = Text(muted=True, wrap=True)
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Progress of the audit")
        self.progress_bar.setRange(0, 1000)
        self.progress_bar.setTextVisible(False)
        self.error_panel = ErrorPanel("auditErrorPanel")
        self.result = AuditResult()
        self._empty = Placeholder(_NEXT, _ABOUT)
        self._below = QStackedWidget()
        self._lay_out()
        self._connect()
        self._offer()

    @property
    def busy(self) -> bool:
        return self._latest.busy

    def show_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        """Puts what was opened where it belongs: quantized ones are audited, float ones are what others are held against."""
        if checkpoint is None:
            return
        name = lasting_name(checkpoint)
        field, other = self.base_field, self.other_field
        if checkpoint.packed_by:
            field, other = other, field
        field.set_path(name)
        if other.path == name:
            other.set_path("")

    def ask(self) -> None:
        """Puts the keyboard where something is missing, or on the button where nothing is."""
        empty = [field.edit for field in (self.other_field, self.base_field) if not field.path]
        (empty[0] if empty else self.audit_button).setFocus(Qt.FocusReason.OtherFocusReason)

    def start(self) -> None:
        """Audits in a worker."""
        self.error_panel.show_error(None)
        self._below.setCurrentWidget(self._empty)
        self._meter = ProgressMeter(time.monotonic())
        self._warned = []
        self.progress_bar.setValue(0)
        self._latest.submit(
            self._session.verbs.audit(self._source(self.other_field.path), self._source(self.base_field.path))
        )
        self.state.setText("Reading headers…")

    def _source(self, path: str) -> str | Checkpoint:
        """What is open already is not opened again."""
        opened = self._session.checkpoint
        return opened if opened is not None and path == lasting_name(opened) else path

    def _lay_out(self) -> None:
        card = Card()
        grid = QGridLayout()
        grid.setSpacing(GRID)
        for row, (title, field) in enumerate((("Quantized", self.other_field), ("Made from", self.base_field))):
            grid.addWidget(Text(title, muted=True), row, 0)
            grid.addWidget(field, row, 1)
        foot = QHBoxLayout()
        foot.setSpacing(2 * GRID)
        foot.addWidget(self.state, 1)
        foot.addWidget(self.stop_button)
        foot.addWidget(self.audit_button)
        card.add(grid)
        card.add(foot)
        card.add(self.progress_bar)
        self.progress_bar.hide()
        self.stop_button.hide()
        self._below.addWidget(self._empty)
        self._below.addWidget(self.result)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(GRID, 2 * GRID, GRID, GRID)
        layout.setSpacing(2 * GRID)
        layout.addWidget(card)
        layout.addWidget(self.error_panel)
        layout.addWidget(self._below, 1)

    def _connect(self) -> None:
        for field in (self.other_field, self.base_field):
            field.changed.connect(self._offer)
            field.edit.returnPressed.connect(self.audit_button.click)
        self.audit_button.clicked.connect(self.start)
        self.stop_button.clicked.connect(self._stop)
        self.result.copied.connect(lambda: self._session.message.emit("Findings of the audit copied", ""))
        self._latest.batch.connect(self._on_batch)
        self._latest.result.connect(self._on_report)
        self._latest.failed.connect(self._on_failed)
        self._latest.busy_changed.connect(self._on_busy)
        self._session.checkpoint_changed.connect(self.show_checkpoint)

    def _offer(self) -> None:
        other, base = self.other_field.path, self.base_field.path
        self.audit_button.setEnabled(bool(other and base and other != base) and not self.busy)
        if self.busy:
            return
        if other and base:
            self.state.setText("Both are the same checkpoint." if other == base else "")
        elif other:
            self.state.setText("Name what it was made from: the float checkpoint.")
        else:
            self.state.setText("Name the quantized checkpoint.")

    def _stop(self) -> None:
        self._latest.cancel()
        self.state.setText("Stopping…")

    def _on_busy(self, busy: bool) -> None:
        self.progress_bar.setVisible(busy)
        self.stop_button.setVisible(busy)
        for field in (self.other_field, self.base_field):
            field.setDisabled(busy)
        self._offer()

    def _on_batch(self, events: list[Event]) -> None:
        now = time.monotonic()
        for event in events:
            if isinstance(event, RunStarted):
                self._meter = ProgressMeter(now)
            elif isinstance(event, Warned):
                self._warned.append(event.text)
        progress = self._meter.add(events, now)
        if progress.bytes_total:
            self.progress_bar.setValue(round(1000 * progress.fraction))
            self.state.setText(f"Comparing weights, {duration_text(progress.seconds_left)} left")

    def _on_report(self, report: AuditReport) -> None:
        self.result.show_report(report)
        self._below.setCurrentWidget(self.result)
        seconds = duration_text(self._meter.at(time.monotonic()).elapsed)
        more = f"; {plural(len(self._warned), 'tensor')} could not be compared" if self._warned else ""
        self.state.setText(f"Compared in {seconds}{more}.")
        self.state.setToolTip(plain_tip("\n".join(self._warned)))
        self.state.setAccessibleDescription("\n".join(self._warned))
        self.audited.emit(report)

    def _on_failed(self, error: QtQuantError) -> None:
        self.error_panel.show_error(error)
        self.state.setText("Not audited: see the message.")
