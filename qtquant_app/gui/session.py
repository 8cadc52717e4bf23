"""The session: what is open and what is chosen. Pages talk to each other only through it."""

from __future__ import annotations

import traceback
from dataclasses import replace

from PySide6.QtCore import QObject, QTimer, Signal

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint, Statistics
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event, TensorDone, Verified
from qtquant_app.core.limits import Limits
from qtquant_app.core.masking import masked
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import RunReport, VerifyReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.account import Account
from qtquant_app.gui.catalog import Catalog
from qtquant_app.gui.failure_report import internal_report
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.job_queue import JobQueue
from qtquant_app.gui.recipe_history import RecipeHistory
from qtquant_app.gui.results import Results
from qtquant_app.gui.runner import Runner, RunState
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.verifier import Verifier
from qtquant_app.jobs.latest import Latest

PLAN_DELAY_MS = 150
AT_ONCE = 4000
"""Up to so many tensors the tree is there at once."""
TENSORS_PER_MS = 80
"""What the tree of a large checkpoint takes: on two cores 60,000 tensors show within half a second, and a margin."""


class Session(QObject):
    """Holds the checkpoint, the recipe, the plan that follows from both, the selected tensor and the last report."""

    checkpoint_changed = Signal(object)
    """Checkpoint | None."""
    recipe_changed = Signal(object)
    """Recipe."""
    plan_changed = Signal(object)
    """Plan | QtQuantError | None: made in a worker, a moment after the checkpoint, the recipe or the device changed."""
    selection_changed = Signal(str)
    """The name of a tensor; empty where none is selected."""
    tensor_reported = Signal(object)
    """list[TensorReport], as a run finishes or verifies tensors."""
    run_finished = Signal(object)
    """RunReport."""
    message = Signal(str, str)
    """Text and detail, for the status strip."""
    opening_changed = Signal(str)
    """The path being opened; empty when that is over."""
    open_failed = Signal(object)
    """QtQuantError."""
    planning_changed = Signal(bool)
    device_changed = Signal(str)
    statistics_changed = Signal(object)
    """Checkpoint: the one that is open, now with a file that says which columns matter, or without one."""
    statistics_failed = Signal(object)
    """QtQuantError: such a file cannot be read, or is of another model."""
    statistics_reading = Signal(bool)
    calibration_changed = Signal(object)
    """Calibration."""
    catalog_changed = Signal(object)
    """Catalog."""

    def __init__(self, verbs: Verbs | None = None, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.verbs = verbs or Verbs()
        self.runner = Runner(self.verbs, self)
        self.queue = JobQueue(self.verbs, self.runner, self)
        self.verifier = Verifier(self.verbs, self)
        self.account = Account(self.verbs, self)
        """Who is signed in to the Hub."""
        self.results = Results(self.verbs, self)
        """What the Compare page holds side by side."""
        self._checkpoint: Checkpoint | None = None
        self._recipe = Recipe()
        self.history = RecipeHistory(self)
        """Undo and redo of what `set_recipe` did."""
        self._plan: Plan | None = None
        self._refusal: QtQuantError | None = None
        self._selection = ""
        self._report: RunReport | None = None
        self._device = "auto"
        self._limits = Limits()
        self._calibration = Calibration()
        self._catalog = Catalog()
        self._opener = self._latest(self._opened, self._not_opened)
        self._planner = self._latest(self._planned, self._refused)
        self._cataloguer = self._latest(self._catalogued, self.report_error)
        self._warmer = self._latest(lambda _: None, self.report_error)
        self._attacher = self._latest(self._attached, self.statistics_failed)
        self._attacher.busy_changed.connect(self.statistics_reading)
        self._planner.busy_changed.connect(self.planning_changed)
        self._plan_timer = QTimer(self, singleShot=True, interval=PLAN_DELAY_MS)
        self._plan_timer.timeout.connect(self._start_planning)
        self._warm_timer = QTimer(self, singleShot=True)
        self._warm_timer.timeout.connect(self._warm_up)
        self.history.taken.connect(self._take_recipe)
        self._connect_runner()

    @property
    def checkpoint(self) -> Checkpoint | None:
        return self._checkpoint

    @property
    def recipe(self) -> Recipe:
        return self._recipe

    @property
    def plan(self) -> Plan | None:
        """The plan for the checkpoint and recipe as they are; None while it is being made or where it is refused."""
        return self._plan

    @property
    def refusal(self) -> QtQuantError | None:
        """Why there is no plan, where the planner refused."""
        return self._refusal

    @property
    def selection(self) -> str:
        return self._selection

    @property
    def report(self) -> RunReport | None:
        """What the last run on this checkpoint came to."""
        return self._report

    @property
    def device(self) -> str:
        return self._device

    @property
    def calibration(self) -> Calibration:
        """Which samples methods look at that need some."""
        return self._calibration

    @property
    def catalog(self) -> Catalog:
        """The formats and devices there are; a short default until `load_catalog` has ended."""
        return self._catalog

    def load_catalog(self) -> None:
        """Reads the registry in a worker; emits `catalog_changed`."""
        self._cataloguer.submit(self.verbs.catalog())

    def open(self, path: str) -> None:
        """Opens a folder, a file or "sample" in a worker; emits `checkpoint_changed` or `open_failed`."""
        self.opening_changed.emit(path)
        self._opener.submit(self.verbs.open(path))

    def close(self) -> None:
        """Forgets the checkpoint."""
        self._take(None)

    def set_statistics(self, path: str) -> None:
        """Has errors weighed as the file at `path` says columns matter, which a worker reads; empty for all alike."""
        if self._checkpoint is None:
            return
        if path:
            self._attacher.submit(self.verbs.with_statistics(self._checkpoint, path))
        else:
            self._attacher.cancel()
            self._attached(replace(self._checkpoint, statistics=Statistics()))

    def set_calibration(self, calibration: Calibration) -> None:
        """Has methods look at other samples; the plan is made anew where it looks at any."""
        if calibration != self._calibration:
            self._calibration = calibration
            if self._plan is None or self._plan.calibration is not None:
                self._drop_plan()
            self.calibration_changed.emit(calibration)

    def set_recipe(self, recipe: Recipe, what: str = "") -> None:
        """Changes the recipe, as a step that `history` can undo; `what` is what the step is called, if not by what it changes."""
        if recipe != self._recipe:
            self.history.edit(self._recipe, recipe, what)

    def start_recipe(self, recipe: Recipe) -> None:
        """Begins with `recipe`: nothing before it can be undone."""
        self._take_recipe(recipe)
        self.history.clear()

    def set_default_scheme(self, scheme: Scheme) -> None:
        self.set_recipe(replace(self._recipe, default=scheme))

    def set_limits(self, limits: Limits) -> None:
        """Changes the ceilings that runs keep, and so the plan."""
        if limits != self._limits:
            self._limits = limits
            self._drop_plan()

    def set_device(self, device: str) -> None:
        if device != self._device:
            self._device = device
            self._drop_plan()
            self.device_changed.emit(device)

    def refine_plan(self, plan: Plan, better: Plan) -> None:
        """Takes `better` in the place of `plan`: the same, with what was measured since; not where another is held by now."""
        if self._plan is plan:
            self._planned(better)

    def select(self, name: str) -> None:
        if name != self._selection:
            self._selection = name
            self.selection_changed.emit(name)

    def report_error(self, error: QtQuantError) -> None:
        """An error as a message: the sentence in the strip, hint and traceback as its detail."""
        self.message.emit(error.message, error_detail(error))

    def _latest(self, on_result: object, on_failed: object) -> Latest:
        latest = Latest(self)
        latest.result.connect(on_result)
        latest.failed.connect(on_failed)
        return latest

    def _connect_runner(self) -> None:
        self.runner.batch.connect(self._on_events)
        self.runner.finished.connect(self._on_run_finished)
        self.runner.failed.connect(self.report_error)
        self.queue.failed.connect(self.report_error)
        self.runner.state_changed.connect(self._on_run_state)
        self.verifier.failed.connect(self.report_error)
        self.verifier.finished.connect(self._on_verified)

    def _opened(self, checkpoint: Checkpoint) -> None:
        self.opening_changed.emit("")
        self._take(checkpoint)
        self._warm_timer.start(settling_ms(checkpoint))
        self.message.emit(f"Opened {checkpoint.label}: {len(checkpoint.tensors):,} tensors", "")

    def _warm_up(self) -> None:
        if self._checkpoint is not None:
            self._warmer.submit(self.verbs.warm_up(self._checkpoint))

    def _not_opened(self, error: QtQuantError) -> None:
        self.opening_changed.emit("")
        self.open_failed.emit(error)
        self.report_error(error)

    def _take_recipe(self, recipe: Recipe) -> None:
        if recipe != self._recipe:
            self._recipe = recipe
            self._drop_plan()
            self.recipe_changed.emit(recipe)

    def _attached(self, checkpoint: Checkpoint) -> None:
        """Takes the checkpoint that is open in another guise."""
        self._checkpoint = checkpoint
        self._drop_plan()
        self.statistics_changed.emit(checkpoint)

    def _take(self, checkpoint: Checkpoint | None) -> None:
        self._attacher.cancel()
        self._checkpoint = checkpoint
        self._report = None
        self.select("")
        self._drop_plan()
        if checkpoint is not None:
            self._plan_timer.start(PLAN_DELAY_MS + settling_ms(checkpoint))
        self.checkpoint_changed.emit(checkpoint)

    def _drop_plan(self) -> None:
        """The plan no longer answers what is chosen; a new one follows once the choices rest."""
        self._planner.cancel()
        self._plan, self._refusal = None, None
        if self._checkpoint is None:
            self._plan_timer.stop()
            self.plan_changed.emit(None)
        else:
            self._plan_timer.start()

    def _start_planning(self) -> None:
        if self._checkpoint is not None:
            choices = self._device, self._limits, self._calibration
            self._planner.submit(self.verbs.plan(self._checkpoint, self._recipe, None, *choices))

    def _planned(self, plan: Plan) -> None:
        self._plan, self._refusal = plan, None
        self.plan_changed.emit(plan)

    def _refused(self, error: QtQuantError) -> None:
        self._plan, self._refusal = None, error
        self.plan_changed.emit(error)

    def _catalogued(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.catalog_changed.emit(catalog)

    def _on_events(self, events: list[Event]) -> None:
        reports = [event.report for event in events if isinstance(event, (TensorDone, Verified))]
        if reports and self._runs_what_is_open:
            self.tensor_reported.emit(reports)

    @property
    def _runs_what_is_open(self) -> bool:
        """Whether the run is one of the checkpoint that is open: jobs of the queue may be of others."""
        plan, checkpoint = self.runner.plan, self._checkpoint
        return plan is None or (checkpoint is not None and plan.fingerprint == checkpoint.fingerprint)

    def _on_run_finished(self, report: RunReport) -> None:
        if self._runs_what_is_open:
            self._report = report
        proof = "verified" if report.verified else "not verified"
        self.message.emit(f"Saved {report.output} in {report.seconds:.1f} s, {proof}", "")
        self.run_finished.emit(report)

    def _on_verified(self, report: VerifyReport) -> None:
        found = "all as it was written" if report.ok else "the files differ from what was written"
        self.message.emit(f"Verified {self.verifier.folder}: {found}", "\n".join(_lines(report)))

    def _on_run_state(self, state: RunState) -> None:
        if state is RunState.CANCELLED:
            self.message.emit("The run was cancelled; starting it again goes on where it stopped", "")


def settling_ms(checkpoint: Checkpoint) -> int:
    """How long other work on a new checkpoint waits: the layer tree, which is made at that time, has the interpreter first."""
    count = len(checkpoint.tensors)
    return count // TENSORS_PER_MS if count > AT_ONCE else 0


def error_detail(error: QtQuantError) -> str:
    """What there is to know beyond the sentence: the hint, the code, and of a foreign exception the traceback or all the report."""
    hint = window_hint(error)
    parts = [hint] if hint else []
    parts.append(f"code: {error.code}")
    if error.code == "internal":
        parts.append(f"\n{internal_report(error)}")
    elif error.__cause__ is not None:
        parts.append(masked("".join(traceback.format_exception(error.__cause__)).rstrip()))
    return "\n".join(parts)


def _lines(report: VerifyReport) -> list[str]:
    return [f"{mismatch.where}: {mismatch.text}" for mismatch in report.mismatches]
