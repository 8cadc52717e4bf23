"""Previews as the window asks for them: a sample at once, then the exact one; only the newest request counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview


PAINTED_MS = 12
"""The picture of the sample is painted before the exact answer takes every core."""


@dataclass(frozen=True)
class Request:
    """One tensor under one scheme, seen one way."""

    checkpoint: Checkpoint
    part: str
    scheme: Scheme
    format: str
    view: View


class Previewer(QObject):
    """Answers the newest request in two steps, and keeps what the next answer can be made from."""

    sampled = Signal(object)
    """Preview from a sample of rows; none comes where the exact one takes no longer."""
    exact = Signal(object)
    """Preview."""
    failed = Signal(object)
    """QtQuantError."""
    busy_changed = Signal(bool)

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._latest = Latest(self)
        self._request: Request | None = None
        self._known: tuple[Checkpoint, Preview] | None = None
        self._pause = QTimer(self, singleShot=True, interval=PAINTED_MS)
        self._pause.timeout.connect(self._go_on)
        self._latest.result.connect(self._take)
        self._latest.failed.connect(self._fail)
        self._latest.busy_changed.connect(self.busy_changed)

    @property
    def request(self) -> Request | None:
        """What is awaited or was answered last; None where nothing was asked or the request was withdrawn."""
        return self._request

    @property
    def busy(self) -> bool:
        return self._latest.busy or self._pause.isActive()

    def ask(self, request: Request) -> None:
        """Makes `request` the newest; a running answer is cancelled."""
        self._request = request
        self._pause.stop()
        self._submit(request, sample=True)

    def cancel(self) -> None:
        """Withdraws the request."""
        self._request = None
        self._pause.stop()
        self._latest.cancel()

    def _submit(self, request: Request, *, sample: bool) -> None:
        known = self._known[1] if self._known and self._known[0] is request.checkpoint else None
        if known is not None and known.layer != request.part:
            known = None
        self._latest.submit(
            self._verbs.preview(
                request.checkpoint,
                request.part,
                request.scheme,
                request.format,
                view=request.view,
                sample=sample,
                known=known,
            )
        )

    def _take(self, preview: Preview) -> None:
        if self._request is None:
            return
        if preview.sampled:
            self._pause.start()
            self.sampled.emit(preview)
        else:
            self._known = self._request.checkpoint, preview
            self.exact.emit(preview)

    def _go_on(self) -> None:
        if self._request is not None:
            self._submit(self._request, sample=False)

    def _fail(self, error: QtQuantError) -> None:
        if self._request is not None:
            self.failed.emit(error)
