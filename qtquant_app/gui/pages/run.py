"""The Run page: carries the plan out in the background, or lets it wait in the queue, and shows what becomes of it."""

from __future__ import annotations

from typing import Literal, cast

from PySide6.QtCore import Qt
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFormLayout, QHBoxLayout, QProgressBar, QSplitter, QTabWidget, QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.event_words import STAGES
from qtquant_app.core.events import Event
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.quantities import bytes_text, duration_text, plural, rate_text, share_text
from qtquant_app.core.report import RunReport
from qtquant_app.gui.catalog import Catalog
from qtquant_app.gui.models.run_tensors import RunTensors
from qtquant_app.gui.output_state import default_parent, suggest
from qtquant_app.gui.pace_probe import PaceProbe
from qtquant_app.gui.progress import Progress
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.job_text import JobText
from qtquant_app.gui.widgets.jobs_panel import JobsPanel
from qtquant_app.gui.widgets.memory_limits import MemoryLimits
from qtquant_app.gui.widgets.outcome_card import OutcomeCard
from qtquant_app.gui.widgets.output_field import OutputField
from qtquant_app.gui.widgets.page import Page
from qtquant_app.gui.widgets.run_log import RunLog
from qtquant_app.gui.widgets.shards_choice import ShardsChoice
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text

Verify = Literal["full", "quick", "none"]

VERIFY = (
    ("full", "Full: every tensor", "Reopens every file and compares every weight with its source"),
    ("quick", "Quick: a part of each", "Reopens every file and compares one chunk of each tensor"),
    ("none", "None", "Writes only; the result counts as not verified"),
)

STEPS = 1000


