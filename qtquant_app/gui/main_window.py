"""The window: a rail of steps, the page of the chosen one, the status strip. Navigation only."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtGui import QCloseEvent, QDragEnterEvent, QDropEvent, QKeySequence, QResizeEvent, QShortcut
from PySide6.QtWidgets import QHBoxLayout, QMainWindow, QStackedWidget, QVBoxLayout, QWidget

from qtquant_app.gui.accessibility import name_parts
from qtquant_app.gui.exporter import Exporter
from qtquant_app.gui.leaving import Leaving
from qtquant_app.gui.menus import action, add_menu, help_actions, history_actions, recent_menu, step_actions, theme_menu
from qtquant_app.gui.pages.compare import ComparePage
from qtquant_app.gui.pages.inspect import InspectPage
from qtquant_app.gui.pages.publish import PublishPage
from qtquant_app.gui.pages.recipe import RecipePage
from qtquant_app.gui.pages.run import RunPage
from qtquant_app.gui.pages.source import SourcePage
from qtquant_app.gui.recipe_files import holds_recipe
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import Step, state_of
from qtquant_app.gui.vigil import Vigil
from qtquant_app.gui.widgets.icons import window_icon
from qtquant_app.gui.widgets.rail import Rail
from qtquant_app.gui.widgets.status_strip import StatusStrip
from qtquant_app.gui.widgets.text import cell_text
from qtquant_app.jobs.job import stop_all

NARROW_BELOW = 1000
STARTING_SIZE = (1280, 720)


class MainWindow(QMainWindow):
    """Holds the pages over one session."""

    def __init__(self, session: Session, settings: Settings) -> None:
        super().__init__()
        self.setObjectName("mainWindow")
        self.setAccessibleName("QtQuant")
        self.setWindowIcon(window_icon())
        self.session = session
        self._settings = settings
        self._opening = ""
        self.exporter = Exporter(settings, self)
        self.leaving = Leaving(session, self)
        self.vigil = Vigil(session, self)
        session.start_recipe(settings.recipe())
        self.source_page = SourcePage(session, settings)
        self.inspect_page = InspectPage(session)
        self.recipe_page = RecipePage(session, settings)
        self.run_page = RunPage(session, settings)
        self.publish_page = PublishPage(session, settings)
        self.compare_page = ComparePage(session, settings)
        self.rail = Rail()
        self.strip = StatusStrip(session)
        self._pages = QStackedWidget()
        self._lay_out()
        self._add_menus()
        self._connect()
        name_parts(self)
        self._restore()
        self.go(Step.SOURCE)
        self._refresh()
        session.load_catalog()
        session.queue.load()

    @property
    def step(self) -> Step:
        """The step whose page shows."""
        return Step(self._pages.currentIndex())

    def go(self, step: Step) -> None:
        """Shows the page of `step`."""
        self._pages.setCurrentIndex(step)
        self.rail.set_current(step)

    def find_tensor(self) -> None:
        """Goes to the filter of the layer tree."""
        self.go(Step.INSPECT)
        self.inspect_page.layers.focus_filter()

    def start_run(self) -> None:
        """Goes to the Run page and starts, where everything a run needs is there."""
        self.go(Step.RUN)
        self.run_page.start()

    def queue_run(self) -> None:
        """Goes to the Run page and puts the run into the queue, where everything it needs is there."""
        self.go(Step.RUN)
        self.run_page.enqueue()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        if _local_path(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        path = _local_path(event)
        if path:
            event.acceptProposedAction()
            self.take(path)

    def take(self, path: str) -> None:
        """Opens what is dropped: a checkpoint; or a recipe or a result's folder, to say what its recipe would change."""
        if holds_recipe(path):
            self.go(Step.RECIPE)
            self.recipe_page.consider(path)
        else:
            self.go(Step.SOURCE)
            self.session.open(path)

    def paste_recipe(self) -> None:
        """Goes to the Recipe page and shows what the recipe on the clipboard would change."""
        self.go(Step.RECIPE)
        self.recipe_page.paste()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.rail.set_narrow(self.width() < NARROW_BELOW)

    def closeEvent(self, event: QCloseEvent) -> None:
        if not self.may_stop():
            event.ignore()
            return
        self._keep()
        self.session.queue.stop_for_later()
        stop_all()
        super().closeEvent(event)

    def may_stop(self) -> bool:
        """Whether the window may close now. While a run is under way somebody is asked first, and it closes when they say."""
        return self.leaving.may_close()

    def _lay_out(self) -> None:
        working = (self.source_page, self.inspect_page, self.recipe_page, self.run_page)
        for page in (*working, self.publish_page, self.compare_page):
            self._pages.addWidget(page)
        middle = QHBoxLayout()
        middle.setSpacing(0)
        middle.addWidget(self.rail)
        middle.addWidget(self._pages, 1)
        central = QWidget()
        layout = QVBoxLayout(central)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(middle, 1)
        layout.addWidget(self.strip)
        self.setCentralWidget(central)
        self.setAcceptDrops(True)
        self.resize(*STARTING_SIZE)
        self.setMinimumSize(800, 520)

    def _add_menus(self) -> None:
        source, recipe, run = self.source_page, self.recipe_page, self.run_page
        bar = self.menuBar()
        add_menu(
            bar,
            "&File",
            [
                action(self, "Open &folder…", source.choose_folder, QKeySequence.StandardKey.Open),
                action(self, "Open f&ile…", source.choose_file, "Ctrl+Shift+O"),
                action(self, "Open the &sample model", source.open_sample),
                recent_menu(self, self.session, self._settings),
                None,
                action(self, "&Open recipe…", lambda: self._on_recipe_page(recipe.choose_recipe)),
                action(self, "&Take a result's recipe…", lambda: self._on_recipe_page(recipe.choose_result)),
                action(self, "Take a recipe from the &Hub…", lambda: self._on_recipe_page(recipe.ask_hub)),
                action(self, "Sa&ve recipe…", recipe.save_as, QKeySequence.StandardKey.Save),
                None,
                action(self, "&Quit", self.close, QKeySequence.StandardKey.Quit),
            ],
        )
        undo, redo = history_actions(self, self.session.history)
        copy, paste = action(self, "&Copy the recipe", recipe.copy), action(self, "&Paste a recipe", self.paste_recipe)
        add_menu(bar, "Edi&t", [undo, redo, None, copy, paste])
        add_menu(
            bar,
            "Ru&n",
            [
                action(self, "&Start", self.start_run, "Ctrl+R"),
                action(self, "Add to the &queue", self.queue_run, "Ctrl+Shift+R"),
                action(self, "&Pause or resume", run.toggle_pause, "Ctrl+P"),
                action(self, "&Cancel", self.session.runner.cancel, "Ctrl+."),
                None,
                action(self, "Start or &hold the queue", run.toggle_queue),
            ],
        )
        find = action(self, "&Find a tensor\tCtrl+F", self.find_tensor)
        view: list[object] = [*step_actions(self, self.go), None, find, theme_menu(self, self._settings)]
        add_menu(bar, "Vie&w", view)  # type: ignore[arg-type]
        add_menu(bar, "H&elp", [*help_actions(self, self.session)])
        for page in (source, recipe, run, self.publish_page, self.compare_page):  # the Inspect page has its own
            QShortcut(QKeySequence.StandardKey.Find, page, self.find_tensor)

    def _on_recipe_page(self, do: Callable[[], object]) -> None:
        self.go(Step.RECIPE)
        do()

    def _look_at_result(self, folder: str) -> None:
        self.go(Step.PUBLISH)
        self.publish_page.read(folder)

    def _connect(self) -> None:
        session, known, recipe = self.session, self.inspect_page.layers.model, self.recipe_page
        self.recipe_page.rules_card.set_known_errors(known.errors)
        self.inspect_page.inspection.chosen_changed.connect(self.recipe_page.budget_card.choose)
        known.dataChanged.connect(self.recipe_page.rules_card.look_again)
        self.rail.chosen.connect(self.go)
        self.exporter.message.connect(session.message)
        self.source_page.summary_card.next_button.clicked.connect(lambda: self.go(Step.INSPECT))
        self.recipe_page.next_button.clicked.connect(lambda: self.go(Step.RUN))
        self.publish_page.recipe_wanted.connect(lambda folder: self._on_recipe_page(lambda: recipe.consider(folder)))
        jobs = self.run_page.jobs_panel
        jobs.recipe_wanted.connect(lambda folder: self._on_recipe_page(lambda: recipe.consider(folder)))
        jobs.result_wanted.connect(self._look_at_result)
        jobs.message.connect(session.message)
        session.opening_changed.connect(self._on_opening)
        for changed in (
            session.checkpoint_changed,
            session.recipe_changed,
            session.plan_changed,
            session.selection_changed,
            session.run_finished,
            session.runner.state_changed,
            session.runner.progressed,
            session.verifier.busy_changed,
            session.verifier.finished,
            session.results.changed,
        ):
            changed.connect(self._refresh)

    def _on_opening(self, path: str) -> None:
        self._opening = path
        if path:
            self.go(Step.SOURCE)
        self._refresh()

    def _refresh(self) -> None:
        for step, button in self.rail.buttons.items():
            state = state_of(step, self.session, self._opening)
            if state != button.state:
                button.set_state(state)
        checkpoint = self.session.checkpoint
        self.setWindowTitle(f"{cell_text(checkpoint.label)} \u2013 QtQuant" if checkpoint else "QtQuant")

    def _restore(self) -> None:
        self.restoreGeometry(self._settings.bytes("window/geometry"))
        self.run_page.splitter.restoreState(self._settings.bytes("window/run"))
        self.inspect_page.splitter.restoreState(self._settings.bytes("window/inspect"))
        self.compare_page.splitter.restoreState(self._settings.bytes("window/compare"))

    def _keep(self) -> None:
        self._settings.set("window/geometry", self.saveGeometry())
        self._settings.set("window/run", self.run_page.splitter.saveState())
        self._settings.set("window/inspect", self.inspect_page.splitter.saveState())
        self._settings.set("window/compare", self.compare_page.splitter.saveState())
        self._settings.sync()


def _local_path(event: QDropEvent) -> str:
    """The one local file or folder that is dropped; empty for anything else."""
    urls = event.mimeData().urls()
    return urls[0].toLocalFile() if len(urls) == 1 else ""
