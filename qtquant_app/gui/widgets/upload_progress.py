"""How far an upload is: all of it, each file, when it will end, and what stands on the Hub in the end."""

from __future__ import annotations

from PySide6.QtWidgets import QHBoxLayout, QProgressBar, QVBoxLayout, QWidget

from qtquant_app.core.quantities import bytes_text, duration_text, rate_text, share_text
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.uploader import FileProgress, Uploader
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.hub_notice import open_address
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text


def _state(file: FileProgress) -> str:
    return "there" if file.there else share_text(file.sent, file.bytes, 0) if file.sent else "waits"


FILE_COLUMNS = (
    Column("File to publish", lambda f: f.name, lambda f: f.name, "model.safetensors"),
    Column("Size", lambda f: bytes_text(f.bytes), lambda f: f.bytes, "88.8 MB", True, unit="bytes"),
    Column("Sent", _state, lambda f: f.sent, "100 %"),
)
_ENDED = {
    RunState.CANCELLED: "Stopped: what was sent stays sent, and nothing of it shows before the rest is there.",
    RunState.FAILED: "Not published: see the message. What was sent stays sent.",
    RunState.CANCELLING: "Stopping…",
}


class UploadProgress(QWidget):
    """Follows the uploader."""

    def __init__(self, uploader: Uploader) -> None:
        super().__init__()
        self._uploader = uploader
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the upload")
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.words = Text(wrap=True).set_selectable()
        self.words.setAccessibleName("State of the upload")
        self.link_button = Button("Open the result on the Hub", "open", name="openPublishedButton")
        self.files = RowsModel(FILE_COLUMNS, self)
        self.table = Table(self.files, "uploadFilesTable", "Files to publish")
        self.table.setMinimumHeight(24 * GRID)
        line = QHBoxLayout()
        line.setSpacing(2 * GRID)
        line.addWidget(self.words, 1)
        line.addWidget(self.link_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2 * GRID)
        column.addWidget(self.bar)
        column.addLayout(line)
        column.addWidget(self.table, 1)
        self._shown: tuple[FileProgress, ...] = ()
        self.link_button.clicked.connect(lambda: open_address(self.address))
        uploader.changed.connect(self._refresh)
        self._refresh()

    @property
    def address(self) -> str:
        """Of what was published: the pull request where one was made."""
        published = self._uploader.published
        return "" if published is None else published.pull_request or published.url

    def _refresh(self) -> None:
        uploader = self._uploader
        if uploader.files != self._shown:
            self._shown = uploader.files
            self.files.set_rows(self._shown)
        self.bar.setVisible(uploader.active)
        self.bar.setValue(round(1000 * uploader.progress.fraction))
        self.link_button.setVisible(bool(self.address))
        self.words.setText(_words(uploader))
        self.words.setVisible(bool(self.words.text()))


def _words(uploader: Uploader) -> str:
    published, progress = uploader.published, uploader.progress
    if published is not None:
        sent = f"{bytes_text(published.bytes_sent)} sent in {duration_text(published.seconds)}"
        return f"\u2713 On the Hub: {published.pull_request or published.url} ({sent})"
    if uploader.state in _ENDED:
        return _ENDED[uploader.state]
    if not uploader.active:
        return ""
    paused = "Paused. " if uploader.state is RunState.PAUSED else ""
    if uploader.waits_for:
        return f"{paused}Waiting: {uploader.waits_for}"
    doing = (
        "Checking the files" if progress.stage == "verify" else "Sending" if progress.bytes_total else "Asking the Hub"
    )
    if not progress.bytes_total:
        return f"{paused}{doing}…"
    far = f"{bytes_text(min(progress.bytes_done, progress.bytes_total))} of {bytes_text(progress.bytes_total)}"
    return f"{paused}{doing}: {far}, {rate_text(progress.rate)}, {duration_text(progress.seconds_left)} left"
