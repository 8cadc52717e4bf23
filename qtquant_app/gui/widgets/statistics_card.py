"""The file that says which input columns matter: made, attached to the checkpoint that is open, and taken off again."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import plural
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.flow import Flow
from qtquant_app.gui.widgets.statistics_maker import StatisticsMaker
from qtquant_app.gui.widgets.text import Text

FILES = "Statistics of llama-imatrix (*.gguf *.dat);;All files (*)"
NEW_FILES = "Statistics of llama-imatrix (*.gguf);;All files (*)"
_MAKE = "The model reads a text, Python's language reference. Needs room for the model in float32 in memory."
_NONE = "All columns count alike. With a statistics file of llama-imatrix, errors weigh as much as what the columns are given."
_NO_CHECKPOINT = "Open a checkpoint on the Source page: a statistics file is of one model."


class StatisticsCard(Card):
    """Which file holds, for how many weights; buttons that attach one, make one and take it off."""

    def __init__(self, session: Session) -> None:
        super().__init__("Which columns matter")
        self.setObjectName("statisticsCard")
        self._session = session
        self._reading = False
        self.state = Text(muted=True, wrap=True)
        self.error_panel = ErrorPanel("statisticsErrorPanel")
        self.choose_button = Button("Column statistics (imatrix)…", "open", name="statisticsButton")
        self.remove_button = Button("Remove", name="removeStatisticsButton", tip="Has all columns count alike again")
        self.remove_button.setAccessibleName("Remove the column statistics")
        self.make_button = Button("Make one…", "play", name="makeStatisticsButton", tip=_MAKE)
        self.make_button.setAccessibleName("Make column statistics")
        self.maker = StatisticsMaker(session)
        self._lay_out()
        self._connect()
        self._show(session.checkpoint)

    def choose(self) -> None:
        """Asks for a statistics file; none chosen keeps what there is."""
        path, _ = QFileDialog.getOpenFileName(self, "Column statistics of this model", "", FILES)
        if path:
            self.error_panel.show_error(None)
            self._session.set_statistics(path)

    def make(self) -> None:
        """Asks where to, has the model read, and attaches what comes of it."""
        checkpoint = self._session.checkpoint
        if checkpoint is None:
            return
        start = str(Path.home() / f"{Path(checkpoint.label).name or 'model'}-imatrix.gguf")
        path, _ = QFileDialog.getSaveFileName(self, "Save the column statistics", start, NEW_FILES)
        if path and self._session.checkpoint is checkpoint:
            self.error_panel.show_error(None)
            self.maker.start(path)

    def _lay_out(self) -> None:
        line = Flow()
        for button in (self.choose_button, self.make_button, self.remove_button):
            line.addWidget(button)
        for part in (self.state, self.error_panel, self.maker, line):
            self.add(part)

    def _connect(self) -> None:
        session = self._session
        self.choose_button.clicked.connect(self.choose)
        self.make_button.clicked.connect(self.make)
        self.remove_button.clicked.connect(lambda: session.set_statistics(""))
        self.maker.made.connect(session.set_statistics)
        self.maker.failed.connect(self._on_failed)
        self.maker.busy_changed.connect(self._offer)
        session.checkpoint_changed.connect(self._on_checkpoint)
        session.statistics_changed.connect(self._show)
        session.statistics_failed.connect(self._on_failed)
        session.statistics_reading.connect(self._on_reading)

    def _on_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        if self.maker.busy:
            self.maker.stop()
        self._show(checkpoint)

    def _offer(self) -> None:
        free = self._session.checkpoint is not None and not self._reading and not self.maker.busy
        for button in (self.choose_button, self.make_button):
            button.setEnabled(free)

    def _show(self, checkpoint: Checkpoint | None) -> None:
        self.error_panel.show_error(None)
        held = checkpoint.statistics if checkpoint is not None else None
        self._offer()
        self.remove_button.setVisible(bool(held and held.path))
        if checkpoint is None or held is None:
            self.state.setText(_NO_CHECKPOINT)
        elif not held.path:
            self.state.setText(_NONE)
        else:
            known = f"{len(held.columns):,} of {plural(len(checkpoint.quantizable), 'weight')}"
            self.state.setText(f"{Path(held.path).name} says which columns matter in {known}; the others count alike.")

    def _on_reading(self, busy: bool) -> None:
        self._reading = busy
        self._offer()
        if busy:
            self.state.setText("Reading the statistics…")
        else:
            error = self.error_panel.error
            self._show(self._session.checkpoint)
            self.error_panel.show_error(error)

    def _on_failed(self, error: QtQuantError) -> None:
        self.error_panel.show_error(error)
