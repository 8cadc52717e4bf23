"""The samples that methods look at: chosen, and shown before they are used."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSignalBlocker
from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.core.calibration import Calibration, SamplesReport
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.recipe import Recipe
from qtquant_app.gui.sample_needs import sampling_methods
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.calibration_choice import CalibrationChoice
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.flow import Flow
from qtquant_app.gui.widgets.samples_view import SamplesView
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest

_IDLE = "No method of this recipe looks at samples."
_NO_CHECKPOINT = (
    "Open a checkpoint on the Source page to see the samples: they go through its own tokenizer or processor."
)
_UNTIL_THEN = "Until then a run looks at what was chosen before."
_LOOK = "Look at the samples before they are used."


class CalibrationCard(Card):
    """Open where the recipe has a method that looks at samples; else a line, and a button that opens it all the same."""

    def __init__(self, session: Session) -> None:
        super().__init__("Calibration samples")
        self.setObjectName("calibrationCard")
        self._session = session
        self._latest = Latest(self)
        self._titles: tuple[str, ...] = ()
        self.open_button = Button("Choose…", name="openCalibrationButton", tip="Shows which samples methods look at")
        self.open_button.setAccessibleName("Choose the calibration samples")
        self.open_button.setCheckable(True)
        self.needs = Text(muted=True, wrap=True)
        self.choice = CalibrationChoice()
        self.show_button = Button("Show the samples", "inspect", name="showSamplesButton")
        self.stop_button = Button("Stop", name="stopSamplesButton", tip="Gives the reading up")
        self.stop_button.setAccessibleName("Stop reading the samples")
        self.state = Text(muted=True, wrap=True)
        self.error_panel = ErrorPanel("calibrationErrorPanel")
        self.view = SamplesView()
        self._lay_out()
        self._connect()
        self.choice.set_calibration(session.calibration)
        self._on_recipe(session.recipe)
        self._forget()

    @property
    def busy(self) -> bool:
        return self._latest.busy

    def show_samples(self) -> None:
        """Reads the samples in a worker, and shows what they are."""
        checkpoint, calibration = self._session.checkpoint, self.choice.calibration
        if checkpoint is not None and calibration is not None:
            self._forget()
            self.state.setText("Reading the samples…")
            self._latest.submit(self._session.verbs.samples(checkpoint, calibration))

    def _lay_out(self) -> None:
        self.header.addWidget(self.open_button)
        line = Flow()
        line.addWidget(self.show_button)
        line.addWidget(self.stop_button)
        self._inside = QWidget()
        inside = QVBoxLayout(self._inside)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.setSpacing(2 * GRID)
        for part in (self.choice, line, self.state, self.error_panel, self.view):
            inside.addWidget(part) if isinstance(part, QWidget) else inside.addLayout(part)
        self.add(self.needs)
        self.add(self._inside)
        self.stop_button.hide()

    def _connect(self) -> None:
        session = self._session
        self.open_button.toggled.connect(self._on_open)
        self.choice.changed.connect(self._on_choice)
        self.show_button.clicked.connect(self.show_samples)
        self.stop_button.clicked.connect(self._latest.cancel)
        self._latest.result.connect(self._on_result)
        self._latest.failed.connect(self._on_failed)
        self._latest.busy_changed.connect(self._on_busy)
        session.recipe_changed.connect(self._on_recipe)
        session.checkpoint_changed.connect(self._on_checkpoint)
        session.calibration_changed.connect(self._on_calibration)

    def _on_recipe(self, recipe: Recipe) -> None:
        """Opens where samples are needed from now on, and closes where no longer; in between it stays as the user left it."""
        titles = sampling_methods(recipe)
        if bool(titles) != bool(self._titles) or not (titles or self._titles):
            with QSignalBlocker(self.open_button):
                self.open_button.setChecked(bool(titles) or (self.open_button.isChecked() and not self._titles))
        self._titles = titles
        self.needs.setText(_needed(titles) if titles else _IDLE)
        self._on_open(self.open_button.isChecked())

    def _on_open(self, shown: bool) -> None:
        self._inside.setVisible(shown)
        self.open_button.setText("Close" if shown else "Choose…")
        self.open_button.setAccessibleName(f"{'Close' if shown else 'Choose'} the calibration samples")

    def _on_choice(self) -> None:
        self._latest.cancel()
        self._forget()
        calibration = self.choice.calibration
        if calibration is not None:
            self._session.set_calibration(calibration)

    def _on_calibration(self, calibration: Calibration) -> None:
        if calibration != self.choice.calibration:
            self.choice.set_calibration(calibration)
            self._forget()

    def _on_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        self._latest.cancel()
        self._forget()

    def _forget(self) -> None:
        """What was shown is of other samples, or of none."""
        self.view.show_report(None)
        self.error_panel.show_error(None)
        self._say_next()

    def _say_next(self) -> None:
        there = self._session.checkpoint is not None
        missing = self.choice.why_not
        why_not = f"{missing} {_UNTIL_THEN}" if missing else "" if there else _NO_CHECKPOINT
        self.show_button.setEnabled(not why_not and not self.busy)
        self.state.setText(why_not or _LOOK)
        self.state.show()

    def _on_busy(self, busy: bool) -> None:
        self.stop_button.setVisible(busy)
        self.show_button.setEnabled(not busy and self.choice.calibration is not None)
        if not busy and self.view.isHidden() and self.error_panel.error is None:
            self._say_next()

    def _on_result(self, report: SamplesReport) -> None:
        self.state.hide()
        self.view.show_report(report)

    def _on_failed(self, error: QtQuantError) -> None:
        self.state.hide()
        self.error_panel.show_error(error)


def _needed(titles: Sequence[str]) -> str:
    return f"{' and '.join(titles)} {'looks' if len(titles) == 1 else 'look'} at these in a run."
