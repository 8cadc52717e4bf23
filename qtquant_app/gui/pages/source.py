"""The Source page: opens a checkpoint and says what is in it."""

from __future__ import annotations

from PySide6.QtCore import QStringListModel
from PySide6.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QStackedWidget,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.summary import SAMPLE, Summary, lasting_name, summarize
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.audit_panel import WEIGHTS, AuditPanel
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.downloaded_panel import DownloadedPanel
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.hub_panel import HubPanel
from qtquant_app.gui.widgets.page import Page
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.recent_list import RecentList
from qtquant_app.gui.widgets.summary_card import SummaryCard
from qtquant_app.gui.widgets.text import Text
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest


class SourcePage(Page):
    """Open, drop, pick a recent one or take the sample; then the summary."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__("sourcePage", "Source", "the checkpoint to quantize; only its headers are read here")
        self._session = session
        self._settings = settings
        self._counter = Latest(self)
        self.open_folder_button = Button(
            "Open f&older…", "open", name="openFolderButton", tip="A model's folder (Ctrl+O)"
        )
        self.open_file_button = Button(
            "Open f&ile…", "file", name="openFileButton", tip="One .safetensors, .gguf, .bin or .pt file (Ctrl+Shift+O)"
        )
        self.sample_button = Button(
            "Sa&mple model", "sample", name="sampleButton", tip="A small language model that comes with the program"
        )
        self.recent_model = QStringListModel(settings.recent(), self)
        self.recent_list = RecentList()
        self.error_panel = ErrorPanel("sourceErrorPanel")
        self.summary_card = SummaryCard()
        self._empty = Placeholder(
            "Open a checkpoint",
            "Drop a model's folder or a weight file anywhere in this window, open one at the left, or find one under Hub.",
        )
        self._waiting = Placeholder("Reading headers…")
        self._right = QStackedWidget()
        self.audit_panel = AuditPanel(session)
        self.hub_panel = HubPanel(session)
        self.downloaded_panel = DownloadedPanel(session)
        self.tabs = QTabWidget()
        self._lay_out()
        self._connect()

    def choose_folder(self) -> None:
        """Asks for a folder and opens it."""
        path = QFileDialog.getExistingDirectory(self, "Open a model's folder", self._settings.text("open/folder"))
        if path:
            self._settings.set("open/folder", path)
            self._session.open(path)

    def choose_file(self) -> None:
        """Asks for a weight file and opens it."""
        path, _ = QFileDialog.getOpenFileName(self, "Open a weight file", self._settings.text("open/folder"), WEIGHTS)
        if path:
            self._session.open(path)

    def open_sample(self) -> None:
        self._session.open(SAMPLE)

    def show_audit(self) -> None:
        """Brings the audit to the front, ready for the name that is missing."""
        self.tabs.setCurrentWidget(self.audit_panel)
        self.audit_panel.ask()

    def _lay_out(self) -> None:
        left = QVBoxLayout()
        left.setSpacing(2 * GRID)
        for button in (self.open_folder_button, self.open_file_button, self.sample_button):
            button.setStyleSheet("text-align: left;")
            left.addWidget(button)
        left.addSpacing(2 * GRID)
        left.addWidget(Text("Recent", bold=True))
        left.addWidget(self.recent_list, 1)
        side = QWidget()
        side.setFixedWidth(65 * GRID)
        side.setLayout(left)
        left.setContentsMargins(0, 0, 0, 0)
        for widget in (self._empty, self._waiting, self.summary_card):
            self._right.addWidget(widget)
        right = QVBoxLayout()
        right.setSpacing(2 * GRID)
        right.addWidget(self.error_panel)
        self.tabs.setObjectName("sourceTabs")
        self.tabs.setAccessibleName("What to know of the checkpoint")
        self.tabs.addTab(self._right, "Contents")
        self.tabs.addTab(self.audit_panel, "Audit")
        self.tabs.addTab(self.hub_panel, "Hub")
        self.tabs.addTab(self.downloaded_panel, "Downloaded")
        right.addWidget(self.tabs, 1)
        columns = QHBoxLayout()
        columns.setSpacing(4 * GRID)
        columns.addWidget(side)
        columns.addLayout(right, 1)
        self.content.addLayout(columns, 1)

    def _connect(self) -> None:
        self.open_folder_button.clicked.connect(self.choose_folder)
        self.open_file_button.clicked.connect(self.choose_file)
        self.sample_button.clicked.connect(self.open_sample)
        self.recent_list.setModel(self.recent_model)
        self.recent_list.activated.connect(lambda index: self._session.open(str(index.data())))
        self._session.opening_changed.connect(self._on_opening)
        self._session.open_failed.connect(self._on_not_opened)
        self._session.checkpoint_changed.connect(self._on_checkpoint)
        self.hub_panel.open_wanted.connect(self._session.open)
        self.downloaded_panel.open_wanted.connect(self._session.open)
        self._counter.result.connect(self._on_summary)
        self._counter.failed.connect(self._on_failed)
        self.summary_card.packed_note.audit_wanted.connect(self.show_audit)

    def _on_opening(self, path: str) -> None:
        if path:
            self.error_panel.show_error(None)
            self.tabs.setCurrentWidget(self._right)
            self._waiting.sentence.setText(f"Reading the headers of {path}")
            self._right.setCurrentWidget(self._waiting)
        elif self._right.currentWidget() is self._waiting:
            self._right.setCurrentWidget(self.summary_card if self._session.checkpoint else self._empty)

    def _on_not_opened(self, error: QtQuantError) -> None:
        """What the Hub refuses is told where it was asked, beside what can be done about it."""
        if error.code.startswith("hub-"):
            self.tabs.setCurrentWidget(self.hub_panel)
            self.hub_panel.show_error(error)
        else:
            self._on_failed(error)

    def _on_failed(self, error: QtQuantError) -> None:
        self.error_panel.show_error(error)

    def _on_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is None:
            self._right.setCurrentWidget(self._empty)
            return
        self.recent_model.setStringList(self._settings.add_recent(lasting_name(checkpoint)))
        self.summary_card.set_label(checkpoint.label)
        self._counter.submit(once(lambda: summarize(checkpoint)))

    def _on_summary(self, summary: Summary) -> None:
        self.summary_card.set_summary(summary)
        self._right.setCurrentWidget(self.summary_card)
