"""The Compare page: results and checkpoints of others side by side, the smaller and the nearer to the original the better."""

from __future__ import annotations

import json
from collections.abc import Sequence

from PySide6.QtCore import QItemSelectionModel, Qt
from PySide6.QtGui import QDragEnterEvent, QDropEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QProgressBar, QSplitter, QStackedWidget, QVBoxLayout, QWidget

from qtquant_app.core.job import JobState
from qtquant_app.core.quantities import duration_text, plural
from qtquant_app.gui.models.result_table import BEST, RESULT_COLUMNS
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.plots.results_plot import ResultsPlot
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.flow import Flow
from qtquant_app.gui.widgets.page import Page
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Elided, Text

_KEPT = "compare/results"
_EMPTY = "Nothing to compare yet"
_WHAT = (
    "Add results of runs and quantized checkpoints of others: a folder of them, those of finished jobs, or drop folders here. "
    "Those that say nothing of their quality can be evaluated beside their original."
)
_LEGEND = (
    f"{BEST} on the front: none of the same original, judged on the same samples, is both no larger and nearer to it."
)


class ComparePage(Page):
    """A table of what is compared, and a plot of size against divergence. What is chosen in one is marked in the other."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__("comparePage", "Compare", "results side by side: smaller files, and nearer to the original")
        self._session, self._settings = session, settings
        self._results = session.results
        self._restored = False
        self.add_button = Button("&Add a folder…", "open", name="addResultsButton", tip="A result, or a folder of them")
        self.jobs_button = Button(
            "Add finished &jobs", name="addJobsButton", tip="The results of all jobs that are done"
        )
        self.first_button = Button("Add a folder…", "open", name="addFirstResultButton", primary=True)
        self.first_button.setAccessibleName("Add the first folder of results")
        self.error_panel = ErrorPanel("compareErrorPanel")
        self.model = RowsModel(RESULT_COLUMNS, self)
        self.table = Table(self.model, "resultsTable", "Results side by side")
        self.evaluate_button = Button("Evaluate the &missing", "check", name="evaluateMissingButton")
        self.again_button = Button("Evaluate the chosen", name="evaluateChosenButton")
        self.stop_button = Button("Stop", name="stopEvaluationsButton", tip="Gives up what is not evaluated yet")
        self.stop_button.setAccessibleName("Stop the evaluations")
        self.remove_button = Button(
            "Remo&ve", name="removeResultsButton", tip="Takes the chosen off the list; files stay"
        )
        self.remove_button.setAccessibleName("Remove the chosen results from the list")
        self.state = Text(muted=True, wrap=True)
        self.progress_bar = QProgressBar()
        self.progress_bar.setAccessibleName("Progress of the evaluations")
        self.progress_bar.setRange(0, 1000)
        self.progress_bar.setTextVisible(False)
        self.plot = ResultsPlot()
        self.read_out = Elided(_LEGEND, mode=Qt.TextElideMode.ElideRight, muted=True)
        self._stack = QStackedWidget()
        self._lay_out()
        self._connect()
        self._show()

    @property
    def chosen(self) -> tuple[str, ...]:
        """The paths of the chosen rows, in the order shown."""
        rows = sorted(index.row() for index in self.table.selectionModel().selectedRows())
        return tuple(self.model.row(at).row.path for at in rows)

    def choose_folder(self) -> None:
        """Asks for a folder; what it holds is added."""
        path = QFileDialog.getExistingDirectory(self, "Add results", self._settings.text("output/parent"))
        if path:
            self.add([path])

    def add(self, paths: Sequence[str]) -> None:
        """Adds results and folders of results."""
        self.error_panel.show_error(None)
        if paths:
            self._results.add(paths)

    def add_jobs(self) -> None:
        """Adds what finished jobs wrote."""
        done = [job.output for job in self._session.queue.records if job.state is JobState.DONE]
        self.add(list(dict.fromkeys(done)))
        if not done:
            self._session.message.emit("No job has finished yet", "")

    def evaluate(self, paths: Sequence[str]) -> None:
        """Evaluates results one after the other, beside the checkpoint that is open."""
        original = self._session.checkpoint
        if original is not None and paths:
            self._results.evaluate(paths, original, self._session.device)

    def remove(self) -> None:
        """Takes the chosen rows off the list."""
        self._results.remove(self.chosen)

    def select(self, path: str) -> None:
        """Chooses the row of a result."""
        at = next((at for at in range(self.model.rowCount()) if self.model.row(at).row.path == path), -1)
        if at >= 0:
            self.table.selectRow(at)

    def showEvent(self, event: QShowEvent) -> None:
        """What was compared last time is looked up once somebody looks."""
        super().showEvent(event)
        if not self._restored:
            self._restored = True
            self.add(self._remembered())

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        paths = _paths(event)
        if paths:
            event.acceptProposedAction()
            self.add(paths)

    def _lay_out(self) -> None:
        self.setAcceptDrops(True)
        self.tools.addWidget(self.jobs_button)
        self.tools.addWidget(self.add_button)
        buttons = Flow()
        for button in (self.evaluate_button, self.again_button, self.stop_button, self.remove_button):
            buttons.addWidget(button)
        upper, lower = QWidget(), QWidget()
        above = QVBoxLayout(upper)
        above.setContentsMargins(0, 0, 0, GRID)
        above.setSpacing(2 * GRID)
        above.addWidget(self.table, 1)
        line = QHBoxLayout()
        line.setSpacing(3 * GRID)
        line.addLayout(buttons, 3)
        line.addWidget(self.progress_bar, 1)
        above.addLayout(line)
        above.addWidget(self.state)
        below = QVBoxLayout(lower)
        below.setContentsMargins(0, GRID, 0, 0)
        below.setSpacing(GRID)
        below.addWidget(self.plot, 1)
        below.addWidget(self.read_out)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(upper)
        self.splitter.addWidget(lower)
        self.splitter.setStretchFactor(0, 1)
        self.splitter.setStretchFactor(1, 1)
        self._stack.addWidget(Placeholder(_EMPTY, _WHAT, self.first_button))
        self._stack.addWidget(self.splitter)
        self.content.addWidget(self.error_panel)
        self.content.addWidget(self._stack, 1)

    def _connect(self) -> None:
        results, session = self._results, self._session
        for button in (self.add_button, self.first_button):
            button.clicked.connect(self.choose_folder)
        self.jobs_button.clicked.connect(self.add_jobs)
        self.evaluate_button.clicked.connect(lambda: self.evaluate(results.missing))
        self.again_button.clicked.connect(lambda: self.evaluate(self.chosen))
        self.stop_button.clicked.connect(results.stop)
        self.remove_button.clicked.connect(self.remove)
        delete = QShortcut(QKeySequence.StandardKey.Delete, self.table, context=Qt.ShortcutContext.WidgetShortcut)
        delete.activated.connect(self.remove)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._on_selection())
        self.plot.chosen.connect(self.select)
        self.plot.pointed.connect(lambda words: self.read_out.setText(words or _LEGEND))
        results.changed.connect(self._show)
        results.failed.connect(self.error_panel.show_error)
        results.progressed.connect(self._on_progress)
        session.checkpoint_changed.connect(lambda _: self._offer())

    def _show(self) -> None:
        results = self._results
        chosen = self.chosen
        self.model.set_rows(results.listed)
        self._choose(chosen)
        self.plot.draw(results.rows)
        if results.known and not results.collecting:
            self._settings.set(_KEPT, json.dumps(results.paths))
        shown = bool(results.rows or results.skipped or results.collecting)
        self._stack.setCurrentIndex(1 if shown else 0)
        self.table.set_empty_text("Looking for results…" if results.collecting else "None of these is a result.")
        self._offer()

    def _choose(self, paths: Sequence[str]) -> None:
        """The rows that were chosen before the list was made anew."""
        flags = QItemSelectionModel.SelectionFlag
        for at in range(self.model.rowCount()):
            if self.model.row(at).row.path in paths:
                self.table.selectionModel().select(self.model.index(at, 0), flags.Select | flags.Rows)

    def _offer(self) -> None:
        results, busy = self._results, bool(self._results.left)
        ready = self._session.checkpoint is not None
        self.evaluate_button.setEnabled(ready and bool(results.missing) and not busy)
        self.again_button.setEnabled(ready and bool(self.chosen) and not busy)
        self.remove_button.setEnabled(bool(self.chosen))
        self.stop_button.setVisible(busy)
        self.progress_bar.setVisible(busy)
        if not busy:
            self.progress_bar.setValue(0)
        self._say(f"{plural(results.left, 'evaluation')} to go…" if busy else self._next())

    def _next(self) -> str:
        """What can be done, and what could not."""
        results = self._results
        parts = []
        if results.missing and self._session.checkpoint is None:
            parts.append("Open the original on the Source page to evaluate those that say nothing of their quality.")
        elif results.missing:
            base = self._session.checkpoint.label if self._session.checkpoint else ""
            parts.append(f"{plural(len(results.missing), 'result')} not evaluated; the original is {base}.")
        parts += [f"{listed.row.name}: {listed.error}." for listed in results.listed if listed.error]
        if results.skipped:
            first = results.skipped[0]
            parts.append(f"{plural(len(results.skipped), 'place')} left out: {first.path} {first.reason}.")
        return " ".join(parts)

    def _say(self, words: str) -> None:
        self.state.setText(words)
        self.state.setVisible(bool(words))

    def _on_selection(self) -> None:
        chosen = self.chosen
        self.plot.mark(chosen[0] if len(chosen) == 1 else "")
        self._offer()

    def _on_progress(self, part: float, left: float | None) -> None:
        results = self._results
        self.progress_bar.setValue(round(1000 * part))
        name = next((row.name for row in results.rows if row.path == results.evaluating), "")
        more = f"; {plural(results.left - 1, 'more', 'more')} to come" if results.left > 1 else ""
        self._say(f"{name}: both models read, {duration_text(left)} left{more}")

    def _remembered(self) -> list[str]:
        """What was compared last; nothing where that cannot be read."""
        try:
            paths = json.loads(self._settings.text(_KEPT, "[]"))
        except ValueError:
            return []
        return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def _paths(event: QDropEvent) -> list[str]:
    """The local files and folders that are dropped."""
    return [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
