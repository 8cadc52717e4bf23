"""Checks the plan against the readers it is meant for, and offers the mend as a click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QCheckBox, QHBoxLayout, QSpinBox, QVBoxLayout, QWidget

from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import plural
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.runtimes import RUNTIMES, Finding
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.finding_row import FindingRow
from qtquant_app.gui.widgets.flow import Flow
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.mend_all import Mended

MOST_DEVICES = 64
READERS, DEVICES = "lint/runtimes", "lint/devices"
"""Where the choices are kept."""
USUAL = "vllm transformers"
_MEND_ALL = "Changes the recipe until the ticked readers load the result and compute it right; one step to undo"
_NO_PLAN = "There is no plan to check: see the message."


class LintCard(Card):
    """Boxes for the readers, then what they have against the plan, the worst first."""

    def __init__(self, session: Session, settings: Settings | None = None) -> None:
        """`settings` remember the readers and the devices."""
        super().__init__("Will it load?")
        self.setObjectName("lintCard")
        self._session = session
        self._settings = settings
        self._looker, self._mender = Latest(self), Latest(self)
        self._mending: Recipe | None = None
        """What is being mended."""
        self._stale = True
        self.boxes = {runtime.name: _box(runtime.name, runtime.title) for runtime in RUNTIMES}
        self.devices = QSpinBox()
        self.devices.setObjectName("tensorParallelSpin")
        self.devices.setAccessibleName("Devices that a server shares the model out over")
        self.devices.setRange(1, MOST_DEVICES)
        self.mend_button = Button("Mend all", name="mendAllButton", tip=_MEND_ALL)
        self.mend_button.setEnabled(False)
        self.state = Text(muted=True, wrap=True)
        self._rows = QVBoxLayout()
        self._rows.setSpacing(2 * GRID)
        self._lay_out()
        self._recall()
        self._connect()

    @property
    def runtimes(self) -> tuple[str, ...]:
        """The readers that are ticked."""
        return tuple(name for name, box in self.boxes.items() if box.isChecked())

    def set_runtimes(self, names: tuple[str, ...]) -> None:
        """Ticks these readers and no others."""
        for name, box in self.boxes.items():
            box.setChecked(name in names)

    def mend_all(self) -> None:
        """Mends what can be mended, in a worker; the recipe changes in one step."""
        session = self._session
        if session.checkpoint is not None:
            self._mending = session.recipe
            self.mend_button.setEnabled(False)
            chosen = (self.runtimes, self.devices.value(), session.device)
            self._mender.submit(session.verbs.mend_all(session.checkpoint, session.recipe, *chosen))

    def rows(self) -> list[FindingRow]:
        """The findings as they show."""
        items = (self._rows.itemAt(i) for i in range(self._rows.count()))
        return [row for item in items if item and isinstance(row := item.widget(), FindingRow)]

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if self._stale:
            self._look()

    def _lay_out(self) -> None:
        holder = QWidget()
        flow = Flow(holder)
        for box in self.boxes.values():
            flow.addWidget(box)
        self.add(holder)
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(Text("Devices of one server", muted=True))
        line.addWidget(self.devices)
        line.addStretch(1)
        line.addWidget(self.mend_button)
        self.add(line)
        self.add(self.state)
        self.add(self._rows)

    def _connect(self) -> None:
        for changed in (*(box.toggled for box in self.boxes.values()), self.devices.valueChanged):
            changed.connect(self._again)
            changed.connect(self._keep)
        self._session.plan_changed.connect(self._again)
        self._session.recipe_changed.connect(self._outdate)
        self._session.checkpoint_changed.connect(self._mender.cancel)
        self.mend_button.clicked.connect(self.mend_all)
        self._mender.result.connect(self._take)
        self._mender.failed.connect(self._session.report_error)
        self._mender.busy_changed.connect(self._offer)
        self._looker.result.connect(self._show)
        self._looker.failed.connect(self._session.report_error)

    def _outdate(self) -> None:
        """What was found is of another recipe, and so would be its mends."""
        for row in self.rows():
            row.setEnabled(False)
        self._offer()

    def _recall(self) -> None:
        """Ticks what was ticked last; a reader that this version does not know is left out."""
        kept = self._settings
        self.set_runtimes(tuple((kept.text(READERS, USUAL) if kept else USUAL).split()))
        self.devices.setValue(kept.number(DEVICES, 1) if kept else 1)

    def _again(self) -> None:
        self._stale = True
        if self.isVisible():
            self._look()

    def _keep(self) -> None:
        if self._settings is not None:
            self._settings.set(READERS, " ".join(self.runtimes))
            self._settings.set(DEVICES, self.devices.value())

    def _look(self) -> None:
        session, self._stale = self._session, False
        outcome = session.plan or session.refusal
        if session.checkpoint is None:
            self._say("Open a checkpoint on the Source page: whether it loads depends on its shapes.")
        elif outcome is None:
            self._say("Being looked at…")
        elif not isinstance(outcome, (Plan, PlanError)):
            self._say(_NO_PLAN)
        elif isinstance(outcome, Plan) and not self.runtimes:
            self._say("Tick the readers that the result is for.")
        else:
            chosen = (self.runtimes, self.devices.value())
            self._looker.submit(session.verbs.lint(session.checkpoint, outcome, session.recipe, *chosen))

    def _say(self, text: str) -> None:
        self._looker.cancel()
        self._fill(())
        self.state.setText(text)

    def _show(self, found: tuple[Finding, ...]) -> None:
        self._fill(found)
        self.state.setText("All of them load it as it is." if self._session.plan else _NO_PLAN)

    def _fill(self, found: tuple[Finding, ...]) -> None:
        while (item := self._rows.takeAt(0)) is not None:
            if (old := item.widget()) is not None:
                old.setParent(None)
                old.deleteLater()
        for finding in found:
            row = FindingRow(finding)
            row.mend_wanted.connect(self._mend)
            self._rows.addWidget(row)
        self.state.setVisible(not found)
        self._offer()

    def _offer(self) -> None:
        """Whether there is anything to mend, and nobody at it yet."""
        mendable = any(row.isEnabled() and row.finding.mendable for row in self.rows())
        self.mend_button.setEnabled(mendable and not self._mender.busy)

    def _take(self, mended: Mended) -> None:
        """Takes the mended recipe, unless the one that it was made of has been changed since."""
        session = self._session
        if session.recipe != self._mending:
            session.message.emit("The recipe was changed meanwhile, and is not mended", "")
        elif not mended.steps:
            session.message.emit("Nothing mends this for all of them at once: try without one of the readers", "")
        else:
            does = "\n".join(f"{step.reader}: {step.does}" for step in mended.steps)
            session.set_recipe(mended.recipe, f"{plural(len(mended.steps), 'mend')}")
            session.message.emit(f"Mended: {plural(len(mended.steps), 'change')} to the recipe", does)

    def _mend(self, finding: Finding) -> None:
        if finding.mend is not None:
            self._session.set_recipe(finding.mend, f"Mend: {finding.does}")


def _box(name: str, title: str) -> QCheckBox:
    box = QCheckBox(title)
    box.setObjectName(f"runtime-{name}")
    box.setAccessibleName(f"The result is for {title}")
    return box
