"""The file that says which input columns matter: attached to the checkpoint that is open, and taken off again."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtWidgets import QFileDialog, QHBoxLayout

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import plural
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.text import Text

FILES = "Statistics of llama-imatrix (*.gguf *.dat);;All files (*)"
_NONE = "All columns count alike. With a statistics file of llama-imatrix, errors weigh as much as what the columns are given."
_NO_CHECKPOINT = "Open a checkpoint on the Source page: a statistics file is of one model."


class StatisticsCard(Card):
    """Which file holds, for how many weights; a button that attaches one and one that takes it off."""

    def __init__(self, session: Session) -> None:
        super().__init__("Which columns matter")
        self.setObjectName("statisticsCard")
        self._session = session
        self.state = Text(muted=True, wrap=True)
        self.error_panel = ErrorPanel("statisticsErrorPanel")
        self.choose_button = Button("Column statistics (imatrix)…", "open", name="statisticsButton")
        self.remove_button = Button("Remove", name="removeStatisticsButton", tip="Has all columns count alike again")
        self.remove_button.setAccessibleName("Remove the column statistics")
        line = QHBoxLayout()
        line.setSpacing(GRID)
        line.addWidget(self.choose_button)
        line.addWidget(self.remove_button)
        line.addStretch(1)
        self.add(self.state)
        self.add(self.error_panel)
        self.add(line)
        self.choose_button.clicked.connect(self.choose)
        self.remove_button.clicked.connect(lambda: session.set_statistics(""))
        session.checkpoint_changed.connect(self._show)
        session.statistics_changed.connect(self._show)
        session.statistics_failed.connect(self._on_failed)
        session.statistics_reading.connect(self._on_reading)
        self._show(session.checkpoint)

    def choose(self) -> None:
        """Asks for a statistics file; none chosen keeps what there is."""
        path, _ = QFileDialog.getOpenFileName(self, "Column statistics of this model", "", FILES)
        if path:
            self.error_panel.show_error(None)
            self._session.set_statistics(path)

    def _show(self, checkpoint: Checkpoint | None) -> None:
        self.error_panel.show_error(None)
        held = checkpoint.statistics if checkpoint is not None else None
        self.choose_button.setEnabled(checkpoint is not None)
        self.remove_button.setVisible(bool(held and held.path))
        if checkpoint is None or held is None:
            self.state.setText(_NO_CHECKPOINT)
        elif not held.path:
            self.state.setText(_NONE)
        else:
            known = f"{len(held.columns):,} of {plural(len(checkpoint.quantizable), 'weight')}"
            self.state.setText(f"{Path(held.path).name} says which columns matter in {known}; the others count alike.")

    def _on_reading(self, busy: bool) -> None:
        self.choose_button.setEnabled(not busy and self._session.checkpoint is not None)
        if busy:
            self.state.setText("Reading the statistics…")
        else:
            error = self.error_panel.error
            self._show(self._session.checkpoint)
            self.error_panel.show_error(error)

    def _on_failed(self, error: QtQuantError) -> None:
        self.error_panel.show_error(error)
