"""What of the Hub is on this computer already: it opens without a network."""

from __future__ import annotations

from PySide6.QtCore import Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.hub import CachedModel
from qtquant_app.core.quantities import bytes_text, plural
from qtquant_app.gui.hub_query import Downloaded
from qtquant_app.gui.models.hub_tables import DOWNLOADED_COLUMNS
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest


class DownloadedPanel(QWidget):
    """Looks again each time it is shown."""

    open_wanted = Signal(str)
    """A folder where the whole model is there; else its name on the Hub, which knows the rest."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("downloadedPanel")
        self._session = session
        self._looker = Latest(self)
        self._found = Downloaded()
        self.models = RowsModel(DOWNLOADED_COLUMNS, self)
        self.table = Table(self.models, "downloadedTable", "Models of the Hub on this computer")
        self.table.setSelectionMode(Table.SelectionMode.SingleSelection)
        self.open_button = Button("Open the chosen one", "open", name="openDownloadedButton")
        self.state = Text(muted=True, wrap=True)
        line = QHBoxLayout()
        line.addWidget(self.state, 1)
        line.addWidget(self.open_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addWidget(self.table, 1)
        column.addLayout(line)
        self.open_button.clicked.connect(self.open)
        self.table.activated.connect(lambda _: self.open())
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._offer())
        self._looker.result.connect(self._on_found)
        self._looker.failed.connect(session.report_error)
        self._offer()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._looker.submit(self._session.verbs.downloaded())

    def open(self) -> None:
        """Asks for the chosen one to be opened."""
        chosen = self._chosen()
        if chosen is not None:
            self.open_wanted.emit(chosen.path if chosen.path in self._found.whole else chosen.label)

    def _chosen(self) -> CachedModel | None:
        rows = self.table.selectionModel().selectedRows()
        return self.models.row(rows[0].row()) if rows else None

    def _offer(self) -> None:
        self.open_button.setEnabled(self._chosen() is not None)

    def _on_found(self, found: Downloaded) -> None:
        if found.models != self._found.models:
            self.models.set_rows(found.models)
        self._found = found
        self.table.set_empty_text("The Hub's cache on this computer is empty.")
        pieces = f"; {bytes_text(found.pieces)} more are pieces of models that were looked into" if found.pieces else ""
        self.state.setText(f"{plural(len(found.models), 'model')}, {bytes_text(found.bytes)}{pieces}.")
        self._offer()
