"""The queue and the history: a table to order, filter and act on, and the buttons above it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from PySide6.QtCore import QEvent, QItemSelectionModel, QObject, Qt, QUrl, Signal
from PySide6.QtGui import QDesktopServices, QGuiApplication, QKeyEvent
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QHeaderView, QLineEdit, QMenu, QVBoxLayout, QWidget

from qtquant_app.core.job import JobRecord, JobState
from qtquant_app.core.job_words import report
from qtquant_app.core.quantities import plural
from qtquant_app.gui.job_queue import JobQueue
from qtquant_app.gui.models.job_table import JobTable
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.export_menu import Entry, fill_menu, table_menu
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Elided, plain_tip, tip_text

EMPTY = "No jobs yet: Start runs one at once, Add to queue lets several wait. What has ended stays here, over restarts."
_KEYS = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}


class JobsPanel(QWidget):
    """Shows a JobQueue. What is chosen in the table is what the Job menu acts on."""

    selected = Signal(object)
    """JobRecord | None."""
    recipe_wanted = Signal(str)
    """The folder of a result whose recipe is to be compared with the present one."""
    result_wanted = Signal(str)
    """The folder of a result to be looked at and verified."""
    message = Signal(str, str)

    def __init__(self, queue: JobQueue) -> None:
        super().__init__()
        self._queue = queue
        self._chosen = ""
        self.model = JobTable(queue.elsewhere, self)
        self.table = Table(self.model, "jobTable", "Queue and history of jobs")
        self.table.set_empty_text(EMPTY)
        self.note = Elided(mode=Qt.TextElideMode.ElideRight, muted=True)
        self.note.setObjectName("queueNote")
        self.filter_edit = QLineEdit()
        self.queue_button = Button("Start t&he queue", "play", name="startQueueButton")
        self.resume_button = Button(
            "Res&ume job", "play", name="resumeJobButton", tip="Goes on with a job that was paused or interrupted"
        )
        self.job_button = Button("&Job", name="jobMenuButton", tip="What can be done with the chosen job")
        self.clear_button = Button(
            "C&lear finished", name="clearJobsButton", tip="Forgets what has ended; results stay on disk"
        )
        self._prepare()
        self._lay_out()
        self._connect()
        self._refresh()

    @property
    def job(self) -> JobRecord | None:
        """The chosen job."""
        return next((record for record in self._queue.records if record.id == self._chosen), None)

    def choose(self, id: str) -> None:
        """Chooses a job in the table, where it shows."""
        row = self.model.row_of(id)
        if row >= 0:
            flags = QItemSelectionModel.SelectionFlag
            self.table.selectionModel().setCurrentIndex(self.model.index(row, 0), flags.ClearAndSelect | flags.Rows)

    def entries(self) -> Iterable[Entry | None]:
        """What can be done with the chosen job, for its menus."""
        job, queue = self.job, self._queue
        free = job is not None and not queue.elsewhere(job)
        mine = job is not None and queue.current is not None and queue.current.id == job.id
        place = self.model.place_of(self._chosen)

        def entry(text: str, allowed: bool, do: Callable[[JobRecord], object]) -> Entry:
            return Entry(text, (lambda: do(job)) if allowed and job is not None else None)

        over = job is not None and job.state.over
        done = job is not None and job.state is JobState.DONE
        resumable = job in self.resumable or (mine and job is not None and job.state is JobState.PAUSED)
        yield entry("&Resume", resumable, lambda j: queue.resume(j.id))
        yield entry("Run a&gain", over, queue.again)
        yield entry("&Cancel this job", free and not over and job is not None, lambda j: queue.cancel(j.id))
        yield entry("Re&move from the list\tDel", free and not mine, lambda j: queue.remove(j.id))
        yield None
        yield entry("Move &up\tAlt+Up", place > 0, lambda j: queue.move(j.id, place - 1))
        yield entry("Move &down\tAlt+Down", 0 <= place < len(queue.waiting) - 1, lambda j: queue.move(j.id, place + 1))
        yield None
        yield entry("Open the &folder", done, self._open_folder)
        yield entry("Look at and &verify the result", done, lambda j: self.result_wanted.emit(j.output))
        yield entry("Com&pare its recipe with the present one", done, lambda j: self.recipe_wanted.emit(j.output))
        yield entry("Copy settings and &log", job is not None, self._copy)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent) and self._pressed(event):
            return True
        return super().eventFilter(watched, event)

    def _pressed(self, event: QKeyEvent) -> bool:
        job, place = self.job, self.model.place_of(self._chosen)
        step = _KEYS.get(Qt.Key(event.key())) if event.modifiers() == Qt.KeyboardModifier.AltModifier else None
        if job is not None and step is not None:
            if place >= 0 and 0 <= place + step < len(self._queue.waiting):
                self._queue.move(job.id, place + step)
            return True
        if job is not None and event.key() == Qt.Key.Key_Delete:
            if not self._is_mine(job) and not self._queue.elsewhere(job):
                self._queue.remove(job.id)
            return True
        return False

    def _is_mine(self, job: JobRecord) -> bool:
        return self._queue.current is not None and self._queue.current.id == job.id

    def _prepare(self) -> None:
        table = self.table
        table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        table.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        table.setDragDropOverwriteMode(False)
        table.setDropIndicatorShown(True)
        table.installEventFilter(self)
        table.horizontalHeader().setSectionResizeMode(4, QHeaderView.ResizeMode.Interactive)
        table.menu = table_menu(table, self.model.numbers, table.copy_rows, more=self.entries)
        self.filter_edit.setObjectName("jobFilterEdit")
        self.filter_edit.setAccessibleName("Filter of the jobs")
        self.filter_edit.setPlaceholderText("Filter jobs")
        self.filter_edit.setClearButtonEnabled(True)
        menu = QMenu("Job", self)
        menu.setObjectName("jobMenu")
        menu.setAccessibleName("What can be done with the chosen job")
        menu.aboutToShow.connect(self._fill_menu)
        self.job_button.setMenu(menu)

    def _fill_menu(self) -> None:
        menu = self.job_button.menu()
        menu.clear()
        fill_menu(menu, self.entries())

    def _lay_out(self) -> None:
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.queue_button)
        line.addWidget(self.resume_button)
        line.addWidget(self.note, 2)
        line.addWidget(self.filter_edit, 1)
        line.addWidget(self.job_button)
        line.addWidget(self.clear_button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2 * GRID)
        layout.addLayout(line)
        layout.addWidget(self.table, 1)
        self.setMinimumHeight(24 * GRID)

    def _connect(self) -> None:
        queue = self._queue
        queue.changed.connect(self._refresh)
        self.queue_button.clicked.connect(lambda: queue.set_going(not queue.going))
        self.resume_button.clicked.connect(self._resume)
        self.clear_button.clicked.connect(queue.clear_finished)
        self.filter_edit.textChanged.connect(self._on_filter)
        self.model.moved.connect(queue.move)
        self.table.selectionModel().selectionChanged.connect(self._on_selection)

    def _on_filter(self, words: str) -> None:
        self.model.set_filter(words)
        self.choose(self._chosen)
        self.table.set_empty_text("No job matches the filter." if self.model.hidden else EMPTY)
        self._say()

    def _on_selection(self) -> None:
        rows = self.table.selectionModel().selectedRows()
        if rows:
            self._chosen = self.model.row(rows[0].row()).id
        self.job_button.setEnabled(self.job is not None)
        self._say()
        self.selected.emit(self.job)

    @property
    def resumable(self) -> tuple[JobRecord, ...]:
        """Jobs that had begun and that nobody carries out, the chosen one first."""
        queue = self._queue
        found = [r for r in queue.records if r.state.begun and not self._is_mine(r) and not queue.elsewhere(r)]
        return tuple(sorted(found, key=lambda record: record.id != self._chosen))

    def _resume(self) -> None:
        if self.resumable:
            self._queue.resume(self.resumable[0].id)

    def _refresh(self) -> None:
        if self.model.set_jobs(self._queue.records):
            self.choose(self._chosen)
        self.clear_button.setEnabled(any(record.state.over for record in self._queue.records))
        self.job_button.setEnabled(self.job is not None)
        self._say()
        self.selected.emit(self.job)

    def _say(self) -> None:
        going, waits, resumable = self._queue.going, len(self._queue.waiting), self.resumable
        self.resume_button.setVisible(bool(resumable))
        if resumable:
            self.resume_button.setToolTip(plain_tip(f"Goes on with {resumable[0].label} where it stopped"))
        self.queue_button.setText("&Hold the queue" if going else "Start t&he queue")
        self.queue_button.setAccessibleName("Hold the queue" if going else "Start the queue")
        self.queue_button.set_drawing("pause" if going else "play")
        self.queue_button.setEnabled(going or waits > 0)
        tip = "What runs is finished; the next does not start" if going else "Runs what waits, one job after another"
        self.queue_button.setToolTip(tip_text(tip))
        self.queue_button.setAccessibleDescription(tip)
        self.note.setText(_queue_words(waits, going, self._queue.current is not None, self.model.hidden))

    def _open_folder(self, job: JobRecord) -> None:
        QDesktopServices.openUrl(QUrl.fromLocalFile(job.output))

    def _copy(self, job: JobRecord) -> None:
        QGuiApplication.clipboard().setText(report(job))
        self.message.emit(f"Settings and log of {job.label} copied", "")


def _queue_words(waits: int, going: bool, running: bool, hidden: int) -> str:
    """What the queue will do next, in a sentence."""
    left_out = f" {plural(hidden, 'job')} hidden by the filter." if hidden else ""
    if not waits:
        return f"Nothing waits.{left_out}"
    jobs = f"{plural(waits, 'job')} {'waits' if waits == 1 else 'wait'}"
    if going:
        return (
            f"{jobs}; the next starts when this one ends.{left_out}"
            if running
            else f"{jobs}; the next starts.{left_out}"
        )
    return f"{jobs} for you to start the queue.{left_out}"
