"""The maps of two pinned schemes: fetched in a worker while they show, finer ones on zoom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject
from PySide6.QtWidgets import QStackedWidget, QWidget

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Window
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.plots.pair_maps import Difference, PairMaps, SideBySide
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.text import sentence_case
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.pair import Pair

NO_TENSOR = "Choose a tensor on the left", "The maps of two schemes appear here."
NO_PINS = "Pin two schemes", "Choose one in the table and press A, another and press B: their maps appear here."
MEASURING = "Measuring both schemes \u2026", ""


@dataclass(frozen=True)
class Request:
    """What the maps answer."""

    checkpoint: Checkpoint
    part: str
    schemes: tuple[Scheme, Scheme]
    format: str


class PairView(QObject):
    """Feeds two pages, side by side and difference, with one answer; nothing is measured while neither shows."""

    def __init__(self, session: Session, inspection: Inspection) -> None:
        super().__init__()
        self._session, self._inspection = session, inspection
        self._pins: tuple[Scheme | None, Scheme | None] = (None, None)
        self._asked: Request | None = None
        self._shown: Request | None = None
        self._pair: Pair | None = None
        self.side, self.difference = SideBySide(), Difference()
        self._pages: dict[PairMaps, tuple[QStackedWidget, Placeholder]] = {}
        self.wholes, self.parts = Latest(self), Latest(self)
        self.wholes.result.connect(self._take)
        self.wholes.failed.connect(self._fail)
        self.parts.result.connect(self._take_part)
        inspection.part_changed.connect(self._ask)
        inspection.place_changed.connect(self._pin)
        session.checkpoint_changed.connect(self._ask)
        session.statistics_changed.connect(self._ask_anew)
        for view in self.views:
            view.window_wanted.connect(self._ask_part)
            view.pinned_changed.connect(inspection.set_place)

    @property
    def views(self) -> tuple[PairMaps, PairMaps]:
        return self.side, self.difference

    @property
    def pair(self) -> Pair | None:
        """What the maps show; None while they say what to do."""
        return self._pair

    def page(self, view: PairMaps) -> QWidget:
        """`view` with what to say in its place while there is nothing to show."""
        stack, empty = QStackedWidget(), Placeholder(*NO_PINS)
        stack.addWidget(empty)
        stack.addWidget(view)
        stack.installEventFilter(self)
        self._pages[view] = stack, empty
        return stack

    def set_schemes(self, one: Scheme | None, other: Scheme | None) -> None:
        """The schemes pinned as A and B."""
        self._pins = one, other
        self._ask()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() in (QEvent.Type.Show, QEvent.Type.Hide):
            self._ask()
        return super().eventFilter(watched, event)

    def _wanted(self) -> Request | None:
        checkpoint, part, (one, other) = self._session.checkpoint, self._inspection.part, self._pins
        if checkpoint is None or not part or one is None or other is None:
            return None
        return Request(checkpoint, part, (one, other), self._session.recipe.format)

    def _ask(self) -> None:
        wanted = self._wanted()
        if wanted is None:
            self._rest()
            self._say(*(NO_PINS if self._inspection.part else NO_TENSOR))
        elif not any(stack.isVisible() for stack, _ in self._pages.values()):
            self._rest()
        elif wanted not in (self._shown, self._asked):
            if self._shown is None or self._shown.part != wanted.part:
                self._say(*MEASURING)
            self._asked = wanted
            self.parts.cancel()
            verbs = self._session.verbs
            self.wholes.submit(verbs.pair(wanted.checkpoint, wanted.part, wanted.schemes, None, None, wanted.format))

    def _ask_anew(self) -> None:
        """The same choices give other pictures now."""
        self._shown = None
        self._rest()
        self._ask()

    def _rest(self) -> None:
        self.wholes.cancel()
        self.parts.cancel()
        self._asked = None

    def _take(self, pair: Pair) -> None:
        self._shown, self._asked, self._pair = self._asked, None, pair
        for view in self.views:
            view.draw(pair)
            view.pin(self._inspection.place)
            self._pages[view][0].setCurrentWidget(view)

    def _fail(self, error: QtQuantError) -> None:
        request, self._asked = self._asked, None
        self._say(f"{sentence_case(error.message)}.", f"{sentence_case(window_hint(error))}.")
        self._shown = request

    def _say(self, sentence: str, explanation: str) -> None:
        """Nothing to show: says why, and what to do."""
        self._shown, self._pair = None, None
        for stack, empty in self._pages.values():
            empty.sentence.setText(sentence)
            empty.explanation.setText(explanation)
            stack.setCurrentWidget(empty)

    def _pin(self, place: object) -> None:
        for view in self.views:
            if self._pair is not None:
                view.pin(self._inspection.place)

    def _ask_part(self, window: Window | None) -> None:
        """Finer cells of what is in sight; until they come the coarse ones stay."""
        request = self._shown
        if request is None or self._pair is None or self._asked is not None:
            return
        if window is None:
            self.parts.cancel()
            for view in self.views:
                view.draw_part(None)
            return
        verbs, known = self._session.verbs, self._pair
        self.parts.submit(verbs.pair(request.checkpoint, request.part, request.schemes, window, known, request.format))

    def _take_part(self, pair: Pair) -> None:
        if self._pair is not None and pair.previews is self._pair.previews:
            for view in self.views:
                view.draw_part(pair if view.isVisible() else None)
