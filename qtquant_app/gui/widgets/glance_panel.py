"""The whole model at a glance: a scan of every tensor, as a map, as a table and by depth."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFileDialog, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import plural
from qtquant_app.core.scan import ScanReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.models.scan_digest import Digest
from qtquant_app.gui.sample_needs import start_note
from qtquant_app.gui.scanner import Scanner
from qtquant_app.gui.session import Session, settling_ms
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.depth_side import DepthSide
from qtquant_app.gui.widgets.map_side import MapSide
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.scan_bar import ScanBar, cost_words
from qtquant_app.gui.widgets.scan_table_view import ScanTableView
from qtquant_app.jobs.latest import Latest

NO_CHECKPOINT = "No checkpoint is open", "Open a folder, a file or the sample model on the Source page."
NOT_SCANNED = (
    "Scan the model to see where it bears quantization",
    "Every tensor is measured under each of the schemes above: a map of the model, a table, and its weights by depth.",
)
PAGES = "HTML pages (*.html)"


TURN_MS = 5
"""Between the drawing of one part and of the next: what came in meanwhile is answered first."""


class GlancePanel(QWidget):
    """Shows the scan that the Inspection has, and makes one; what is selected here is selected everywhere.

    Map, table and lines are drawn one after the other, each in a turn of the event loop of its own, and only while they show.
    """

    drawn = Signal(object)
    """Digest | None: what the scan has found out so far, once it is drawn here or while nothing of it shows."""

    def __init__(self, session: Session, inspection: Inspection, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("glancePanel")
        self.setAccessibleName("The whole model at a glance")
        self._session, self._inspection = session, inspection
        self.scanner = Scanner(session.verbs, self)
        self.reports = Latest(self)
        self.bar = ScanBar()
        self.map = MapSide()
        self.table = ScanTableView()
        self.by_depth = DepthSide()
        self.start_button = Button("Scan the model", "play", name="startScanButton")
        self.empty = Placeholder("", "", self.start_button)
        self.empty.setObjectName("glanceEmpty")
        self._due: list[MapSide | ScanTableView | DepthSide] = []
        """Parts that show an older digest."""
        self._told: Digest | None = None
        self._turn = QTimer(self, singleShot=True, interval=TURN_MS)
        self._turn.timeout.connect(self._draw_next)
        self._digest: Digest | None = None
        self._checkpoint: Checkpoint | None = None
        self._saving = ""
        self._lay_out()
        self._connect()
        self.bar.schemes.offer(inspection.scheme)
        self._take_checkpoint(session.checkpoint)
        self._take_scan(inspection.scan)

    @property
    def digest(self) -> Digest | None:
        """The scan that is shown."""
        return self._digest

    @property
    def drawing(self) -> bool:
        """Whether something that shows is still to be drawn."""
        return self._turn.isActive()

    def scan(self) -> None:
        """Scans the open checkpoint under the schemes of the bar."""
        if self._checkpoint is not None and self.bar.schemes.schemes and not self.scanner.running:
            self.bar.set_progress(0.0, "Starting …")
            self.scanner.start(self._checkpoint, self.bar.schemes.schemes, self._session.recipe.format)

    def save_report(self) -> None:
        """Asks for a file and writes the report of the scan there, in the background."""
        if self._checkpoint is None or self._digest is None:
            return
        start = str(Path.home() / f"{Path(self._checkpoint.label).name or 'model'}-report.html")
        path, _ = QFileDialog.getSaveFileName(self, "Save the report", start, PAGES)
        if path:
            self.write_report(path if Path(path).suffix else f"{path}.html")

    def write_report(self, path: str) -> None:
        """Writes the report of the scan shown to `path`, in place of what is there, and says so when it is done."""
        if self._checkpoint is None or self._digest is None:
            return
        self._saving = path
        shown = self._digest.report
        self.reports.submit(self._session.verbs.report(self._checkpoint, path, shown.schemes, shown.format, True))
        self._session.message.emit(f"Writing {path} …", "")

    def _lay_out(self) -> None:
        below = QSplitter(Qt.Orientation.Horizontal)
        below.setObjectName("glanceBelow")
        below.addWidget(self.table)
        below.addWidget(self.by_depth)
        below.setSizes([600, 360])
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setObjectName("glanceSplitter")
        self.splitter.addWidget(self.map)
        self.splitter.addWidget(below)
        self.splitter.setSizes([320, 260])
        for splitter, stretches in ((below, (3, 2)), (self.splitter, (1, 1))):
            splitter.setChildrenCollapsible(False)
            splitter.setHandleWidth(2 * GRID)
            for at, stretch in enumerate(stretches):
                splitter.setStretchFactor(at, stretch)
        self._stack = QStackedWidget()
        self._stack.addWidget(self.empty)
        self._stack.addWidget(self.splitter)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2 * GRID, 0, 0)
        column.setSpacing(2 * GRID)
        column.addWidget(self.bar)
        column.addWidget(self._stack, 1)

    def _connect(self) -> None:
        session, scanner = self._session, self.scanner
        for button in (self.bar.scan_button, self.start_button):
            button.clicked.connect(self.scan)
        self.bar.cancel_button.clicked.connect(scanner.cancel)
        self.bar.report_button.clicked.connect(self.save_report)
        self.bar.schemes.changed.connect(self._look_up)
        scanner.running_changed.connect(self._on_running)
        scanner.progressed.connect(self.bar.set_progress)
        scanner.digested.connect(self._take_digest)
        scanner.failed.connect(self._on_failed)
        self.reports.result.connect(self._on_saved)
        self.reports.failed.connect(session.report_error)
        self.reports.busy_changed.connect(lambda _: self._refresh())
        self._look_up_timer = QTimer(self, singleShot=True)
        self._look_up_timer.timeout.connect(self._look_up)
        session.checkpoint_changed.connect(self._take_checkpoint)
        session.statistics_changed.connect(self._take_checkpoint)
        session.recipe_changed.connect(self._look_up)
        session.selection_changed.connect(self._select)
        self._inspection.scheme_changed.connect(self.bar.schemes.offer)
        self._inspection.scanned.connect(self._take_scan)
        for side in (self.map, self.table, self.by_depth):
            side.chosen.connect(session.select)

    def _take_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not self._checkpoint:
            self._checkpoint = checkpoint
            self.scanner.forget()
            self._inspection.set_scan(None)
            self._looked_up: tuple[tuple[Scheme, ...], str] | None = None
            self.bar.say("")
            self._tell_cost(checkpoint)
            if checkpoint is not None and (delay := settling_ms(checkpoint)):
                self._look_up_timer.start(delay)
            else:
                self._look_up()
        self._refresh()

    def _tell_cost(self, checkpoint: Checkpoint | None) -> None:
        fetched = 0 if checkpoint is None or checkpoint.remote is None else checkpoint.stored_bytes
        self.bar.set_cost(fetched)
        self.start_button.setText(f"Scan the model{cost_words(fetched)}")
        self.start_button.setAccessibleName(f"Scan the whole model now{cost_words(fetched)}")

    def _look_up(self) -> None:
        """Shows the scan of these schemes and this format if the cache has it; else what is shown stays."""
        wanted = self.bar.schemes.schemes, self._session.recipe.format
        if self._checkpoint is not None and wanted != self._looked_up and wanted[0]:
            self._looked_up = wanted
            self.scanner.look_up(self._checkpoint, *wanted)
        self._refresh()

    def _take_digest(self, digest: Digest) -> None:
        self._digest = digest
        if self._inspection.scan is digest.report:
            self._draw()
        else:
            self._inspection.set_scan(digest.report)

    def _take_scan(self, report: ScanReport | None) -> None:
        """Draws the scan of the Inspection; one that came from elsewhere is made ready in the worker first."""
        if report is None:
            self._digest = None
        elif self._digest is None or self._digest.report is not report:
            self.scanner.digest(report)
            return
        self._draw()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._due:
            self._turn.start()

    def _draw(self) -> None:
        self._due = [self.map, self.table, self.by_depth]
        self._refresh()
        if self._digest is None:
            while self._due:
                self._draw_one()
            self._tell()
        else:
            self._turn.start()

    def _draw_next(self) -> None:
        """Draws one part, and leaves the rest for the next turn; those who look on are told last."""
        if self._due and self.isVisible():
            self._draw_one()
        elif self._told is not self._digest:
            self._tell()
        if (self._due and self.isVisible()) or self._told is not self._digest:
            self._turn.start()

    def _draw_one(self) -> None:
        side = self._due.pop(0)
        side.take(self._digest)
        side.select(self._session.selection)

    def _tell(self) -> None:
        self._told = self._digest
        self.drawn.emit(self._digest)

    def _select(self, name: str) -> None:
        for side in (self.map, self.table, self.by_depth):
            if side not in self._due:
                side.select(name)

    def _on_running(self, running: bool) -> None:
        self.bar.set_running(running)
        self._refresh()

    def _on_failed(self, error: QtQuantError) -> None:
        self._session.report_error(error)
        self.bar.say(f"The scan failed: {error.message}", "bad")

    def _on_saved(self) -> None:
        self._session.message.emit(f"Saved the report as {self._saving}", "")

    def _refresh(self) -> None:
        """What can be pressed, and what the empty place says."""
        ready = self._checkpoint is not None
        running = self.scanner.running
        self.bar.scan_button.setEnabled(ready and bool(self.bar.schemes.schemes))
        self.start_button.setVisible(ready and not running)
        self.bar.report_button.setEnabled(self._whole and not running and not self.reports.busy)
        sentence, explanation = NOT_SCANNED if ready else NO_CHECKPOINT
        self.empty.sentence.setText(sentence)
        self.empty.explanation.setText(explanation)
        self._stack.setCurrentWidget(self.splitter if self._digest is not None else self.empty)
        if not running and self._digest is not None:
            self.bar.say(self._state())

    @property
    def _whole(self) -> bool:
        return self._digest is not None and self._digest.whole

    def _state(self) -> str:
        """What is shown, in a line."""
        if self._digest is None:
            return ""
        done = int(self._digest.seen.sum())
        total = len(self._digest.scans)
        odd = f"  \u00b7  {len(self._digest.flags):,} odd" if self._digest.flags else ""
        if done < total:
            return f"Stopped: {done:,} of {plural(total, 'tensor')}{odd}"
        schemes = plural(len(self._digest.schemes), "scheme")
        note = start_note(self._digest.schemes)
        told = f"{plural(total, 'tensor')} under {schemes}, sizes as {self._digest.report.format}{odd}"
        return f"{told}; {note}" if note else told
