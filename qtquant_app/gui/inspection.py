"""What the Inspect page looks at: its panels talk to each other only through it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.scan import ScanReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview


class Inspection(QObject):
    """A part of a tensor under the scheme of the knobs, its picture, a place in it, and the last scan of the model."""

    part_changed = Signal(str)
    """The tensor looked at, with its slice: `experts.up_proj[3]`; empty where there is none."""
    chosen_changed = Signal(object)
    """tuple[str, ...]: every tensor chosen in the tree, the one looked at among them."""
    scheme_changed = Signal(object)
    """Scheme."""
    preview_changed = Signal(object)
    """Preview | None: the newest exact one; None while it is being made."""
    place_changed = Signal(object)
    """Place | None: what is pinned, or reached by the arrow keys; not what the pointer passes over."""
    scanned = Signal(object)
    """ScanReport | None."""

    def __init__(self, scheme: Scheme, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._part = ""
        self._chosen: tuple[str, ...] = ()
        self._scheme = scheme
        self._preview: Preview | None = None
        self._place: Place | None = None
        self._scan: ScanReport | None = None

    @property
    def part(self) -> str:
        return self._part

    @property
    def chosen(self) -> tuple[str, ...]:
        return self._chosen

    @property
    def scheme(self) -> Scheme:
        return self._scheme

    @property
    def preview(self) -> Preview | None:
        return self._preview

    @property
    def place(self) -> Place | None:
        return self._place

    @property
    def scan(self) -> ScanReport | None:
        return self._scan

    def set_part(self, part: str) -> None:
        """Looks at another tensor, or another slice of it: what was pinned is let go."""
        if part != self._part:
            self._part = part
            self.set_place(None)
            self.set_preview(None)
            self.part_changed.emit(part)

    def set_chosen(self, names: tuple[str, ...]) -> None:
        if names != self._chosen:
            self._chosen = names
            self.chosen_changed.emit(names)

    def set_scheme(self, scheme: Scheme) -> None:
        if scheme != self._scheme:
            self._scheme = scheme
            self.scheme_changed.emit(scheme)

    def set_preview(self, preview: Preview | None) -> None:
        if preview is not self._preview:
            self._preview = preview
            self.preview_changed.emit(preview)

    def set_place(self, place: Place | None) -> None:
        if place != self._place:
            self._place = place
            self.place_changed.emit(place)

    def set_scan(self, scan: ScanReport | None) -> None:
        if scan is not self._scan:
            self._scan = scan
            self.scanned.emit(scan)