class RunPage(Page):
    """Output folder, verification and device; start, queue, pause, cancel; progress; the jobs; tensors and log of the run."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__("runPage", "Run", "quantizes, writes and verifies in the background")
        self._session = session
        self._settings = settings
        self._parent_folder = settings.text("output/parent") or default_parent()
        self._chosen_by_hand = False
        self.output_field = OutputField()
        self.verify_combo = ChoiceBox()
        self.shards_choice = ShardsChoice()
        self.device_combo = ChoiceBox()
        self.memory_limits = MemoryLimits()
        self.start_button = Button("&Start", "play", name="startButton", tip="Starts the run (Ctrl+R)", primary=True)
        self.queue_button = Button(
            "Add to &queue", name="queueButton", tip="Lets the run wait behind the others (Ctrl+Shift+R)"
        )
        self.pause_button = Button("&Pause", "pause", name="pauseButton", tip="Holds the run at the next chunk")
        self.cancel_button = Button(
            "&Cancel", "stop", name="cancelButton", tip="Stops the run; what is finished is kept for a later start"
        )
        self.progress_bar = QProgressBar()
        self.progress_text = Text(muted=True)
        self.why_not = Text(muted=True, wrap=True)
        self.error_panel = ErrorPanel("errorPanel")
        self.jobs_panel = JobsPanel(session.queue)
        self.job_text = JobText()
        self.job_model = RunTensors(self)
        self.tensor_table = Table(self.job_model, "runTensorTable", "Tensors of the run")
        self.tensor_table.set_empty_text("The tensors of the run show here, each with its error as it finishes.")
        self.log = RunLog()
        self.outcome_card = OutcomeCard()
        self._prober = PaceProbe(session, self)
        self._prepare()
        self._lay_out()
        self._connect()
        self._on_catalog(session.catalog)
        self._refresh()

    def start(self) -> None:
        """Starts the run if everything it needs is there; while another is under way it waits in the queue."""
        if self._session.runner.state.active:
            self.enqueue()
        elif self._session.plan is not None and self.start_button.isEnabled():
            self.error_panel.show_error(None)
            self._session.queue.start(self._session.plan, self._options(), self._session.device)

    def enqueue(self) -> None:
        """Puts the run into the queue if everything it needs is there."""
        if self._session.plan is not None and self.queue_button.isEnabled():
            path = self.output_field.path
            self._session.queue.add(self._session.plan, self._options(), self._session.device)
            self._session.message.emit(f"Added to the queue: {path}", "")

    def toggle_queue(self) -> None:
        """Starts the queue, or holds it."""
        self.jobs_panel.queue_button.click()

    def _options(self) -> RunOptions:
        field, verify = self.output_field, cast(Verify, self.verify_combo.currentData())
        shards = self.shards_choice.value
        return RunOptions(field.path, verify, field.resume, field.overwrite, source_shards=shards)

    def toggle_pause(self) -> None:
        """Pauses the run, or goes on with it."""
        runner = self._session.runner
        if runner.state is RunState.PAUSED:
            runner.resume()
        else:
            runner.pause()

    def _prepare(self) -> None:
        self.verify_combo.setObjectName("verifyCombo")
        self.verify_combo.setAccessibleName("Verification")
        for row, (name, title, tip) in enumerate(VERIFY):
            self.verify_combo.addItem(title, name)
            self.verify_combo.setItemData(row, tip, Qt.ItemDataRole.ToolTipRole)
        self.verify_combo.setCurrentIndex(max(0, self.verify_combo.findData(self._settings.text("verify"))))
        self.device_combo.setObjectName("deviceCombo")
        self.device_combo.setAccessibleName("Device")
        self.progress_bar.setObjectName("jobProgress")
        self.progress_bar.setAccessibleName("Progress of the run")
        self.progress_bar.setRange(0, STEPS)
        self.progress_bar.setTextVisible(False)
        self.progress_bar.setValue(0)
        self.progress_text.setObjectName("progressText")

    def _lay_out(self) -> None:
        card = Card()
        form = QFormLayout()
        form.setHorizontalSpacing(4 * GRID)
        form.setVerticalSpacing(2 * GRID)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.addRow("&Output folder", self.output_field)
        choices = QHBoxLayout()
        choices.setSpacing(2 * GRID)
        choices.addWidget(self.verify_combo, 2)
        device = Text("Device")
        choices.addSpacing(2 * GRID)
        choices.addWidget(device)
        choices.addWidget(self.device_combo, 1)
        choices.addSpacing(2 * GRID)
        choices.addWidget(Text("Memory at most"))
        choices.addWidget(self.memory_limits, 2)
        form.addRow("&Verification", choices)
        form.labelForField(choices).setBuddy(self.verify_combo)  # type: ignore[attr-defined]
        self.shards_choice.add_to(form)
        card.add(form)
        card.add(self._buttons())
        self.content.addWidget(card)
        self.content.addWidget(self.error_panel)
        self.splitter = QSplitter(Qt.Orientation.Vertical)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.addWidget(self.jobs_panel)
        self.splitter.addWidget(self._told())
        self.splitter.setStretchFactor(0, 2)
        self.splitter.setStretchFactor(1, 3)
        self.content.addWidget(self.splitter, 1)

    def _told(self) -> QWidget:
        """What is known of the run at hand, and of the job that is chosen."""
        row = QSplitter(Qt.Orientation.Horizontal)
        row.setChildrenCollapsible(False)
        row.addWidget(self.log)
        row.addWidget(self.outcome_card)
        row.setStretchFactor(0, 1)
        row.setStretchFactor(1, 1)
        self.tabs = QTabWidget()
        self.tabs.setObjectName("runTabs")
        self.tabs.setAccessibleName("The run, and the chosen job")
        self.tabs.setDocumentMode(True)
        self.tabs.tabBar().setAccessibleName("The run, and the chosen job")
        for widget, title in ((self.tensor_table, "Tensors"), (row, "Log and outcome"), (self.job_text, "Chosen job")):
            self.tabs.addTab(widget, title)
        return self.tabs

    def _buttons(self) -> QWidget:
        row = QHBoxLayout()
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2 * GRID)
        for button in (self.start_button, self.queue_button, self.pause_button, self.cancel_button):
            row.addWidget(button)
        right = QVBoxLayout()
        right.setSpacing(GRID)
        right.addWidget(self.progress_bar)
        words = QHBoxLayout()
        words.setSpacing(0)
        words.addWidget(self.progress_text)
        words.addWidget(self.why_not, 1)
        right.addLayout(words)
        row.addSpacing(2 * GRID)
        row.addLayout(right, 1)
        widget = QWidget()
        widget.setLayout(row)
        return widget

    def _connect(self) -> None:
        session, runner = self._session, self._session.runner
        self.start_button.clicked.connect(self.start)
        self.queue_button.clicked.connect(self.enqueue)
        self.jobs_panel.selected.connect(self.job_text.show_job)
        self.jobs_panel.table.clicked.connect(lambda _: self.tabs.setCurrentWidget(self.job_text))
        session.queue.changed.connect(self._on_queue)
        self.pause_button.clicked.connect(self.toggle_pause)
        self.cancel_button.clicked.connect(runner.cancel)
        self.output_field.changed.connect(self._refresh)
        self.output_field.edited.connect(self._on_output_edited)
        self.verify_combo.currentIndexChanged.connect(self._on_verify)
        self.device_combo.currentIndexChanged.connect(self._on_device)
        self.memory_limits.limits_changed.connect(session.set_limits)
        session.device_changed.connect(self.memory_limits.set_device)
        session.catalog_changed.connect(self._on_catalog)
        session.checkpoint_changed.connect(self._on_checkpoint)
        session.checkpoint_changed.connect(self.shards_choice.set_checkpoint)
        session.recipe_changed.connect(self._suggest)
        session.plan_changed.connect(self._on_plan)
        runner.started.connect(self._on_started)
        runner.batch.connect(self._on_batch)
        runner.progressed.connect(self._on_progress)
        runner.state_changed.connect(self._on_state)
        runner.failed.connect(self._on_failed)
        runner.finished.connect(self._on_finished)

    def _on_catalog(self, catalog: Catalog) -> None:
        wanted = self.device_combo.currentData() or self._settings.text("device") or self._session.device
        self.device_combo.blockSignals(True)
        self.device_combo.clear()
        for device in catalog.devices:
            self.device_combo.addItem(device, device)
        self.device_combo.setCurrentIndex(max(0, self.device_combo.findData(wanted)))
        self.device_combo.blockSignals(False)
        self._session.set_device(self.device_combo.currentData())

    def _on_device(self) -> None:
        device = self.device_combo.currentData()
        self._settings.set("device", device)
        self._session.set_device(device)

    def _on_verify(self) -> None:
        self._settings.set("verify", self.verify_combo.currentData())

    def _on_output_edited(self, path: str) -> None:
        self._chosen_by_hand = True
        parent = path.replace("\\", "/").rpartition("/")[0]
        if parent:
            self._parent_folder = parent
            self._settings.set("output/parent", parent)

    def _on_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        self._chosen_by_hand = False
        self._suggest()

    def _suggest(self) -> None:
        checkpoint = self._session.checkpoint
        if checkpoint is not None and not self._chosen_by_hand:
            taken = self._session.queue.outputs
            self.output_field.set_path(suggest(checkpoint, self._session.recipe, self._parent_folder, taken))

    def _on_plan(self, outcome: Plan | QtQuantError | None) -> None:
        plan = outcome if isinstance(outcome, Plan) else None
        if plan is not None:
            self.output_field.set_needed(plan.disk_bytes)
        if not self._session.runner.state.active and plan is not None:
            self.job_model.set_plan(plan)
            self.progress_text.setText(_forecast_words(plan))
        self._refresh()

    def _on_started(self, plan: Plan) -> None:
        self.error_panel.show_error(None)
        self.job_model.set_plan(plan)
        self.outcome_card.set_report(None)
        options = self._session.runner.options
        output = options.output if options else ""
        self.log.add([f"{plan.label} to {output}, {plan.format}, on {plan.device}"])
        self.progress_bar.setValue(0)
        self.progress_text.setText("starting")

    def _on_batch(self, events: list[Event]) -> None:
        self.job_model.add(events)
        self.log.add_events(events)

    def _on_progress(self, progress: Progress) -> None:
        self.progress_bar.setValue(round(STEPS * progress.fraction))
        runner = self._session.runner
        instead = "paused" if runner.state is RunState.PAUSED else ""
        if not instead and runner.waits_for:
            instead = f"waiting: {runner.waits_for}"
        self.progress_text.setText(progress_words(progress, instead))

    def _on_state(self, state: RunState) -> None:
        if state in (RunState.PAUSED, RunState.CANCELLING, RunState.CANCELLED):
            self.log.add([_STATE_LINES[state]])
            self.progress_text.setText(_STATE_LINES[state])
        if state is RunState.RUNNING and self._session.runner.plan is None:
            self.progress_bar.setValue(0)
            self.progress_text.setText("planning")
        if not state.active:
            self.output_field.settle()
        self._refresh()

    def _on_failed(self, error: QtQuantError) -> None:
        self.error_panel.show_error(error)
        self.log.add([f"failed: {error.message}"])
        self.progress_text.setText("failed")

    def _on_finished(self, report: RunReport) -> None:
        self.progress_bar.setValue(STEPS)
        self.outcome_card.set_report(report)
        proof = "verified" if report.verified else "not verified"
        took = duration_text(report.seconds)
        self.progress_text.setText(f"{bytes_text(report.output_bytes)} written in {took}, {proof}")
        self.log.add([f"saved {report.output} in {took}, {proof}"])

    def _on_queue(self) -> None:
        self.output_field.set_taken(self._session.queue.outputs)
        self._refresh()

    def _refresh(self) -> None:
        state = self._session.runner.state
        missing = self._missing()
        reason = "" if state.active else missing
        self.progress_text.setVisible(not reason)
        self.why_not.setText(reason)
        self.why_not.setVisible(bool(reason))
        self.start_button.setEnabled(not state.active and not reason and self.output_field.ready)
        self.queue_button.setEnabled(not missing and self.output_field.ready)
        self.start_button.setText("&Go on" if self.output_field.resume and not state.active else "&Start")
        self.pause_button.setEnabled(state in (RunState.RUNNING, RunState.PAUSED))
        self.pause_button.setText("Resu&me" if state is RunState.PAUSED else "&Pause")
        self.pause_button.set_drawing("play" if state is RunState.PAUSED else "pause")
        self.pause_button.setAccessibleName("Resume" if state is RunState.PAUSED else "Pause")
        self.cancel_button.setEnabled(state in (RunState.RUNNING, RunState.PAUSED))
        if self.isVisible() and not reason and self.output_field.known:
            self._prober.look(self.output_field.path)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._refresh()

    def _missing(self) -> str:
        """What has to come before a run, in a sentence; empty where nothing does."""
        if self._session.checkpoint is None:
            return "Open a checkpoint on the Source page first."
        if self._session.refusal is not None:
            return f"The plan is refused: {self._session.refusal.message}"
        return "Planning…" if self._session.plan is None else ""


_STATE_LINES = {
    RunState.PAUSED: "paused",
    RunState.CANCELLING: "cancelling: finishing the chunk at hand",
    RunState.CANCELLED: "cancelled; what is finished is kept for a later start",
}


def _forecast_words(plan: Plan) -> str:
    words = f"about {duration_text(plan.seconds_estimate)}, {bytes_text(plan.peak_ram_bytes)} of memory at the peak"
    samples = plan.calibration
    if samples is None:
        return words
    own = f" and {samples.own:,} by the model" if samples.own else ""
    return f"{words}, calibrating with {plural(samples.samples, 'sample')}{own} included"


def progress_words(progress: Progress, instead: str = "") -> str:
    """Bytes, rate, time left and stage in one line; the block in their place while the model is calibrated.

    `instead` stands for the stage and what it promises.
    """
    parts = [share_text(progress.fraction, 1, 0)]
    by_steps = bool(progress.text)  # which have no size that anybody would know
    if by_steps:
        parts.append(f"calibrating {progress.text}")
    elif progress.bytes_total:
        parts.append(f"{bytes_text(progress.bytes_done)} of {bytes_text(progress.bytes_total)}")
    if instead:
        return "  \u00b7  ".join([*parts, instead])
    if progress.rate is not None and not by_steps:
        parts.append(rate_text(progress.rate))
    if progress.seconds_left is not None and progress.fraction < 1:
        parts.append(f"{duration_text(progress.seconds_left)} left")
    if progress.stage and not by_steps:
        parts.append(STAGES.get(progress.stage, progress.stage))
    if progress.fetched:
        parts.append(progress.fetched)
    return "  \u00b7  ".join(parts)
