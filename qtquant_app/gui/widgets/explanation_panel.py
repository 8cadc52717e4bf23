"""One weight, explained: from its bits to a code, to the bits of the result, and back."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from qtquant_app.core.derivation import Step, full_text, steps
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.explanation import Explanation
from qtquant_app.core.quantities import stretch_text
from qtquant_app.core.view import Place
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID, fixed_font
from qtquant_app.gui.widgets.bit_strip import BitStrip
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.placeholder import Placeholder
from qtquant_app.gui.widgets.text import Text, sentence_case
from qtquant_app.jobs.latest import Latest

NAME = "One weight, explained"
NO_PLACE = (
    "Pin a weight on the map (click, or arrow keys)",
    "Its way from float to code, to its bits in the file, and back appears here, with its own numbers.",
)
OPERATORS = ("+", "/", "\u2212", "\u00d7", "\u2192", "=")
NARROWEST = 16
"""Characters that a formula is folded to at the least."""
STRIPS = 2
"""Words that a step shows at most: a code may straddle two."""


class Line(Text):
    """Text to select and copy. Without a selection Ctrl+C is left to the panel, which copies everything."""

    def __init__(self, *, fixed: bool = False, muted: bool = False, bold: bool = False) -> None:
        super().__init__(wrap=True, muted=muted, bold=bold)
        self.set_selectable()
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.setMinimumWidth(1)
        if fixed:
            self.setFont(fixed_font(self.font()))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy) and not self.hasSelectedText():
            event.ignore()
        else:
            super().keyPressEvent(event)


class Formula(Line):
    """Lines in a font of one width. One that is too long goes on below, further in than it began."""

    def __init__(self) -> None:
        super().__init__(fixed=True)
        self.setWordWrap(False)
        self._lines: tuple[str, ...] = ()

    def set_lines(self, lines: tuple[str, ...]) -> None:
        """Shows `lines`, folded to the width there is."""
        self._lines = lines
        self._fold()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fold()

    def _fold(self) -> None:
        across = max(NARROWEST, self.width() // max(1, self.fontMetrics().horizontalAdvance("0")))
        text = "\n".join(part for line in self._lines for part in folded(line, across))
        if text != self.text():
            self.setText(text)


def folded(line: str, across: int) -> list[str]:
    """`line` in parts of at most `across` characters, broken before an operator where there is one."""
    indent = len(line) - len(line.lstrip())
    parts = []
    while len(line) > across:
        spaces = [at for at in range(indent + 1, across + 1) if line[at] == " "]
        at = next((at for at in reversed(spaces) if line[at + 1 : at + 2] in OPERATORS), spaces[-1] if spaces else 0)
        if not at:
            break
        parts.append(line[:at])
        indent = min(indent + 4, across // 4) if len(parts) == 1 else indent
        line = " " * indent + line[at:].lstrip()
    return [*parts, line]


class StepView(QWidget):
    """A step: its title, its formula, the bits, and what there is to say."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.formula = Line(bold=True), Formula()
        self.strips = [BitStrip() for _ in range(STRIPS)]
        self.note = Line(muted=True)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        for widget in (self.title, self.formula, *self.strips, self.note):
            column.addWidget(widget)

    def draw(self, number: int, step: Step) -> None:
        """Shows `step` as the one of that number."""
        self.title.setText(f"{number}  {step.title}")
        self.formula.set_lines(step.lines)
        self.note.setText(step.note)
        self.note.setVisible(bool(step.note))
        for at, strip in enumerate(self.strips):
            strip.setVisible(at < len(step.words))
            if at < len(step.words):
                strip.set_word(step.words[at])


