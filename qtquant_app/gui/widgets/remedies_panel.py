"""What would help the tensor looked at, measured, and one click away from the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from PySide6.QtCore import QItemSelectionModel, QSignalBlocker, Qt, QTimer
from PySide6.QtGui import QHideEvent, QKeySequence, QShortcut, QShowEvent
from PySide6.QtWidgets import QAbstractItemView, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.matrix import find, part_of
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.remedy import Remedy
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.gui.hints import window_hint
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.layer_rules import decided_by, why_no_rule, with_layer_rule
from qtquant_app.gui.models.remedy_table import REMEDY_COLUMNS, Numbered, Scope, scopes
from qtquant_app.gui.models.rows import RowsModel
from qtquant_app.gui.plots.remedy_plot import RemedyPlot
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.buttons import Button
from qtquant_app.gui.widgets.choice_box import ChoiceBox
from qtquant_app.gui.widgets.sentence import Sentence
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.text import Text, sentence_case, tip_text
from qtquant_app.jobs.latest import Latest

DELAY_MS = 150
"""Knobs at rest for so long are measured."""
NO_TENSOR = "Choose a tensor on the left: what would lower its error is measured here."
MEASURING = "Measuring \u2026"
HINT = "Choose a remedy, then apply it."
UPDATING = "Being updated \u2026"
PLOT_HEIGHT = 30 * GRID
ROWS = 9
"""Room kept for so many remedies, so that nothing jumps while they are measured."""


@dataclass(frozen=True)
class Request:
    """What the rows answer."""

    checkpoint: Checkpoint
    part: str
    scheme: Scheme
    place: Place | None
    format: str


class RemediesPanel(QWidget):
    """Measures the remedies for what is looked at, while it shows, and turns a chosen one into a rule of the recipe."""

    def __init__(self, session: Session, inspection: Inspection, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("remediesPanel")
        self.setAccessibleName("Remedies")
        self._session, self._inspection = session, inspection
        self._shown: Request | None = None
        self._asked: Request | None = None
        self._error = ""
        self._undo: list[tuple[Recipe, Recipe]] = []
        """What the recipe was before a rule was applied, and what it became."""
        self.scope_combo = ChoiceBox()
        self.status = Text(muted=True, wrap=True)
        self.model = RowsModel(REMEDY_COLUMNS, self)
        self.table = Table(self.model, "remedyTable", "Remedies")
        self.plot = RemedyPlot()
        self.recipe_line = Sentence()
        self.apply_button = Button("Apply as a r&ule", name="applyRemedyButton")
        self.undo_button = Button("Und&o", name="undoRemedyButton", tip="Gives the recipe back as it was before")
        self.latest = Latest(self)
        self._timer = QTimer(self, singleShot=True, interval=DELAY_MS)
        self._set_up()
        self._lay_out()
        self._connect()
        self._offer_scopes()
        self._refresh()

    @property
    def remedies(self) -> tuple[Remedy, ...]:
        """What the table shows, in the order measured."""
        return tuple(row.remedy for row in self._rows())

    @property
    def stale(self) -> bool:
        """Whether the rows answer something else than what is looked at now."""
        return self._shown is None or self._shown != self._wanted()

    def select(self, number: int) -> None:
        """Chooses the remedy of that number."""
        for at in range(self.model.rowCount()):
            if self.model.row(at).number == number:
                flags = QItemSelectionModel.SelectionFlag
                self.table.selectionModel().setCurrentIndex(self.model.index(at, 0), flags.ClearAndSelect | flags.Rows)

    def chosen(self) -> Numbered | None:
        """The remedy chosen in the table."""
        rows = self.table.selectionModel().selectedRows()
        return self.model.row(rows[0].row()) if rows else None

    def apply(self) -> None:
        """Makes the chosen remedy a rule of the recipe; does nothing where that would change nothing."""
        row, tensor, checkpoint = self.chosen(), self._tensor(), self._session.checkpoint
        if row is None or tensor is None or checkpoint is None or self._why_not(row, tensor):
            return
        before = self._session.recipe
        after = with_layer_rule(before, tensor.module, row.remedy.scheme, {t.module for t in checkpoint.tensors})
        self._undo.append((before, after))
        self._session.set_recipe(after)
        self._session.message.emit(f"{tensor.module}: {row.remedy.label} is a rule of the recipe now", "")

    def undo(self) -> None:
        """Gives the recipe back as it was before the last remedy was applied."""
        if self._can_undo():
            before, _ = self._undo.pop()
            self._take_back(before)
            self._session.message.emit("The recipe is what it was before the remedy", "")

    def _take_back(self, before: Recipe) -> None:
        """One step back in the history, where the remedy is its newest; else a step of its own leads to `before`."""
        history = self._session.history
        if history.step() == (before, self._session.recipe):
            history.undo()
        else:
            self._session.set_recipe(before)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._later()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._rest()

    def _set_up(self) -> None:
        self.scope_combo.setObjectName("remedyScopeCombo")
        self.scope_combo.setAccessibleName("What the remedies are measured over")
        self.scope_combo.setToolTip("Pin a place in the error map to measure its channel or its group alone")
        self.status.setObjectName("remedyStatus")
        self.recipe_line.setObjectName("remedyRecipeLine")
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.set_empty_text(NO_TENSOR)
        self.table.set_narrow({0: "8 5 bits, groups of 16", 1: "Gain dB", 2: "+8.88 MB"})  # what decides stays in sight
        self.table.fit_rows(ROWS)
        self.table.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.plot.setMinimumHeight(PLOT_HEIGHT)
        policy = QSizePolicy.Policy
        self.plot.setSizePolicy(policy.Expanding, policy.Ignored)  # takes what is left; it would scroll for more
        self.apply_button.setAccessibleName("Apply the chosen remedy as a rule of the recipe")
        self.setMinimumWidth(60 * GRID)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(Text("For"))
        head.addWidget(self.scope_combo, 1)
        foot = QHBoxLayout()
        foot.addWidget(self.apply_button, 1)
        foot.addWidget(self.undo_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(GRID)
        column.addLayout(head)
        column.addWidget(self.status)
        column.addWidget(self.table)
        column.addLayout(foot)
        column.addWidget(self.recipe_line)
        column.addWidget(self.plot, 1)

    def _connect(self) -> None:
        inspection, session = self._inspection, self._session
        session.checkpoint_changed.connect(self._forget)
        session.statistics_changed.connect(self._look_anew)
        session.recipe_changed.connect(self._later)
        for signal in (inspection.part_changed, inspection.scheme_changed, inspection.place_changed):
            signal.connect(self._look_again)
        self.scope_combo.activated.connect(self._later)
        self._timer.timeout.connect(self._ask)
        self.latest.result.connect(self._take)
        self.latest.failed.connect(self._fail)
        self.table.selectionModel().currentRowChanged.connect(self._refresh)
        self.table.selectionModel().selectionChanged.connect(self._refresh)
        self.table.doubleClicked.connect(self.apply)
        widgets: tuple[QWidget, ...] = (self.table, self.plot)
        for key, widget in product((Qt.Key.Key_Return, Qt.Key.Key_Enter), widgets):
            shortcut = QShortcut(QKeySequence(key), widget, context=Qt.ShortcutContext.WidgetShortcut)
            shortcut.activated.connect(self.apply)
        self.plot.chosen.connect(self.select)
        self.apply_button.clicked.connect(self.apply)
        self.undo_button.clicked.connect(self.undo)

    def _tensor(self) -> TensorInfo | None:
        """The tensor looked at; of a slice of a stack, the stack."""
        checkpoint, part = self._session.checkpoint, self._inspection.part
        if checkpoint is None:
            return None
        return checkpoint.by_name.get(part) or checkpoint.by_name.get(part_of(part)[0])

    def _wanted(self) -> Request | None:
        checkpoint, part, scope = self._session.checkpoint, self._inspection.part, self.scope_combo.currentData()
        if checkpoint is None or not part or not isinstance(scope, Scope):
            return None
        return Request(checkpoint, part, self._inspection.scheme, scope.place, self._session.recipe.format)

    def _forget(self) -> None:
        """Another checkpoint: what was measured or could be undone was for the one before."""
        self._undo.clear()
        self._look_again()

    def _look_anew(self) -> None:
        """What was measured is not so any more, with other statistics."""
        self.latest.cancel()
        self._shown, self._asked = None, None
        self._look_again()

    def _look_again(self) -> None:
        self._offer_scopes()
        self._later()

    def _offer_scopes(self) -> None:
        """Lists what can be measured over; the kind chosen stays chosen, where there is one."""
        kept = self.scope_combo.currentData()
        found = self._scopes()
        at = next((i for i, scope in enumerate(found) if isinstance(kept, Scope) and scope.kind == kept.kind), 0)
        with QSignalBlocker(self.scope_combo):
            self.scope_combo.clear()
            for scope in found:
                self.scope_combo.addItem(scope.label, scope)
            self.scope_combo.setCurrentIndex(at)

    def _scopes(self) -> tuple[Scope, ...]:
        inspection, checkpoint = self._inspection, self._session.checkpoint
        if checkpoint is None or not inspection.part:
            return scopes(inspection.scheme, (0, 0), None)
        try:
            shape = find(checkpoint, inspection.part).shape
        except QtQuantError:
            return scopes(inspection.scheme, (0, 0), None)
        return scopes(inspection.scheme, (shape[0], shape[1]), inspection.place)

    def _later(self) -> None:
        """Measures again once the choices rest, if there is anything to measure and anybody to see it."""
        wanted = self._wanted()
        if wanted is None or (self._shown is not None and self._shown.part != wanted.part):
            self._show(None, ())
        if wanted is None or wanted == self._shown:
            self._rest()
        elif self.isVisible() and wanted != self._asked:
            self._timer.start()
        self._refresh()

    def _rest(self) -> None:
        """Nothing is awaited."""
        self._timer.stop()
        self.latest.cancel()
        self._asked = None

    def _ask(self) -> None:
        wanted = self._wanted()
        if wanted is None or not self.isVisible() or wanted == self._shown:
            return
        self._asked = wanted
        verbs = self._session.verbs
        self.latest.submit(verbs.remedies(wanted.checkpoint, wanted.part, wanted.scheme, wanted.place, wanted.format))
        self._refresh()

    def _take(self, found: tuple[Remedy, ...]) -> None:
        request, self._asked = self._asked, None
        if request is not None:
            self._show(request, found)
            self._later()

    def _fail(self, error: QtQuantError) -> None:
        request, self._asked = self._asked, None
        self._show(request, (), f"{sentence_case(error.message)}. {sentence_case(window_hint(error))}.")
        self._refresh()

    def _show(self, request: Request | None, found: tuple[Remedy, ...], error: str = "") -> None:
        """Replaces the rows, keeping the remedy chosen where the new ones have it too; `error` says why there are none."""
        kept = self.chosen()
        self._shown = request
        rows = [Numbered(at, remedy) for at, remedy in enumerate(found)]
        self._error = error
        self.model.set_rows(rows)
        self.plot.draw(rows)
        same = next((row.number for row in rows if kept and row.remedy.title == kept.remedy.title and row.number), None)
        if same is not None:
            self.select(same)

    def _rows(self) -> list[Numbered]:
        rows = [self.model.row(at) for at in range(self.model.rowCount())]
        return sorted(rows, key=lambda row: row.number)

    def _refresh(self) -> None:
        """Says how things stand, and which of the buttons has something to do."""
        row, tensor = self.chosen(), self._tensor()
        why = self._why_not(row, tensor)
        self.apply_button.setEnabled(not why)
        does = f"Makes {row.remedy.label if row else ''} a rule for {tensor.module if tensor else ''}"
        self.apply_button.setToolTip(tip_text(why or does))
        self.undo_button.setEnabled(self._can_undo())
        self.plot.mark(row.number if row else None)
        waiting = self._wanted() is not None and self.stale
        self.status.setText(UPDATING if waiting and self.model.rowCount() else why if row else HINT)
        self.table.set_empty_text(self._error or (MEASURING if waiting else NO_TENSOR))
        self.recipe_line.setText(decided_by(self._session.recipe, tensor) if tensor and tensor.quantizable else "")

    def _why_not(self, row: Numbered | None, tensor: TensorInfo | None) -> str:
        if row is None:
            return "Choose a remedy in the table"
        if self.stale:
            return UPDATING
        if row.remedy.reason:
            return f"{sentence_case(row.remedy.reason)}."
        return why_no_rule(self._session.recipe, tensor, row.remedy.scheme)

    def _can_undo(self) -> bool:
        return bool(self._undo) and self._undo[-1][1] == self._session.recipe
