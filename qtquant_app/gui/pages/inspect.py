"""The Inspect page: choose a tensor, turn a knob, see what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from PySide6.QtWidgets import QVBoxLayout, QWidget

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.explanation import why_unexplained
from qtquant_app.core.matrix import find, item_bytes, part_of
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.report import RunReport, TensorReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Window
from qtquant_app.gui.fetcher import Fetcher
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.layer_rules import subjects_of, why_no_rule_for, with_rule
from qtquant_app.gui.plots.preview_view import PreviewView
from qtquant_app.gui.pointer import Pointer
from qtquant_app.gui.previewer import Previewer, Request
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import GRID
from qtquant_app.gui.widgets.compare_panel import ComparePanel
from qtquant_app.gui.widgets.explanation_panel import ExplanationPanel
from qtquant_app.gui.widgets.figures_panel import FiguresPanel
from qtquant_app.gui.widgets.glance_panel import GlancePanel
from qtquant_app.gui.widgets.inspect_layout import knobs_column, scrolling, tabs, three_columns
from qtquant_app.gui.widgets.layer_panel import LayerPanel
from qtquant_app.gui.widgets.remedies_panel import RemediesPanel
from qtquant_app.gui.widgets.scheme_panel import SchemePanel
from qtquant_app.gui.widgets.text import sentence_case, tip_text
from qtquant_app.gui.widgets.worst_panel import WorstPanel
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest

if TYPE_CHECKING:
    from qtquant_app.engine.preview import Preview

NO_CHECKPOINT = "No checkpoint is open", "Open a folder, a file or the sample model on the Source page."
NO_SELECTION = (
    "Choose a tensor on the left",
    "Its weights appear here, and the error that the scheme on the right makes.",
)
CARRIED = "A run keeps this tensor{why}; here is what the scheme would do to it."
"""`why` is the plan's reason, in parentheses."""


AT_ONCE = 1_000
"""In a checkpoint of so many tensors a rule for any of them is found within a blink."""
LOOKED_AT = 500
"""Of so many tensors it is said beforehand that a rule for them would do nothing."""


