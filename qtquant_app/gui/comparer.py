"""The figures of schemes over tensors: each measured once, in a worker, and kept for as long as the checkpoint is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import PlanError, QtQuantError
from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.quantities import plural, share_text
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.text import sentence_case
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.compare import Compared, Comparison

DELAY_MS = 150
STOPPED = "Stopped; Measure goes on with the schemes that have no figures yet."

Key = tuple[tuple[str, ...], Scheme, str]
"""What figures are of: tensors, scheme, format."""


class Comparer(QObject):
    """Measures the figures that are wanted and not there; a newer wish replaces an older one."""

    found = Signal()
    """There are new figures."""
    changed = Signal()
    """The measuring began, went on, ended or failed."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._figures: dict[Key, Compared] = {}
        self._left_out: dict[tuple[str, ...], str] = {}
        """Why some of the tensors are in no figure."""
        self._refused: dict[Key, str] = {}
        """Why a scheme can have no figures over these tensors."""
        self._keys: tuple[Key, ...] = ()
        """All that figures are shown of."""
        self._singly = False
        """One scheme at a time: one of them was refused, and it takes the others along."""
        self._checkpoint: Checkpoint | None = None
        self._wanted: tuple[Key, ...] = ()
        self._asked: tuple[Key, ...] = ()
        self._halted = False
        """Whether the person stopped the measuring, or it failed."""
        self._note = ""
        self._progress = (0, 0)
        self.latest = Latest(self)
        self._timer = QTimer(self, singleShot=True, interval=DELAY_MS)
        self._timer.timeout.connect(self._ask)
        self.latest.batch.connect(self._count)
        self.latest.result.connect(self._take)
        self.latest.failed.connect(self._fail)

    @property
    def busy(self) -> bool:
        return bool(self._asked)

    @property
    def stopped(self) -> bool:
        """Whether there is something to measure that is left alone until `go_on`."""
        return self._halted and bool(self._wanted)

    def figures(self, key: Key) -> Compared | None:
        """What was measured; None where it was not."""
        return self._figures.get(key)

    def why_not(self, key: Key) -> str:
        """Why there are no figures and will be none; empty where there may be."""
        return self._refused.get(key, "")

    def text(self, layers: tuple[str, ...]) -> str:
        """How the measuring stands, in a line."""
        if not self._asked:
            left_out = self._left_out.get(layers, "")
            whys = [f"{key[1].label}: {self._refused[key]}" for key in self._keys if key in self._refused]
            return self._note or (f"Left out: {left_out}" if left_out else "; ".join(whys))
        part = f": {share_text(*self._progress, digits=0)}" if self._progress[1] else ""
        return f"Measuring {plural(len(self._asked), 'scheme')} over {plural(len(layers), 'tensor')}{part}"

    def forget(self) -> None:
        """Drops all figures, and those that are being measured: they are of one checkpoint."""
        self.rest()
        self._figures.clear()
        self._left_out.clear()
        self._refused.clear()

    def want(self, checkpoint: Checkpoint | None, keys: tuple[Key, ...]) -> None:
        """Measures those of `keys`, all over the same tensors, that have no figures, once the choices rest."""
        self._checkpoint = checkpoint
        self._keys = keys
        self._wanted = tuple(key for key in keys if key not in self._figures and key not in self._refused)
        if not self._wanted or self._halted or checkpoint is None:
            self.rest()
            self._singly = False
        elif self._wanted != self._asked:
            self._timer.start()
        self.changed.emit()

    def rest(self) -> None:
        """Measures nothing until something is wanted again."""
        self._timer.stop()
        self.latest.cancel()
        self._asked = ()

    def stop(self) -> None:
        """Ends the measuring until `go_on`."""
        self.rest()
        self._halted, self._note = True, STOPPED
        self.changed.emit()

    def go_on(self) -> None:
        """Measures whatever is wanted, however the last attempt ended."""
        self._halted, self._note = False, ""

    def _ask(self) -> None:
        if self._checkpoint is None or not self._wanted:
            return
        self._asked, self._note, self._progress = self._wanted[: 1 if self._singly else None], "", (0, 0)
        layers, _, format = self._asked[0]
        schemes = tuple(scheme for _, scheme, _ in self._asked)
        self.latest.submit(self._verbs.compare(self._checkpoint, layers, schemes, format))
        self.changed.emit()

    def _count(self, events: list[Event]) -> None:
        done, total = self._progress
        total = next((event.bytes_total for event in events if isinstance(event, RunStarted)), total)
        self._progress = done + sum(event.bytes for event in events if isinstance(event, ChunkDone)), total
        self.changed.emit()

    def _take(self, comparison: Comparison) -> None:
        asked, self._asked = self._asked, ()
        if asked:
            self._figures |= dict(zip(asked, comparison.rows, strict=False))
            self._left_out[asked[0][0]] = "; ".join(skipped.text for skipped in comparison.skipped)
            self.found.emit()

    def _fail(self, error: QtQuantError) -> None:
        asked, self._asked = self._asked, ()
        if isinstance(error, PlanError) and (self._singly or len(asked) > 1):
            if self._singly and asked:
                self._refused[asked[0]] = error.message
            self._singly = True
            self.found.emit()
            return
        self._halted = True
        self._note = f"{sentence_case(error.message)}. {sentence_case(window_hint(error))}."
        self.changed.emit()
