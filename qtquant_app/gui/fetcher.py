"""Fetches tensors of a model on the Hub before they are looked at: small ones by itself, large ones when somebody says so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.events import Event
from qtquant_app.gui.progress import Progress, ProgressMeter
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.gui.previewer import Request

BY_ITSELF = 16_000_000
"""Bytes up to which a tensor is fetched without a question."""


class Fetcher(QObject):
    """The newest request wins; what is here already, or never was away, is ready at once."""

    ready = Signal(object)
    """Request: all that it looks at is here."""
    offered = Signal(object, int)
    """Request, and the bytes that it would cost; `fetch` goes on with it."""
    progressed = Signal(object)
    """Progress, of a request that is being fetched."""
    failed = Signal(object, object)
    """Request, QtQuantError."""

    def __init__(self, verbs: Verbs, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._verbs = verbs
        self._coster, self._bringer = Latest(self), Latest(self)
        self._request: Request | None = None
        self._meter = ProgressMeter(0.0)
        self._coster.result.connect(self._on_cost)
        self._bringer.result.connect(lambda _: self._on_here())
        self._bringer.batch.connect(self._on_batch)
        for latest in (self._coster, self._bringer):
            latest.failed.connect(self._on_failed)

    def ask(self, request: Request) -> None:
        """Makes `request` the newest: emits `ready` at once for a checkpoint on this computer."""
        self.cancel()
        if request.checkpoint.remote is None:
            self.ready.emit(request)
            return
        self._request = request
        self._coster.submit(self._verbs.fetch_cost(request.checkpoint, request.part))

    def fetch(self) -> None:
        """Fetches what was offered."""
        if self._request is not None:
            self._meter = ProgressMeter(time.monotonic())
            self._bringer.submit(self._verbs.fetch_tensor(self._request.checkpoint, self._request.part))

    def cancel(self) -> None:
        """Withdraws the request; what has come is kept."""
        self._request = None
        self._coster.cancel()
        self._bringer.cancel()

    def _on_cost(self, cost: int) -> None:
        if self._request is None:
            return
        if not cost:
            self._on_here()
        elif cost <= BY_ITSELF:
            self.fetch()
        else:
            self.offered.emit(self._request, cost)

    def _on_here(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            self.ready.emit(request)

    def _on_batch(self, events: list[Event]) -> None:
        progress: Progress = self._meter.add(events, time.monotonic())
        if self._request is not None and progress.bytes_total:
            self.progressed.emit(progress)

    def _on_failed(self, error: QtQuantError) -> None:
        if self._request is not None:
            self.failed.emit(self._request, error)
