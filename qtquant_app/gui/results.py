"""The results that are compared: added, looked up in a worker, and evaluated one after the other where numbers are missing."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.events import Event, TextRead
from qtquant_app.core.results import ResultRow, ResultTable, Skipped, table
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.latest import Latest


@dataclass(frozen=True, slots=True)
class Listed:
    """A result as it stands in the list."""

    row: ResultRow
    state: str
    """What is known of its evaluation, in a word or two; empty where it has one."""
    error: str = ""
    """Why it could not be evaluated."""


class Results(QObject):
    """What is compared. Results keep their numbers in their own records; those of others are kept here, until the window closes."""

    changed = Signal()
    """The list, or what is being done with it."""
    progressed = Signal(float, object)
    """How far the evaluation at hand is, 0.0 to 1.0, and the seconds that it still takes, or None."""
    failed = Signal(object)
    """QtQuantError: the list could not be looked up."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._found = ResultTable(())
        self.known = False
        """Whether the list is what was asked for last, and not merely empty because nothing could be looked up."""
        self._own: dict[str, tuple[str, Evaluated]] = {}
        """By path: the original, and what was found beside it here."""
        self._errors: dict[str, QtQuantError] = {}
        self._waiting: list[str] = []
        self._original: Checkpoint | None = None
        self._device = "auto"
        self.evaluating = ""
        """The path of the result that is being evaluated; empty where none is."""
        self._began = 0.0
        self._asked: list[str] = []
        """What is being looked up, and is not in the list yet."""
        self._given_up = False
        self._collector, self._evaluator = Latest(self), Latest(self)
        self._collector.result.connect(self._on_collected)
        self._collector.failed.connect(self._on_lost)
        self._collector.busy_changed.connect(lambda _: self.changed.emit())
        self._evaluator.result.connect(self._on_evaluated)
        self._evaluator.failed.connect(self._on_failed)
        self._evaluator.batch.connect(self._on_batch)
        self._evaluator.busy_changed.connect(self._on_evaluator)

    @property
    def rows(self) -> tuple[ResultRow, ...]:
        """The smallest first."""
        return self._found.rows

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """What was added last and is nothing to compare."""
        return self._found.skipped

    @property
    def listed(self) -> tuple[Listed, ...]:
        """The rows with what becomes of each."""
        return tuple(Listed(row, self._state(row), self._error(row.path)) for row in self.rows)

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(row.path for row in self.rows)

    @property
    def missing(self) -> tuple[str, ...]:
        """Those that nobody has evaluated."""
        return tuple(row.path for row in self.rows if row.evaluation is None)

    @property
    def collecting(self) -> bool:
        return self._collector.busy

    @property
    def left(self) -> int:
        """How many evaluations are still to come, the one at hand included."""
        return len(self._waiting) + bool(self.evaluating)

    def add(self, paths: Iterable[str]) -> None:
        """Looks up what is at `paths`, beside what is here already; a folder stands for all results in it."""
        self._asked += paths
        self._collector.submit(self._verbs.collect((*self.paths, *self._asked)))

    def remove(self, paths: Iterable[str]) -> None:
        """Takes results off the list; files stay."""
        gone = set(paths)
        self._waiting = [path for path in self._waiting if path not in gone]
        if self.evaluating in gone:
            self._give_up()
        self._take(table([row for row in self.rows if row.path not in gone]))

    def evaluate(self, paths: Iterable[str], original: Checkpoint, device: str) -> None:
        """Evaluates results one after the other beside `original`, on the built-in samples."""
        self._original, self._device = original, device
        self._waiting = list(dict.fromkeys(paths))
        for path in self._waiting:
            self._errors.pop(path, None)
        if self.evaluating:
            self._waiting = [path for path in self._waiting if path != self.evaluating]
        elif not self._evaluator.busy:
            self._advance()
        self.changed.emit()

    def stop(self) -> None:
        """Gives up the evaluation at hand and those to come."""
        self._waiting = []
        self._give_up()
        self.changed.emit()

    def _state(self, row: ResultRow) -> str:
        if row.path == self.evaluating:
            return "being evaluated"
        if row.path in self._waiting:
            return "waits"
        if row.path in self._errors:
            return "failed"
        return "not evaluated" if row.evaluation is None else ""

    def _error(self, path: str) -> str:
        error = self._errors.get(path)
        return "" if error is None else error.message

    def _advance(self) -> None:
        if self._waiting and self._original is not None:
            self.evaluating, self._began = self._waiting.pop(0), time.monotonic()
            self._evaluator.submit(self._verbs.evaluate(self.evaluating, self._original.source, "", self._device))

    def _on_batch(self, events: list[Event]) -> None:
        read = next((event for event in reversed(events) if isinstance(event, TextRead)), None)
        if read is not None and read.total:
            part = read.done / read.total
            left = (time.monotonic() - self._began) * (1 - part) / part if part else None
            self.progressed.emit(part, left)

    def _give_up(self) -> None:
        if self._evaluator.busy:
            self._given_up = True
            self._evaluator.cancel()

    def _on_evaluator(self, busy: bool) -> None:
        if not busy and self._given_up:  # else the outcome follows, and what is next after it
            self._given_up = False
            self._go_on()

    def _go_on(self) -> None:
        self.evaluating = ""
        self._advance()
        self.changed.emit()

    def _on_evaluated(self, found: Evaluation) -> None:
        assert self._original is not None
        self._own[self.evaluating] = _called(self._original), evaluated(found)
        self._take(self._found)
        self._go_on()

    def _on_failed(self, error: QtQuantError) -> None:
        self._errors[self.evaluating] = error
        self._go_on()

    def _on_lost(self, error: QtQuantError) -> None:
        self._asked = []
        self.failed.emit(error)

    def _on_collected(self, found: ResultTable) -> None:
        self._asked = []
        self._take(found)

    def _take(self, found: ResultTable) -> None:
        self.known = True
        self._found = table([self._known(row) for row in found.rows], found.skipped)
        self.changed.emit()

    def _known(self, row: ResultRow) -> ResultRow:
        """With what was found here, where its own record does not say it."""
        base, own = self._own.get(row.path, ("", None))
        if own is None or own in row.evaluations:
            return row
        return replace(row, base=row.base or base, evaluations=(*row.evaluations, own))


def _called(original: Checkpoint) -> str:
    """What records call it: the Hub's name, or the last part of its path."""
    return original.source if original.remote is not None else Path(original.source).name


def evaluated(found: Evaluation) -> Evaluated:
    """What a record would keep of an evaluation."""
    return Evaluated(
        found.text,
        found.tokens,
        found.base_perplexity,
        found.perplexity,
        found.kl,
        found.kl_interval,
        found.top1_agreement,
        found.activations,
    )
