"""What the engine says about the weight under the cursor, asked for once the cursor rests."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer, Signal

from qtquant_app.core.explanation import Explanation, read_out
from qtquant_app.core.view import Place
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.session import Session
from qtquant_app.jobs.latest import Latest

REST_MS = 40


class Pointer(QObject):
    """Explains the weight with the largest error of a place in two lines; only the newest place counts."""

    told = Signal(str, float)
    """The two lines, and the weight."""

    def __init__(self, session: Session, inspection: Inspection, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._inspection = session, inspection
        self._place: Place | None = None
        self._latest = Latest(self)
        self._timer = QTimer(self, singleShot=True, interval=REST_MS)
        self._timer.timeout.connect(self._ask)
        self._latest.result.connect(self._tell)

    def point(self, place: Place | None) -> None:
        """The cursor is over `place`, or over nothing."""
        self._place = place
        self._latest.cancel()
        if place is None:
            self._timer.stop()
        else:
            self._timer.start()

    def _ask(self) -> None:
        checkpoint, place, known = self._session.checkpoint, self._place, self._inspection.preview
        if checkpoint is None or place is None or known is None:
            return
        self._latest.submit(
            self._session.verbs.explain(
                checkpoint,
                known.layer,
                known.scheme,
                place.rows,
                place.columns,
                self._session.recipe.format,
                known.weight_range,
            )
        )

    def _tell(self, explanation: Explanation) -> None:
        self.told.emit(read_out(explanation), explanation.weight)
