"""The Inspect page: choose a tensor, turn a knob, see what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QSplitter, QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import RunReport, TensorReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.layer_rules import ignoring_pattern, scheme_for, with_layer_rule
from qtquant_app.gui.plots.preview_view import PreviewView
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.layer_panel import LayerPanel
from qtquant_app.gui.widgets.scheme_panel import SchemePanel
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

NO_CHECKPOINT = "No checkpoint is open", "Open a folder, a file or the sample model on the Source page."
NO_SELECTION = (
    "Choose a tensor on the left",
    "Its weights appear here, and the error that the scheme on the right makes.",
)
KEPT = "This tensor is carried over as it is"
QUANTIZED_KINDS = "Only float matrices of linear layers, experts and heads are quantized."


class InspectPage(QWidget):
    """Previews the selected tensor under the scheme of the knobs; a newer request cancels an older one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("inspectPage")
        self.setAccessibleName("Inspect")
        self._session = session
        self.layers = LayerPanel()
        self.picture = PreviewView()
        self.panel = SchemePanel()
        self.previews = Latest(self)
        self._default = session.recipe.default
        self._awaited: tuple[str, Scheme] | None = None
        self._lay_out()
        self._connect()
        self.panel.editor.set_scheme(self._default)
        self._take_checkpoint(session.checkpoint)

    def _lay_out(self) -> None:
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.setObjectName("inspectSplitter")
        splitter.setChildrenCollapsible(False)
        for widget, stretch in ((self.layers, 0), (self.picture, 1), (self.panel, 0)):
            splitter.addWidget(widget)
            splitter.setStretchFactor(splitter.count() - 1, stretch)
        splitter.setSizes([320, 640, 236])
        splitter.setHandleWidth(2 * GRID)
        self.splitter = splitter
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.addWidget(splitter)

    def _connect(self) -> None:
        session = self._session
        session.checkpoint_changed.connect(self._take_checkpoint)
        session.selection_changed.connect(self._select)
        session.recipe_changed.connect(self._take_recipe)
        session.plan_changed.connect(self._take_plan)
        session.tensor_reported.connect(self._take_reports)
        session.run_finished.connect(self._take_run)
        self.layers.chosen.connect(session.select)
        self.panel.scheme_changed.connect(self._request)
        self.panel.for_model.connect(session.set_default_scheme)
        self.panel.for_layer.connect(self._add_rule)
        self.previews.result.connect(self._show_preview)
        self.previews.failed.connect(self._show_error)

    @property
    def tensor(self) -> TensorInfo | None:
        """The tensor selected."""
        checkpoint = self._session.checkpoint
        return checkpoint.by_name.get(self._session.selection) if checkpoint else None

    def _take_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        self.previews.cancel()
        self.layers.set_checkpoint(checkpoint)
        self.panel.draw(None, 0)
        self._take_plan(self._session.plan)
        self._select(self._session.selection)

    def _select(self, name: str) -> None:
        self.layers.choose(name)
        self._request()

    def _take_recipe(self, recipe: Recipe) -> None:
        if recipe.default != self._default:
            self._default = recipe.default
            if self.panel.scheme != recipe.default:
                self.panel.editor.set_scheme(recipe.default)
                self._request()
        self._offer()

    def _take_plan(self, plan: object) -> None:
        self.layers.model.set_plan(plan if isinstance(plan, Plan) else None)
        if self._awaited is None:
            self._say_why_empty(self._session.checkpoint, self.tensor)  # the plan knows the reason
        self._offer()

    def _take_reports(self, reports: Iterable[TensorReport]) -> None:
        self.layers.model.add_errors((report.name, report.scheme, report.errors) for report in reports)

    def _take_run(self, report: RunReport) -> None:
        self._take_reports(report.tensors)

    def _request(self) -> None:
        """Asks for the picture of what is selected, as the knobs are now."""
        self._offer()
        checkpoint, tensor, scheme = self._session.checkpoint, self.tensor, self.panel.scheme
        if checkpoint is None or tensor is None or not tensor.quantizable:
            self.previews.cancel()
            self._awaited = None
            self.panel.draw(None, 0)
            self._say_why_empty(checkpoint, tensor)
            return
        self._awaited = tensor.name, scheme
        self.picture.wait_for(tensor.name, scheme)
        self.previews.submit(self._session.verbs.preview(checkpoint, tensor.name, scheme, self._session.recipe.format))

    def _say_why_empty(self, checkpoint: Checkpoint | None, tensor: TensorInfo | None) -> None:
        if tensor is not None:
            self.picture.say(KEPT, _why_kept(self._session.plan, tensor), tensor.name)
        else:
            self.picture.say(*(NO_CHECKPOINT if checkpoint is None else NO_SELECTION))

    def _show_preview(self, preview: Preview) -> None:
        tensor = self.tensor
        if tensor is None or self._awaited != (preview.layer, preview.scheme):
            return
        self.picture.draw(preview)
        self.panel.draw(preview, tensor.nbytes)
        self.layers.model.add_errors([(preview.layer, preview.scheme, preview.errors)])

    def _show_error(self, error: QtQuantError) -> None:
        if self._awaited is not None:
            self.picture.explain(self._awaited[0], error)
            if self.picture.preview is None:
                self.panel.draw(None, 0)

    def _add_rule(self, scheme: Scheme) -> None:
        checkpoint, tensor = self._session.checkpoint, self.tensor
        if checkpoint is not None and tensor is not None:
            modules = {other.module for other in checkpoint.tensors}
            self._session.set_recipe(with_layer_rule(self._session.recipe, tensor.module, scheme, modules))

    def _offer(self) -> None:
        """Says which of the two buttons has something to do."""
        recipe, tensor, scheme = self._session.recipe, self.tensor, self.panel.scheme
        model = "This is the recipe's default scheme already" if scheme == recipe.default else ""
        self.panel.offer(model=model, layer=_why_no_rule(recipe, tensor, scheme))


def _why_kept(plan: Plan | None, tensor: TensorInfo) -> str:
    planned = next((item for item in plan.tensors if item.name == tensor.name), None) if plan else None
    return f"{QUANTIZED_KINDS} Here: {planned.reason}." if planned else QUANTIZED_KINDS


def _why_no_rule(recipe: Recipe, tensor: TensorInfo | None, scheme: Scheme) -> str:
    """Why a rule for `tensor` would do nothing; empty where it would do something."""
    if tensor is None:
        return "Select a layer first"
    if not tensor.quantizable:
        return "This tensor is not quantized"
    pattern = ignoring_pattern(recipe, tensor.module)
    if pattern is not None:
        return f"The recipe ignores this layer: {pattern}"
    if scheme_for(recipe, tensor) == scheme:
        return "The recipe gives this layer this scheme already"
    return ""