class InspectPage(QWidget):
    """Looks at the selected tensor under the scheme of the knobs; a newer request cancels an older one."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("inspectPage")
        self.setAccessibleName("Inspect")
        self._session = session
        self.inspection = Inspection(session.recipe.default, self)
        self.layers = LayerPanel()
        self.picture = PreviewView()
        self.panel = SchemePanel()
        self.figures = FiguresPanel()
        self.worst = WorstPanel(session, self.inspection)
        self.remedies = RemediesPanel(session, self.inspection)
        self.explanation = ExplanationPanel(session, self.inspection)
        self.compare = ComparePanel(session, self.inspection)
        self.glance = GlancePanel(session, self.inspection)
        self.previewer = Previewer(session.verbs, self)
        self.fetcher = Fetcher(session.verbs, self)
        self.previewer.busy_changed.connect(session.runner.give_way)
        self.pointer = Pointer(session, self.inspection, self)
        self.windows = Latest(self)
        self._ruler = Latest(self)
        self._fit: tuple[tuple[str, ...], Checkpoint, tuple[TensorInfo, ...]] | None = None
        """What was chosen in which checkpoint, and what of it a rule can be for: worked out once."""
        self._default = session.recipe.default
        self._format = session.recipe.format
        self._lay_out()
        self._connect()
        self.panel.editor.set_scheme(self._default)
        self._take_checkpoint(session.checkpoint)

    def _lay_out(self) -> None:
        looks = [(self.picture, "Tensor"), (self.compare, "Compare"), (self.glance, "Whole model")]
        details = [
            (scrolling(self.figures, "Figures"), "Figures"),
            (scrolling(self.worst, "Worst"), "Worst"),
            (scrolling(self.remedies, "Remedies"), "Remedies"),
            (self.explanation, "Explain"),
        ]
        self.middle = tabs("inspectTabs", "What to look at", looks)
        self.below = tabs("detailTabs", "Details", details)
        self.splitter = three_columns(self.layers, self.middle, knobs_column(self.panel, self.below))
        column = QVBoxLayout(self)
        column.setContentsMargins(2 * GRID, 2 * GRID, 2 * GRID, 2 * GRID)
        column.addWidget(self.splitter)

    def _connect(self) -> None:
        session, errors = self._session, self.picture.errors
        session.checkpoint_changed.connect(self._take_checkpoint)
        session.statistics_changed.connect(self._take_checkpoint)
        session.selection_changed.connect(self._select)
        session.recipe_changed.connect(self._take_recipe)
        session.plan_changed.connect(self._take_plan)
        session.tensor_reported.connect(self._take_reports)
        session.run_finished.connect(self._take_run)
        self.layers.chosen.connect(session.select)
        self.panel.scheme_changed.connect(self._turn)
        self.panel.for_model.connect(session.set_default_scheme)
        self.panel.for_layer.connect(self._add_rule)
        self.fetcher.ready.connect(self.previewer.ask)
        self.fetcher.offered.connect(lambda request, cost: self.picture.offer_fetch(request.part, cost))
        self.fetcher.progressed.connect(self.picture.show_fetching)
        self.fetcher.failed.connect(lambda request, error: self.picture.explain(request.part, error))
        self.picture.fetch_button.clicked.connect(self._fetch)
        self.previewer.sampled.connect(self._draw)
        self.previewer.exact.connect(self._show_exact)
        self.previewer.failed.connect(self._show_error)
        errors.view_changed.connect(self._request)
        errors.window_wanted.connect(self._ask_window)
        errors.place_changed.connect(self.inspection.set_place)
        errors.place_pointed.connect(self.pointer.point)
        errors.weight_pointed.connect(self.picture.histogram.mark_weight)
        self.pointer.told.connect(errors.set_detail)
        self._ruler.result.connect(self._take_rule)
        self._ruler.failed.connect(session.report_error)
        self.windows.result.connect(errors.draw_window)
        self.windows.failed.connect(session.report_error)
        self.inspection.place_changed.connect(errors.show_place)
        self.glance.drawn.connect(self.layers.model.set_scan)
        self.layers.selection_chosen.connect(self.inspection.set_chosen)
        self.inspection.chosen_changed.connect(self._offer)

    @property
    def tensor(self) -> TensorInfo | None:
        """The tensor selected; a slice of it may be what is looked at."""
        checkpoint = self._session.checkpoint
        return checkpoint.by_name.get(part_of(self._session.selection)[0]) if checkpoint else None

    def _withdraw(self) -> None:
        self.fetcher.cancel()
        self.previewer.cancel()

    def _take_checkpoint(self, checkpoint: Checkpoint | None) -> None:
        self._withdraw()
        self.windows.cancel()
        self._ruler.cancel()
        self.layers.set_checkpoint(checkpoint)
        self.figures.draw(None, 0)
        self._take_plan(self._session.plan)
        self._select(self._session.selection)

    def _select(self, name: str) -> None:
        self.layers.choose(name)
        self._request()

    def _turn(self, scheme: Scheme) -> None:
        """A knob was turned."""
        self.inspection.set_scheme(scheme)
        self._request()

    def _take_recipe(self, recipe: Recipe) -> None:
        turned, stored = recipe.default != self._default, recipe.format != self._format
        self._default, self._format = recipe.default, recipe.format
        if turned and self.panel.scheme != recipe.default:
            self.panel.editor.set_scheme(recipe.default)
            self._turn(recipe.default)
        elif stored:
            self._request()
        self._offer()

    def _take_plan(self, plan: object) -> None:
        self.layers.model.set_plan(plan if isinstance(plan, Plan) else None)
        if self.picture.preview is not None and self.tensor is not None:
            self.picture.remark(self._remark(self.tensor))
        self._offer()

    def _take_reports(self, reports: Iterable[TensorReport]) -> None:
        self.layers.model.add_errors((report.name, report.scheme, report.errors) for report in reports)

    def _take_run(self, report: RunReport) -> None:
        self._take_reports(report.tensors)

    def _request(self) -> None:
        """Asks for the picture of what is selected, as the knobs are now."""
        self._offer()
        self.windows.cancel()
        self.inspection.set_preview(None)
        checkpoint, tensor, scheme = self._session.checkpoint, self.tensor, self.panel.scheme
        self.picture.errors.choices.offer(scheme)
        self._offer_explanation(scheme)
        if checkpoint is None or tensor is None:
            self._withdraw()
            self.inspection.set_part("")
            self.figures.draw(None, 0)
            self.picture.say(*(NO_CHECKPOINT if checkpoint is None else NO_SELECTION))
            return
        try:
            part = find(checkpoint, self._session.selection).name
        except QtQuantError as error:
            self._withdraw()
            self.inspection.set_part("")
            self.figures.draw(None, 0)
            self.picture.explain(tensor.name, error)
            return
        self.inspection.set_part(part)
        self.picture.wait_for(part, scheme)
        self.previewer.cancel()
        self.fetcher.ask(Request(checkpoint, part, scheme, self._session.recipe.format, self.picture.errors.view))

    def _fetch(self) -> None:
        """Fetches the tensor that is offered, or stops doing so."""
        if self.picture.fetching:
            self._request()
        else:
            self.picture.show_fetching(None)
            self.fetcher.fetch()

    def _offer_explanation(self, scheme: Scheme) -> None:
        """Greys out the explanation where there is none, with the reason; while it is in front it says so itself."""
        why, at = why_unexplained(scheme), self.below.indexOf(self.explanation)
        self.below.setTabEnabled(at, not why or self.below.currentIndex() == at)
        self.below.setTabToolTip(at, tip_text(sentence_case(why)))

    def _draw(self, preview: Preview) -> None:
        """Shows a preview, from a sample or exact."""
        tensor = self.tensor
        if tensor is not None:
            self.picture.draw(preview, self._remark(tensor))
            self.figures.draw(preview, preview.shape[0] * preview.shape[1] * item_bytes(preview.stored))

    def _remark(self, tensor: TensorInfo) -> str:
        return " ".join(filter(None, (_kept(self._session.plan, tensor), self.panel.editor.preview_note)))

    def _show_exact(self, preview: Preview) -> None:
        self._draw(preview)
        self.layers.model.add_errors([(preview.layer, preview.scheme, preview.errors)])
        self.inspection.set_preview(preview)

    def _show_error(self, error: QtQuantError) -> None:
        request = self.previewer.request
        if request is not None:
            if self.picture.preview is not None and self.picture.preview.sampled:
                self.picture.preview = None  # no exact picture follows, and a sample is not to pass for one
            self.picture.explain(request.part, error)
            if self.picture.preview is None:
                self.figures.draw(None, 0)

    def _ask_window(self, window: Window) -> None:
        """Asks for finer cells of what is visible; there is nothing to ask before the exact picture is there."""
        request, known = self.previewer.request, self.inspection.preview
        if request is not None and known is not None:
            look = self._session.verbs.look(request.checkpoint, request.part, request.scheme, window, known)
            self.windows.submit(look)

    def _subjects(self) -> tuple[TensorInfo, ...]:
        """What a rule would be for: all that is chosen in the tree and can be quantized, or the one tensor looked at."""
        checkpoint, tensor, chosen = self._session.checkpoint, self.tensor, self.inspection.chosen
        if checkpoint is None:
            return ()
        if self._fit is None or self._fit[0] is not chosen or self._fit[1] is not checkpoint:
            self._fit = chosen, checkpoint, subjects_of(chosen, checkpoint)
        return self._fit[2] or (() if tensor is None else (tensor,))

    def _add_rule(self, scheme: Scheme) -> None:
        """At once, or in a worker where finding the pattern for thousands takes a while."""
        checkpoint, subjects, recipe = self._session.checkpoint, self._subjects(), self._session.recipe
        if checkpoint is None or not subjects:
            return

        def make() -> tuple[Recipe, Recipe]:
            modules = [other.module for other in checkpoint.tensors if other.quantizable]
            return recipe, with_rule(recipe, [info.module for info in subjects], scheme, modules)

        if len(checkpoint.tensors) <= AT_ONCE:
            self._take_rule(make())
        else:
            self._ruler.submit(once(make))

    def _take_rule(self, made: tuple[Recipe, Recipe]) -> None:
        """Takes a recipe with a new rule, unless the one that it was made of has been changed since."""
        before, after = made
        if before == self._session.recipe:
            self._session.set_recipe(after)
        else:
            self._session.message.emit("The recipe was changed meanwhile: add the rule again", "")

    def _offer(self) -> None:
        """Says which of the two buttons has something to do."""
        recipe, subjects, scheme = self._session.recipe, self._subjects(), self.panel.scheme
        model = "This is the recipe's default scheme already" if scheme == recipe.default else ""
        layer = why_no_rule_for(recipe, subjects, scheme) if len(subjects) <= LOOKED_AT else ""
        self.panel.offer(model=model, layer=layer, count=len(subjects))


def _kept(plan: Plan | None, tensor: TensorInfo) -> str:
    """What stands above the picture of a tensor that a run keeps; empty where it is quantized."""
    names = {tensor.name, tensor.part.stack.tensor.name if tensor.part else ""}  # its stack may stay whole
    planned = next((item for item in plan.tensors if item.name in names), None) if plan else None
    if tensor.quantizable and (planned is None or planned.action == "quantize"):
        return ""
    return CARRIED.format(why=f" ({planned.reason})" if planned and planned.reason else "")
