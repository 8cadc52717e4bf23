"""Publishing on the Hub: where to, with which card, how far it is, and what was begun earlier. Only what is proven goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QHBoxLayout, QVBoxLayout, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.publication import Destination, Prepared, Published, PublishOptions
from qtquant_app.gui.models.hub_tables import UNFINISHED_COLUMNS
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.proof import missing_proof, proven_again
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.saved import Saved
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.uploader import Uploader
from qtquant_app.gui.widgets.account_bar import AccountBar
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.card import Card
from qtquant_app.gui.widgets.card_editor import CardEditor
from qtquant_app.gui.widgets.hub_notice import HubNotice
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text
from qtquant_app.gui.widgets.upload_form import UploadForm
from qtquant_app.gui.widgets.upload_progress import UploadProgress
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.publish.state import Unfinished

_WIDTH = 96 * GRID


class UploadPanel(QWidget):
    """Knows one result at a time; asks the engine for its card when it is first seen."""

    result_wanted = Signal(str)
    """The folder of a result whose upload is to go on."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.setObjectName("uploadPanel")
        self._session = session
        self._saved: Saved | None = None
        self._base = ""
        self._named = ""
        """What the base was called when the card was made."""
        self._stale = True
        """Whether the card is to be made anew when it is next seen."""
        self._preparer, self._keeper, self._lister = Latest(self), Latest(self), Latest(self)
        self._going_on: Destination | None = None
        self.uploader = Uploader(session.verbs, self)
        self.account_bar = AccountBar(session.account, "uploadAccount")
        self.form = UploadForm()
        self.notice = HubNotice("uploadNotice")
        self.missing = Text(wrap=True)
        self.missing.setObjectName("uploadMissing")
        self.start_button = Button("Upload", "publish", name="startUploadButton", primary=True)
        self.pause_button = Button("Pause", "pause", name="pauseUploadButton", tip="Sends nothing more until you go on")
        self.cancel_button = Button(
            "Cancel", "stop", name="cancelUploadButton", tip="What was sent stays sent, for later"
        )
        self.progress = UploadProgress(self.uploader)
        self.editor = CardEditor()
        self.unfinished = RowsModel(UNFINISHED_COLUMNS, self)
        self.unfinished_table = Table(self.unfinished, "unfinishedTable", "Uploads that have not ended")
        self.resume_button = Button("Go on with the chosen one", "play", name="resumeUploadButton")
        self._lay_out()
        self._connect()
        self._refresh()

    def show_result(self, saved: Saved | None, base: str) -> None:
        """Stands ready for `saved`, made from `base` as far as that is known."""
        same = saved is not None and self._saved is not None and saved.folder == self._saved.folder
        self._saved, self._base, self._stale = saved, base, True
        if not same:
            self.notice.show_error(None)
            self.editor.clear()
            self.uploader.show_files(())
        if saved is not None:
            self.form.suggest(saved.folder)
        if self._going_on is not None and saved is not None:
            self.form.set_destination(self._going_on)
            self._going_on = None
        if self.isVisible():
            self._prepare()
        self._refresh()

    def start(self) -> None:
        """Uploads what is shown, where nothing is missing."""
        if self._saved is None or self._why_not():
            return
        self.notice.show_error(None)
        again = self._saved.verified not in ("full", "quick") and proven_again(self._saved, self._session.verifier)
        options = PublishOptions(
            verify="full" if again else "quick",
            base=self._base or None,
            base_model=self.form.base.text().strip(),
            card=self.editor.text,
            overwrite=self.form.overwrite.isChecked(),
        )
        self.uploader.start(self._saved.folder, self.form.destination, options)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._session.account.look()
        self._list()
        self._prepare()

    def _lay_out(self) -> None:
        where = Card("Where it goes")
        where.add(self.account_bar)
        where.add(self.form)
        where.add(self.missing)
        buttons = QHBoxLayout()
        buttons.setSpacing(2 * GRID)
        for button in (self.start_button, self.pause_button, self.cancel_button):
            buttons.addWidget(button)
        buttons.addStretch(1)
        where.add(buttons)
        where.add(self.notice)
        where.add(self.progress, 1)
        self.begun = Card("Begun earlier")
        self.begun.header.addWidget(self.resume_button)
        self.unfinished_table.setSelectionMode(Table.SelectionMode.SingleSelection)
        self.unfinished_table.setMaximumHeight(28 * GRID)
        self.begun.add(self.unfinished_table)
        left = QWidget()
        column = QVBoxLayout(left)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3 * GRID)
        column.addWidget(where, 1)
        column.addWidget(self.begun)
        left.setMinimumWidth(_WIDTH)
        line = QHBoxLayout(self)
        line.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        line.setSpacing(3 * GRID)
        line.addWidget(left, 2)
        line.addWidget(self.editor, 3)

    def _connect(self) -> None:
        account, verifier, uploader = self._session.account, self._session.verifier, self.uploader
        self.start_button.clicked.connect(self.start)
        self.pause_button.clicked.connect(uploader.toggle_pause)
        self.cancel_button.clicked.connect(uploader.cancel)
        self.resume_button.clicked.connect(self._go_on)
        self.unfinished_table.activated.connect(lambda _: self._go_on())
        self.unfinished_table.selectionModel().selectionChanged.connect(lambda *_: self._refresh())
        self.editor.keep_wanted.connect(self._keep)
        self.form.base_changed.connect(self._prepare_again)
        account.changed.connect(self._refresh)
        self.form.changed.connect(self._refresh)
        verifier.busy_changed.connect(lambda _: self._refresh())
        verifier.finished.connect(lambda _: self._refresh())
        verifier.failed.connect(lambda _: self._refresh())
        uploader.changed.connect(self._refresh)
        uploader.ended.connect(self._list)
        uploader.failed.connect(self._on_failed)
        uploader.finished.connect(self._on_published)
        uploader.warned.connect(lambda text: self._session.message.emit(text, ""))
        self._preparer.result.connect(self._on_prepared)
        self._preparer.failed.connect(self._on_not_prepared)
        self._keeper.result.connect(self._on_kept)
        self._keeper.failed.connect(self.notice.show_error)
        self._lister.result.connect(self._on_listed)
        self._lister.failed.connect(self._session.report_error)

    def _why_not(self) -> str:
        """What is missing before it can go; empty where nothing is."""
        account = self._session.account
        if self._saved is None:
            return "there is no result: run one, or open one above"
        proof = missing_proof(self._saved, self._session.verifier)
        if proof:
            return proof
        if account.account is None:
            return "nobody is signed in to the Hub"
        if not account.account.may_write:
            return "the token may only read: sign in with one that may write"
        if self.form.fault:
            return self.form.fault
        return "" if self.editor.ready else "the card is not there yet"

    def _refresh(self) -> None:
        uploader, why = self.uploader, self._why_not()
        self.form.show_names(self._session.account.names)
        self.form.setDisabled(uploader.active)
        self.start_button.setEnabled(not why and not uploader.active)
        self.missing.setText(f"Missing: {why}." if why else "\u2713 Verified, and ready to go.")
        self.missing.set_tone("warn" if why else "good")
        self.missing.setVisible(not uploader.active and uploader.published is None)
        self.pause_button.setVisible(uploader.active)
        self.cancel_button.setVisible(uploader.active)
        self.start_button.setVisible(not uploader.active)
        paused = uploader.state is RunState.PAUSED
        self.pause_button.setText("Go on" if paused else "Pause")
        self.pause_button.setAccessibleName("Go on with the upload" if paused else "Pause the upload")
        self.pause_button.set_drawing("play" if paused else "pause")
        self.cancel_button.setEnabled(uploader.state is not RunState.CANCELLING)
        self.resume_button.setEnabled(self._chosen() is not None and not uploader.active)

    def _prepare(self) -> None:
        if self._saved is not None and self._stale and not self.uploader.active:
            self._stale = False
            repo = self.form.destination.repo if not self.form.fault else ""
            base_model = self.form.base.text().strip() if not self.form.fault else ""
            work = self._session.verbs.prepare_card(self._saved.folder, self._base or None, repo, base_model)
            self._preparer.submit(work)

    def _prepare_again(self) -> None:
        """The base has another name."""
        named = self.form.base.text().strip()
        if named != self._named:
            self._named, self._stale = named, True
            self._prepare()

    def _list(self) -> None:
        self._lister.submit(self._session.verbs.unfinished_uploads())

    def _on_listed(self, found: tuple[Unfinished, ...]) -> None:
        self.unfinished.set_rows(found)
        self.begun.setVisible(bool(found))
        self._refresh()

    def _chosen(self) -> Unfinished | None:
        rows = self.unfinished_table.selectionModel().selectedRows()
        return self.unfinished.row(rows[0].row()) if rows else None

    def _go_on(self) -> None:
        """Shows the result of the chosen upload again, ready to go where it was going."""
        chosen = self._chosen()
        if chosen is not None and not self.uploader.active:
            self._going_on = Destination(chosen.repo, chosen.branch, pull_request=chosen.pull_request)
            self.result_wanted.emit(chosen.output)

    def _on_prepared(self, prepared: Prepared) -> None:
        self.editor.show_card(prepared)
        self.uploader.show_files(prepared.files)
        self._refresh()

    def _on_not_prepared(self, error: QtQuantError) -> None:
        self._stale = True
        self.editor.clear("There is no card: see the message.")
        self.notice.show_error(error)
        self._refresh()

    def _keep(self, text: str) -> None:
        if self._saved is not None:
            self._keeper.submit(self._session.verbs.keep_card(self._saved.folder, text))

    def _on_kept(self, path: str) -> None:
        self._session.message.emit(f"Kept the card as {path}", "")
        self._stale = True
        self._prepare()

    def _on_failed(self, error: QtQuantError) -> None:
        self.notice.show_error(error)
        self._session.report_error(error)

    def _on_published(self, published: Published) -> None:
        self._session.message.emit(f"Published as {published.repo}", published.url)
