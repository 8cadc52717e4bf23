"""The Publish page: the saved folder, the proof that it is right, and how to load it."""

from __future__ import annotations

from PySide6.QtCore import QUrl, Signal
from PySide6.QtGui import QDesktopServices
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QStackedWidget, QTabWidget, QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import NOTHING, bytes_text, duration_text, plural
from qtquant_app.core.report import RunReport
from qtquant_app.core.snippets import snippets
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.saved import Saved, from_report, read_saved
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.error_panel import ErrorPanel
from qtquant_app.gui.widgets.evaluation_card import EvaluationCard
from qtquant_app.gui.widgets.facts import Facts
from qtquant_app.gui.widgets.page import Page, scrolled
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.proof_card import ProofCard
from qtquant_app.gui.widgets.runtime_card import RuntimeCard
from qtquant_app.gui.widgets.snippet_card import SnippetCard
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.upload_panel import UploadPanel
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest

FILE_COLUMNS = (
    Column("File", lambda pair: pair[0], lambda pair: pair[0]),
    Column("sha256", lambda pair: pair[1], lambda pair: pair[1], "0123456789abcdef" * 2),
)


class PublishPage(Page):
    """What a run saved, or any earlier result that is opened here."""

    recipe_wanted = Signal(str)
    """The folder of a result whose recipe is wanted for the checkpoint that is open."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__("publishPage", "Publish", "the result, proven from the files as they lie on disk")
        self._session = session
        self._settings = settings
        self._saved: Saved | None = None
        self._reader = Latest(self)
        self.open_button = Button("&Open a result…", "open", name="openResultButton", tip="A folder that a run wrote")
        self.error_panel = ErrorPanel("publishErrorPanel")
        self.facts = Facts(
            ("Folder", "Format", "Size", "Bits per weight", "Tensors", "Made in"),
            columns=2,
            elide=("Folder", "Tensors"),
        )
        self.show_button = Button("Open the fol&der", "open", name="showFolderButton", tip="Shows the files")
        self.recipe_button = Button(
            "App&ly this recipe",
            "recipe",
            name="applyResultRecipeButton",
            tip="Shows what the recipe of this result would change for the checkpoint that is open, such as a fine-tune",
        )
        self.proof_card = ProofCard()
        self.files_model = RowsModel(FILE_COLUMNS, self)
        self.files_table = Table(self.files_model, "filesTable", "Files and their sha256")
        self.snippet_card = SnippetCard()
        self.evaluation_card = EvaluationCard(session)
        self.runtime_card = RuntimeCard(session)
        self.upload_panel = UploadPanel(session)
        self.tabs = QTabWidget()
        self._stack = QStackedWidget()
        self._lay_out()
        self._connect()

    def choose_result(self) -> None:
        """Asks for a result's folder and reads its record in a worker."""
        path = QFileDialog.getExistingDirectory(self, "Open a result", self._settings.text("output/parent"))
        if path:
            self.read(path)

    def read(self, folder: str) -> None:
        """Shows the result in `folder`."""
        self._reader.submit(once(lambda: read_saved(folder)))

    def show_saved(self, saved: Saved | None) -> None:
        """Shows `saved`, or what to do where there is nothing yet."""
        self._saved = saved
        self._session.verifier.cancel()
        self.error_panel.show_error(None)
        self._stack.setCurrentIndex(0 if saved is None else 1)
        if saved is None:
            self.upload_panel.show_result(None, "")
            return
        for name, value in _facts(saved).items():
            self.facts.set(name, value)
        self.files_model.set_rows(saved.sha256)
        self.snippet_card.set_snippets(snippets(saved.format, saved.folder, dequantize=not saved.symmetric))
        self.proof_card.show_saved(saved)
        self._offer_evaluation()

    def _offer_evaluation(self) -> None:
        """Against what it was made from, or where that is not known, against the checkpoint that is open."""
        saved, opened = self._saved, self._session.checkpoint
        if saved is not None:
            base = saved.base or (str(opened.path) if opened else "")
            self.evaluation_card.show_result(saved.folder, base, saved.format, saved.evaluation)
            self.runtime_card.show_result(saved.folder, base, saved.format)
            self.upload_panel.show_result(saved, base)

    def verify_again(self) -> None:
        """Reopens the files in a worker, and compares them with the source where that is known."""
        if self._saved is not None:
            self.error_panel.show_error(None)
            self._session.verifier.start(self._saved.folder, self._saved.base)
            self.proof_card.show_progress(self._session.verifier.progress)

    def _lay_out(self) -> None:
        self.tools.addWidget(self.open_button)
        empty = Placeholder(
            "Nothing is saved yet", "A run saves its result and shows it here. An earlier result can be opened above."
        )
        result = Card("Result")
        result.header.addWidget(self.recipe_button)
        result.header.addWidget(self.show_button)
        result.add(self.facts)
        left, right = QVBoxLayout(), QVBoxLayout()
        left.setSpacing(3 * GRID)
        left.addWidget(self.proof_card)
        left.addWidget(self.runtime_card)
        left.addWidget(self.files_table, 1)
        right.setSpacing(3 * GRID)
        right.addWidget(self.evaluation_card)
        right.addWidget(self.snippet_card, 1)
        self.files_table.setMinimumHeight(36 * GRID)
        self.snippet_card.setMinimumHeight(48 * GRID)
        columns = QHBoxLayout()
        columns.setSpacing(3 * GRID)
        columns.addLayout(left, 1)
        columns.addLayout(right, 1)
        filled = QWidget()
        layout = QVBoxLayout(filled)
        layout.setContentsMargins(0, 0, GRID, 0)
        layout.setSpacing(3 * GRID)
        layout.addWidget(result)
        layout.addLayout(columns, 1)
        self._stack.addWidget(empty)
        self._stack.addWidget(scrolled(filled))
        self.tabs.setObjectName("publishTabs")
        self.tabs.setAccessibleName("The result, and its way to the Hub")
        self.tabs.addTab(self._stack, "Result")
        self.tabs.addTab(self.upload_panel, "Upload to the Hub")
        self.content.addWidget(self.error_panel)
        self.content.addWidget(self.tabs, 1)

    def _connect(self) -> None:
        session, verifier = self._session, self._session.verifier
        self.open_button.clicked.connect(self.choose_result)
        self.show_button.clicked.connect(self._show_folder)
        self.recipe_button.clicked.connect(self._want_recipe)
        self.proof_card.again_button.clicked.connect(self.verify_again)
        self.evaluation_card.failed.connect(self._on_failed)
        self.runtime_card.failed.connect(self._on_failed)
        self.runtime_card.copied.connect(lambda: session.message.emit("What came of the runtime copied", ""))
        self.snippet_card.copied.connect(lambda title: session.message.emit(f"Code for {title} copied", ""))
        self._reader.result.connect(self.show_saved)
        self._reader.failed.connect(self._on_failed)
        self.upload_panel.result_wanted.connect(self.read)
        session.run_finished.connect(self._on_run_finished)
        session.checkpoint_changed.connect(self._on_checkpoint)
        verifier.progressed.connect(self.proof_card.show_progress)
        verifier.finished.connect(self.proof_card.show_report)
        verifier.failed.connect(self._on_verify_failed)
        verifier.busy_changed.connect(self.proof_card.again_button.setDisabled)

    def _show_folder(self) -> None:
        if self._saved is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(self._saved.folder))

    def _want_recipe(self) -> None:
        if self._saved is not None:
            self.recipe_wanted.emit(self._saved.folder)

    def _on_run_finished(self, report: RunReport) -> None:
        runner = self._session.runner
        verify = runner.options.verify if runner.options else "none"
        self.show_saved(from_report(report, verify, runner.plan.source if runner.plan else None))

    def _on_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        if self._session.report is None:
            self.show_saved(None)

    def _on_failed(self, error: QtQuantError) -> None:
        self.error_panel.show_error(error)

    def _on_verify_failed(self, error: QtQuantError) -> None:
        self.proof_card.show_failure()
        self.error_panel.show_error(error)


def _facts(saved: Saved) -> dict[str, str]:
    return {
        "Folder": saved.folder,
        "Format": saved.format,
        "Size": bytes_text(saved.output_bytes),
        "Bits per weight": f"{saved.bits_per_weight:.2f}" if saved.bits_per_weight else NOTHING,
        "Tensors": f"{plural(saved.quantized, 'quantized', 'quantized')}, {saved.kept:,} kept",
        "Made in": duration_text(saved.seconds),
    }
