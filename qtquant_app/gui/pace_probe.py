"""Measures, in a worker, how fast this machine does what is planned: once for each kind of work and place."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject

from qtquant_app.core.plan import Plan
from qtquant_app.gui.session import Session
from qtquant_app.jobs.latest import Latest


class PaceProbe(QObject):
    """Refines the session's plan by what it measures. Waits while there is a run, and gives way to one."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._asked: set[tuple[object, ...]] = set()
        self._plan: Plan | None = None
        self._latest = Latest(self)
        self._latest.result.connect(self._on_result)
        self._latest.failed.connect(session.report_error)
        session.runner.started.connect(self._latest.cancel)

    def look(self, output: str) -> None:
        """Measures for the session's plan and the drive of `output`, unless that has been done, or a run is active."""
        plan, checkpoint, runner = self._session.plan, self._session.checkpoint, self._session.runner
        if plan is None or checkpoint is None or runner.state.active:
            return
        schemes = frozenset(tensor.scheme for tensor in plan.quantized)
        asked = (plan.fingerprint, plan.device, plan.format, schemes, str(Path(output).parent))
        if asked not in self._asked:
            self._asked.add(asked)
            self._plan = plan
            self._latest.submit(self._session.verbs.probe(checkpoint, plan, output))

    def _on_result(self, better: Plan) -> None:
        if self._plan is not None:
            self._session.refine_plan(self._plan, better)