class ExplanationPanel(QStackedWidget):
    """Follows what is pinned. Of a cell or a group it explains the weight with the largest error."""

    def __init__(self, session: Session, inspection: Inspection, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._inspection = session, inspection
        self._explanation: Explanation | None = None
        self._format = session.recipe.format
        self._extremes: tuple[str, tuple[float, float]] | None = None
        """A tensor and its smallest and largest weight, from its last exact preview."""
        self.explanations = Latest(self)
        self.empty = Placeholder(*NO_PLACE)
        self.where, self.under = Line(bold=True), Line()
        self.copy_button = Button("Copy", "copy", name="copyExplanationButton")
        self.views: list[StepView] = []
        self.area = QScrollArea()
        self._lay_out()
        self._connect()
        self._request()

    @property
    def explanation(self) -> Explanation | None:
        """What is shown; None where nothing is."""
        return self._explanation

    def copy(self) -> None:
        """Puts the whole explanation on the clipboard, as text."""
        if self._explanation is not None:
            QGuiApplication.clipboard().setText(full_text(self._explanation))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.matches(QKeySequence.StandardKey.Copy) and self._explanation is not None:
            self.copy()
        else:
            super().keyPressEvent(event)

    def _lay_out(self) -> None:
        self.setObjectName("explanationPanel")
        self.setAccessibleName(NAME)
        self.copy_button.setToolTip("Copies the whole explanation as text (Ctrl+C)")
        self.copy_button.setAccessibleName("Copy the explanation")
        self.area.setObjectName("explanationScroll")
        self.area.setAccessibleName(NAME)
        self.area.setFrameShape(QFrame.Shape.NoFrame)
        self.area.setWidgetResizable(True)
        self.area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.area.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        inner = QWidget()
        self._column = QVBoxLayout(inner)
        self._column.setContentsMargins(GRID, GRID, 2 * GRID, GRID)
        self._column.setSpacing(3 * GRID)
        head = QHBoxLayout()
        head.addWidget(self.where, 1)
        head.addWidget(self.copy_button, 0, Qt.AlignmentFlag.AlignTop)
        top = QVBoxLayout()
        top.setSpacing(0)
        top.addLayout(head)
        top.addWidget(self.under)
        self._column.addLayout(top)
        self._column.addStretch(1)
        self.area.setWidget(inner)
        self.addWidget(self.empty)
        self.addWidget(self.area)

    def _connect(self) -> None:
        inspection = self._inspection
        self._session.checkpoint_changed.connect(self._forget)
        self._session.statistics_changed.connect(self._request)
        for signal in (inspection.place_changed, inspection.scheme_changed, inspection.part_changed):
            signal.connect(self._request)
        inspection.preview_changed.connect(self._take_preview)
        self._session.recipe_changed.connect(self._take_recipe)
        self.copy_button.clicked.connect(self.copy)
        self.explanations.result.connect(self._show)
        self.explanations.failed.connect(self._explain_failure)

    def _take_recipe(self) -> None:
        if self._session.recipe.format != self._format:
            self._format = self._session.recipe.format
            self._request()

    def _take_preview(self) -> None:
        preview = self._inspection.preview
        if preview is not None and not preview.sampled:
            self._extremes = preview.layer, preview.weight_range

    def _forget(self) -> None:
        """Another checkpoint may have a tensor of the same name."""
        self._extremes = None

    def _request(self) -> None:
        checkpoint, inspection = self._session.checkpoint, self._inspection
        part, place, scheme = inspection.part, inspection.place, inspection.scheme
        if checkpoint is None or not part or place is None:
            self.explanations.cancel()
            self._say(*NO_PLACE)
            return
        known = self._extremes[1] if self._extremes is not None and self._extremes[0] == part else None
        verbs = self._session.verbs
        self.explanations.submit(
            verbs.explain(checkpoint, part, scheme, place.rows, place.columns, self._format, known)
        )

    def _show(self, explanation: Explanation) -> None:
        self._explanation = explanation
        self.where.setText(f"Row {explanation.row:,}, column {explanation.column:,}")
        self.under.setText(_under(explanation, self._inspection.place))
        found = steps(explanation)
        while len(self.views) < len(found):
            self.views.append(StepView())
            self._column.insertWidget(len(self.views), self.views[-1])
        for number, (view, step) in enumerate(zip(self.views, found, strict=True), 1):
            view.draw(number, step)
        text = full_text(explanation)
        for widget in (self, self.area):
            widget.setAccessibleDescription(text)
        self.setCurrentWidget(self.area)

    def _explain_failure(self, error: QtQuantError) -> None:
        self._say(sentence_case(error.message), window_hint(error))

    def _say(self, text: str, explanation: str) -> None:
        self._explanation = None
        self.empty.sentence.setText(text)
        self.empty.explanation.setText(explanation)
        for widget in (self, self.area):
            widget.setAccessibleDescription(f"{text}. {explanation}")
        self.setCurrentWidget(self.empty)


def _under(it: Explanation, place: Place | None) -> str:
    text = f"{it.scheme.label}, {it.format}"
    if place is not None and not place.single:
        inside = f"{stretch_text('row', *place.rows)}, {stretch_text('column', *place.columns)}"
        text += f"\nThe largest error in {inside}."
    if it.carried:
        text += "\nA run leaves this tensor as it is; this is what the scheme would do."
    return text
