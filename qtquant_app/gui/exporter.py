"""Saves what is shown: asks where to, writes in a worker, and says how it went."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable
from pathlib import Path

from PySide6.QtCore import QObject, Qt, Signal
from PySide6.QtWidgets import QFileDialog, QWidget

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event, FileTransferred
from qtquant_app.gui.export import Numbers, csv_text, file_name, picture, png, svg, write_file
from qtquant_app.gui.settings import Settings
from qtquant_app.jobs.job import Job, Work

FILTERS = {
    "png": "PNG pictures (*.png)",
    "svg": "SVG drawings (*.svg)",
    "csv": "Tables of numbers (*.csv)",
    "json": "JSON documents (*.json)",
}
FOLDER = "export/folder"


class Exporter(QObject):
    """The window has one; plots and tables find it with `exporter_of`."""

    message = Signal(str, str)
    """A sentence, and what there is to know beyond it."""

    def __init__(self, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._settings = settings

    def save_png(self, widget: QWidget, caption: str) -> None:
        """Saves the picture of `widget`, at least twice as fine as on the screen."""
        path = self.ask(widget, caption, "png")
        if path:
            image = picture(widget, caption)
            self._write(path, lambda: [png(image)])

    def save_svg(self, widget: QWidget, caption: str) -> None:
        """Saves `widget` as a drawing whose words can be searched."""
        path = self.ask(widget, caption, "svg")
        if path:
            document = svg(widget, caption)
            self._write(path, lambda: [document])

    def save_csv(self, widget: QWidget, caption: str, numbers: Numbers) -> None:
        """Saves the numbers behind `widget`, in full."""
        path = self.ask(widget, caption, "csv")
        if path:
            self._write(path, lambda: csv_text(*numbers))

    def save_json(self, widget: QWidget, caption: str, document: Callable[[], object]) -> None:
        """Saves what `document` makes, in the worker that writes it."""
        path = self.ask(widget, caption, "json")
        if path:
            self._write(path, lambda: [json.dumps(document(), indent=2).encode() + b"\n"])

    def ask(self, widget: QWidget, caption: str, ending: str) -> str:
        """Where to; empty where that is called off. The folder is kept for the next time."""
        start = Path(self._settings.text(FOLDER) or Path.home()) / file_name(caption, ending)
        path, _ = QFileDialog.getSaveFileName(widget, f"Save as {ending.upper()}", str(start), FILTERS[ending])
        if path and not Path(path).suffix:
            path = f"{path}.{ending}"
        if path:
            self._settings.set(FOLDER, str(Path(path).parent))
        return path

    def _write(self, path: str, pieces: Callable[[], Iterable[bytes]]) -> None:
        job = Job(_writing(path, pieces))
        job.done.connect(self._written)
        job.failed.connect(self._failed)
        job.start()

    def _written(self, path: str) -> None:
        self.message.emit(f"Saved {path}", "")

    def _failed(self, error: QtQuantError) -> None:
        self.message.emit(error.message, error.hint)


def exporter_of(widget: QWidget) -> Exporter:
    """The exporter of the window that `widget` is in; one of its own where the window has none."""
    window = widget.window()
    found = window.findChild(Exporter, options=Qt.FindChildOption.FindDirectChildrenOnly)
    return found if isinstance(found, Exporter) else Exporter(Settings(), window)


def _writing(path: str, pieces: Callable[[], Iterable[bytes]]) -> Work:
    def work() -> Generator[Event, None, str]:
        for size in write_file(path, pieces()):
            yield FileTransferred(path, size)
        return path

    return work
