"""The Hub on the Source page: search, what was found, and the page of the chosen one. Opening reads its headers alone."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QLineEdit, QSplitter, QVBoxLayout, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.hub import HubModel
from qtquant_app.core.quantities import plural
from qtquant_app.gui.hub_query import LIMIT
from qtquant_app.gui.models.hub_tables import MODEL_COLUMNS
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.account_bar import AccountBar
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.hub_filters import HubFilters
from qtquant_app.gui.widgets.hub_model_view import HubModelView
from qtquant_app.gui.widgets.hub_notice import HubNotice
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.latest import Latest

_SETTLE_MS = 200
"""Arrow keys walk over rows faster than anybody reads."""
_NONE = "Nothing was found: fewer words, or wider filters, find more."
_BEFORE = "Search the Hub by name; what is found stands here."


class HubPanel(QWidget):
    """Asks the Hub when it is first seen, and then when somebody searches."""

    open_wanted = Signal(str)
    """`org/name@revision`."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("hubPanel")
        self._session = session
        self._searcher = Latest(self)
        self._seen = False
        self._of_page = False
        """Whether what is said was met when a model's page was read: it goes away with the model."""
        self.line = QLineEdit()
        self.filters = HubFilters()
        self.search_button = Button("Search", name="hubSearchButton")
        self.account_bar = AccountBar(session.account, "hubAccount")
        self.notice = HubNotice("hubNotice")
        self.found = Text(muted=True)
        self.models = RowsModel(MODEL_COLUMNS, self)
        self.table = Table(self.models, "hubTable", "Models on the Hub")
        self.view = HubModelView(session)
        self._settle = QTimer(self, singleShot=True, interval=_SETTLE_MS)
        self._lay_out()
        self._connect()
        self._on_busy(False)

    def search(self) -> None:
        """Asks for what the line and the boxes say."""
        self.notice.show_error(None)
        self._ask()

    def show_error(self, error: QtQuantError) -> None:
        """Says what the Hub refused."""
        self._of_page = False
        self.notice.show_error(error)

    def _ask(self) -> None:
        self._searcher.submit(self._session.verbs.search_hub(self.filters.query(self.line.text())))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        if not self._seen:
            self._seen = True
            self._session.account.look()
            self._ask()

    def _lay_out(self) -> None:
        self.line.setObjectName("hubSearchEdit")
        self.line.setAccessibleName("Search the Hub")
        self.line.setPlaceholderText("Words of a name, or org/name")
        self.line.setClearButtonEnabled(True)
        self.table.setSelectionMode(Table.SelectionMode.SingleSelection)
        self.table.set_empty_text(_BEFORE)
        head = QHBoxLayout()
        head.setSpacing(2 * GRID)
        head.addWidget(self.line, 3)
        head.addWidget(self.search_button)
        head.addWidget(self.account_bar, 2)
        upper = QWidget()
        top = QVBoxLayout(upper)
        top.setContentsMargins(0, 0, 0, 0)
        top.setSpacing(GRID)
        top.addWidget(self.table, 1)
        top.addWidget(self.found)
        splitter = QSplitter(Qt.Orientation.Vertical)
        splitter.setChildrenCollapsible(False)
        splitter.addWidget(upper)
        splitter.addWidget(self.view)
        splitter.setStretchFactor(0, 2)
        splitter.setStretchFactor(1, 3)
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.setSpacing(2 * GRID)
        column.addLayout(head)
        column.addWidget(self.filters)
        column.addWidget(self.notice)
        column.addWidget(splitter, 1)

    def _connect(self) -> None:
        self.line.returnPressed.connect(self.search)
        self.search_button.clicked.connect(self._search_or_stop)
        self.filters.changed.connect(self.search)
        self._searcher.result.connect(self._on_found)
        self._searcher.failed.connect(self.show_error)
        self._searcher.busy_changed.connect(self._on_busy)
        self.table.selectionModel().selectionChanged.connect(lambda *_: self._settle.start())
        self._settle.timeout.connect(self._look)
        self.table.activated.connect(lambda _: self.view.open())
        self.view.failed.connect(self._on_unread)
        self.view.open_wanted.connect(self.open_wanted)
        self._session.account.changed.connect(self._on_account)

    def _search_or_stop(self) -> None:
        if self._searcher.busy:
            self._searcher.cancel()
        else:
            self.search()

    def _look(self) -> None:
        chosen = self.table.selectionModel().selectedRows()
        if chosen:
            if self._of_page:
                self.notice.show_error(None)
            self.view.show_model(self.models.row(chosen[0].row()))

    def _on_found(self, models: list[HubModel]) -> None:
        self.models.set_rows(models)
        self.table.set_empty_text(_NONE)
        more = ", the first of more" if len(models) >= LIMIT else ""
        self.found.setText(f"{plural(len(models), 'model')}{more}")
        if models:
            self.table.selectRow(0)

    def _on_unread(self, error: QtQuantError) -> None:
        self.show_error(error)
        self._of_page = True

    def _on_account(self) -> None:
        """Somebody else sees other things: what was refused may be granted."""
        account = self._session.account
        refused = self.notice.error is not None and self.notice.error.code in ("hub-token", "hub-gated", "hub-refused")
        if not account.busy and account.account is not None and account.error is None and refused:
            self.notice.show_error(None)

    def _on_busy(self, busy: bool) -> None:
        self.search_button.setText("Stop" if busy else "Search")
        self.search_button.setAccessibleName("Stop searching the Hub" if busy else "Search the Hub now")
        if busy:
            self.found.setText("Asking the Hub…")
        elif self.found.text().startswith("Asking"):
            self.found.setText("")
