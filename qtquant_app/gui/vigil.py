"""While a run is under way the computer stays awake; when a long one ends, somebody who looks elsewhere is told."""

from __future__ import annotations

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import bytes_text, duration_text
from qtquant_app.core.report import RunReport
from qtquant_app.gui.awake import Awake
from qtquant_app.gui.notify import notify, worth_telling
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session


class Vigil(QObject):
    """Listens to the runner; a paused run lets the computer sleep."""

    def __init__(self, session: Session, window: QWidget) -> None:
        super().__init__(window)
        self._runner, self._window = session.runner, window
        self.awake = Awake()
        self._runner.state_changed.connect(self._on_state)
        self._runner.finished.connect(self._on_finished)
        self._runner.failed.connect(self._on_failed)

    def _on_state(self, state: RunState) -> None:
        self.awake.hold() if state is RunState.RUNNING else self.awake.release()

    def _on_finished(self, report: RunReport) -> None:
        proof = "verified" if report.verified else "not verified"
        took = duration_text(report.seconds)
        self._tell(f"Saved {self._label}", f"{bytes_text(report.output_bytes)} in {took}, {proof}")

    def _on_failed(self, error: QtQuantError) -> None:
        self._tell(f"{self._label} failed", error.message)

    @property
    def _label(self) -> str:
        return self._runner.plan.label if self._runner.plan else "The job"

    def _tell(self, title: str, text: str) -> None:
        if worth_telling(self._runner.progress.elapsed, self._window):
            notify(title, text, self._window)
