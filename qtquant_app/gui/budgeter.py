"""The budget planner behind the window: measures once, then finds the best mix for each target as fast as targets come."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, QTimer, Signal

from qtquant_app.core.budget import Budget, Treatment
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.events import Event, RunStarted, StageChanged, TensorScanned, TextRead
from qtquant_app.core.quantities import duration_text, plural, share_text
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.target import Target
from qtquant_app.gui.models.budget_reach import Reach, reach_of
from qtquant_app.gui.progress import ProgressMeter
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.budget import Measured

PAINTED_MS = 12
"""A mix is painted before the next one is looked for."""
DOT = "  \u00b7  "


@dataclass(frozen=True)
class Wish:
    """What a measure is of, besides the checkpoint and the recipe."""

    schemes: tuple[Treatment, ...] = ()
    locked: tuple[str, ...] = ()
    calibration: str = ""
    """Empty where the weights alone tell; "default" for the built-in text, or the path of one."""
    runtimes: tuple[str, ...] = ()
    """Readers that must load the result."""


class Budgeter(QObject):
    """Knows what was measured of which recipe, the newest target and the mix that was found for it.

    Of targets that come while a mix is looked for only the newest is looked at next, so that a slider never falls behind;
    the mix under way is finished and shown, so that it never stands still either.
    """

    measuring_changed = Signal(bool)
    progressed = Signal(float, str)
    """Done, 0 to 1, and in words."""
    measured = Signal(object)
    """Reach."""
    failed = Signal(object)
    """QtQuantError: nothing was measured."""
    solved = Signal(object)
    """Budget: the mix for a target, or the same with its proof."""
    refused = Signal(object)
    """QtQuantError: the newest target has no mix."""
    checking_changed = Signal(bool)
    check_progressed = Signal(float, str)
    check_failed = Signal(object)
    """QtQuantError."""
    dropped = Signal()
    """What was measured is of another checkpoint, and gone."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._weighs, self._solves, self._checks = Latest(self), Latest(self), Latest(self)
        self._asked: tuple[Recipe, Wish] | None = None
        self._of: tuple[Recipe, Wish] | None = None
        self._found: Measured | None = None
        self._applied: Recipe | None = None
        self._target: Target | None = None
        self._meter = _Meter()
        self.reach: Reach | None = None
        """What was measured can come to; None where nothing is."""
        self.budget: Budget | None = None
        """The mix found last."""
        self._pause = QTimer(self, singleShot=True, interval=PAINTED_MS)
        self._pause.timeout.connect(self._solve)
        self._connect()

    @property
    def measuring(self) -> bool:
        return self._weighs.busy

    @property
    def solving(self) -> bool:
        """Whether the mix for the newest target is still to come."""
        return self._target is not None or self._solves.busy

    @property
    def checking(self) -> bool:
        return self._checks.busy

    def why_stale(self, recipe: Recipe, wish: Wish) -> str:
        """Why what was measured does not answer `recipe` and `wish`; empty where it does, or where nothing was."""
        if self._of is None:
            return ""
        base, of = self._of
        if _decided(self.base(recipe)) != _decided(base):
            return "The recipe's rules, ignore patterns or format have changed since this was measured."
        return "" if wish == of else "What the budget may do has changed since this was measured."

    def base(self, recipe: Recipe) -> Recipe:
        """`recipe`, or where it is a mix of ours the recipe that the mix was made for: its rules decide nothing."""
        return self._of[0] if self._of is not None and recipe == self._applied else recipe

    def measure(self, checkpoint: Checkpoint, recipe: Recipe, wish: Wish, device: str = "auto") -> None:
        """Measures every tensor under all that is allowed, and under the recipe's default, so that a mix can be held against it;
        another measuring is cancelled."""
        self._asked = self.base(recipe), wish
        self._meter = _Meter(len(checkpoint.tensors))
        work = self._verbs.weigh(
            checkpoint,
            self._asked[0],
            wish.schemes,
            wish.locked,
            wish.calibration,
            device,
            runtimes=wish.runtimes,
            also=(recipe.default,),
        )
        self._weighs.submit(_reaching(work))

    def cancel(self) -> None:
        """Stops measuring; what was measured before stays."""
        self._weighs.cancel()

    def forget(self) -> None:
        """Drops all: another checkpoint is open, or none."""
        for latest in (self._weighs, self._solves, self._checks):
            latest.cancel()
        self._drop()
        self.dropped.emit()

    def aim(self, target: Target) -> None:
        """Makes `target` the newest; a check of the mix before it is given up."""
        if self._found is None:
            return
        self._checks.cancel()
        self._target = target
        if not self._solves.busy and not self._pause.isActive():
            self._solve()

    def applied(self, recipe: Recipe) -> None:
        """The mix has become the recipe."""
        self._applied = recipe

    def check(self) -> None:
        """Runs the mix and the uniform scheme beside it on that half of the text that had no part in measuring, or of the
        built-in text where there was none; the budget comes again with its proof."""
        if self._found is not None and self.budget is not None and self._of is not None:
            self._meter = _Meter()
            text = self._of[1].calibration or "default"
            self._checks.submit(self._verbs.check(self._found, self.budget, text))

    def cancel_check(self) -> None:
        self._checks.cancel()

    def _connect(self) -> None:
        self._weighs.batch.connect(lambda events: self.progressed.emit(*self._meter.add(events)))
        self._weighs.result.connect(self._take_measured)
        self._weighs.failed.connect(self.failed)
        self._weighs.busy_changed.connect(self.measuring_changed)
        self._solves.result.connect(self._take_budget)
        self._solves.failed.connect(self._refuse)
        self._solves.busy_changed.connect(self._go_on)
        self._checks.batch.connect(lambda events: self.check_progressed.emit(*self._meter.add(events)))
        self._checks.result.connect(self._take_budget)
        self._checks.failed.connect(self.check_failed)
        self._checks.busy_changed.connect(self.checking_changed)

    def _drop(self) -> None:
        self._pause.stop()
        self._found = self._of = self._applied = self._target = None
        self.reach = self.budget = None

    def _take_measured(self, found: tuple[Measured, Reach]) -> None:
        self._solves.cancel()
        self._checks.cancel()
        self._drop()
        self._of, (self._found, self.reach) = self._asked, found
        self.measured.emit(self.reach)

    def _solve(self) -> None:
        if self._found is not None and self._target is not None:
            wanted, self._target = self._target, None
            self._solves.submit(self._verbs.solve(self._found, wanted))

    def _take_budget(self, budget: Budget) -> None:
        self.budget = budget
        self.solved.emit(budget)

    def _refuse(self, error: object) -> None:
        if self._target is None:
            self.budget = None
            self.refused.emit(error)

    def _go_on(self, busy: bool) -> None:
        if not busy and self._target is not None:
            self._pause.start()


