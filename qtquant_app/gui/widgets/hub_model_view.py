"""One model on the Hub: its card, its files with their sizes, its revisions, and what others have quantized of it."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QTabWidget, QVBoxLayout, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.hub import UNKNOWN, HubModel, Quantization
from qtquant_app.core.quantities import bytes_text, plural
from qtquant_app.gui.hub_query import Looked, base_of
from qtquant_app.gui.models.hub_tables import FILE_COLUMNS, QUANTIZED_COLUMNS, gated_text
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.hub_notice import open_address
from qtquant_app.gui.widgets.markdown_view import MarkdownView
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Elided, mnemonic_safe
from qtquant_app.jobs.latest import Latest

MAIN = "main"


class HubModelView(QWidget):
    """Empty until a model is chosen."""

    open_wanted = Signal(str)
    """`org/name`, or `org/name@revision`."""
    failed = Signal(object)
    """QtQuantError."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._reader, self._quantized = Latest(self), Latest(self)
        self.model: HubModel | None = None
        self.looked: Looked | None = None
        self._listed = ""
        """The base whose quantizations were asked for."""
        self.title = Elided(bold=True)
        self.facts = Elided(mode=Qt.TextElideMode.ElideRight, muted=True)
        self.revision = ChoiceBox()
        self.open_button = Button(
            "Open", "open", name="openHubButton", tip="Reads headers alone, some kilobytes", primary=True
        )
        self.page_button = Button(
            "In the browser", name="hubPageButton", tip="Its page on the Hub, where terms are accepted"
        )
        self.card = MarkdownView("hubCard", "The model's card")
        self.files = RowsModel(FILE_COLUMNS, self)
        self.files_table = Table(self.files, "hubFilesTable", "Files of the model")
        self.quantized = RowsModel(QUANTIZED_COLUMNS, self)
        self.quantized_table = Table(self.quantized, "hubQuantizedTable", "Quantized already, by others")
        self.tabs = QTabWidget()
        self._lay_out()
        self._connect()
        self._clear()

    @property
    def place(self) -> str:
        """What opens the revision that is chosen."""
        if self.model is None:
            return ""
        revision = self.revision.currentText()
        return self.model.id if revision in ("", MAIN) else f"{self.model.id}@{revision}"

    def show_model(self, model: HubModel) -> None:
        """Shows what a list says of `model`, and asks for the rest."""
        if self.model is not None and self.model.id == model.id:
            return
        self.model = model
        self._clear()
        self.title.setText(model.id)
        self.facts.setText(f"{model.licence or UNKNOWN} licence, {gated_text(model)}; its page is being read…")
        self._read("")
        self._list_quantized()

    def open(self) -> None:
        """Asks for the chosen revision to be opened."""
        if self.place:
            self.open_wanted.emit(self.place)

    def _lay_out(self) -> None:
        self.revision.setObjectName("hubRevision")
        self.revision.setAccessibleName("Branch, tag or commit")
        self.revision.setMinimumContentsLength(10)
        self.tabs.setObjectName("hubModelTabs")
        self.tabs.setAccessibleName("What to know of the model")
        self.tabs.addTab(self.card, "Card")
        self.tabs.addTab(self.files_table, "Files")
        self.tabs.addTab(self.quantized_table, "Already quantized")
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.title, 1)
        for widget in (self.revision, self.page_button, self.open_button):
            line.addWidget(widget)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, GRID, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(line)
        column.addWidget(self.facts)
        column.addWidget(self.tabs, 1)

    def _connect(self) -> None:
        self.open_button.clicked.connect(self.open)
        self.page_button.clicked.connect(lambda: open_address(self.looked.address if self.looked else ""))
        self.revision.activated.connect(lambda _: self._read(self.revision.currentText()))
        self.tabs.currentChanged.connect(self._list_quantized)
        self.quantized_table.activated.connect(lambda index: self.show_model(self.quantized.row(index.row()).model))
        self._reader.result.connect(self._on_page)
        self._reader.failed.connect(self._on_failed)
        self._quantized.result.connect(self._on_quantized)
        self._quantized.failed.connect(self.failed)

    def _clear(self) -> None:
        self._reader.cancel()
        self.looked = None
        self.title.setText("")
        self.facts.setText("Choose a model above: its card, files and revisions show here.")
        self.revision.clear()
        self.card.show_text("")
        self.files.set_rows(())
        self.page_button.setEnabled(False)
        for widget in (self.revision, self.open_button):
            widget.setEnabled(self.model is not None)

    def _read(self, revision: str) -> None:
        if self.model is not None:
            self._reader.submit(self._session.verbs.hub_page(self.model.id, revision))

    def _on_page(self, looked: Looked) -> None:
        page, model = looked.page, looked.page.model
        self.looked = looked
        self._fill_revisions((*page.branches, *page.tags))
        self.page_button.setEnabled(True)
        self.card.show_text(page.card or "_No card, or none that may be read yet._")
        self.files.set_rows(page.files)
        access = "gated: accept its terms in the browser first" if model.gated else gated_text(model)
        size = f"{plural(len(page.files), 'file')}, {bytes_text(page.bytes)} in all, {bytes_text(page.weight_bytes)} of weights"
        self.facts.setText(f"{model.licence or UNKNOWN} licence, {access}; {size}; commit {page.commit[:8]}")
        self._list_quantized()

    def _fill_revisions(self, names: tuple[str, ...]) -> None:
        chosen = self.revision.currentText() or MAIN
        self.revision.clear()
        for name in dict.fromkeys((MAIN, *names)):
            self.revision.addItem(mnemonic_safe(name).replace("&&", "&"))
        self.revision.setCurrentIndex(max(0, self.revision.findText(chosen)))

    def _list_quantized(self) -> None:
        """Asked for only where it shows: each costs the Hub a request or more."""
        if self.model is None or self.tabs.currentWidget() is not self.quantized_table:
            return
        base = base_of(self.looked.page.model if self.looked else self.model)
        if base != self._listed:
            self._listed = base
            self.quantized.set_rows(())
            self.quantized_table.set_empty_text(f"Asking who has quantized {base}…")
            self._quantized.submit(self._session.verbs.quantizations(base))

    def _on_quantized(self, found: list[Quantization]) -> None:
        self.quantized.set_rows(found)
        self.quantized_table.set_empty_text(f"Nobody has published a quantized {self._listed} that says so.")

    def _on_failed(self, error: QtQuantError) -> None:
        self.facts.setText("Its page could not be read: see above.")
        self.failed.emit(error)