class _Meter:
    """Adds up the events of work that goes over the checkpoint more than once, or has the model read a text."""

    def __init__(self, tensors: int = 0) -> None:
        self._awaited = tensors
        self._tensors = 0
        self._meter = ProgressMeter(time.monotonic())
        self._text: TextRead | None = None
        self._text_began = (0.0, 0)
        """When the first stretch of the text was through, and how long it was."""

    def add(self, events: list[Event]) -> tuple[float, str]:
        """How much of the pass is done, 0 to 1, and in words."""
        for event in events:
            self._count(event)
        return self._read(self._text) if self._text is not None else self._scanned()

    def _count(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case RunStarted():
                self._meter, self._tensors, self._text = ProgressMeter(now), 0, None
            case StageChanged():
                self._text = None
            case TextRead():
                if self._text is None:
                    self._text_began = now, event.done
                self._text = event
            case TensorScanned():
                self._tensors += 1
        self._meter.add((event,), now)

    def _scanned(self) -> tuple[float, str]:
        progress = self._meter.at(time.monotonic())
        total = max(progress.tensors_total or self._awaited, self._tensors)
        done = progress.fraction if progress.bytes_total else self._tensors / max(1, total)
        count = f"{self._tensors:,} of {plural(total, 'tensor')}" if self._tensors else ""
        return done, _words(done, count, progress.seconds_left)

    def _read(self, text: TextRead) -> tuple[float, str]:
        since, first = self._text_began
        took, read = time.monotonic() - since, text.done - first
        left = took * (text.total - text.done) / read if read else None
        done = text.done / max(1, text.total)
        return done, _words(done, f"{text.done:,} of {plural(text.total, 'token')} of the text", left)


def _words(done: float, count: str, seconds_left: float | None) -> str:
    left = f"{duration_text(seconds_left)} left" if seconds_left is not None and done < 1 else ""
    return DOT.join(part for part in (share_text(done, 1, 0), count, left) if part)


def _decided(recipe: Recipe) -> Recipe:
    """What of a recipe a measure depends on: its default is left to the budget."""
    return replace(recipe, default=Recipe().default)


def _reaching(work: Work) -> Work:
    """`work` that returns a Measured, returning its Reach along with it."""

    def reaching() -> Generator[Event, None, Any]:
        found: Measured = yield from work()
        return found, reach_of(found)

    return reaching
