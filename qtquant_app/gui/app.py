"""Starts the window."""

from __future__ import annotations

import gc
import signal
import sys
from types import FrameType

from PySide6.QtWidgets import QApplication

from qtquant_app import __version__
from qtquant_app.core.trail import LOGGER
from qtquant_app.gui.crash import Catcher, follow, tell_of_last_session
from qtquant_app.gui.display import check_display
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.theme import ThemeName, apply_theme, wanted_theme
from qtquant_app.gui.widgets.icons import window_icon
from qtquant_app.jobs.job import stop_all

SWITCH_SECONDS = 0.0002
"""How long a worker may keep the interpreter while the window waits for it; Python's usual is 5 ms. Painting a tree asks Python
for some hundred cells, and waits that long each time. On two cores (`benchmarks/open_at_size.py`, 60,000 tensors) at 1 ms the
99th percentile between ticks is 53 to 68 ms with 6 holds over 50 ms, at 0.2 ms 26 to 34 ms with 1 to 3, and at 0.05 ms no better;
a run behind the window (`benchmarks/event_loop.py`) takes as long at each."""


COLLECT_AFTER = (20_000, 1_000, 1_000)
"""Python's usual (700, 10, 10) walks through every object of a large plan again and again while it is made, 0.2 s each
time for 20,000 tensors, and holds the window as long, in whichever thread it happens."""


def run_gui(model: str | None, recipe: str | None, theme: str = "system") -> int:
    """Opens the window, on `model` and with the recipe file `recipe` where they are given, until it is closed.

    Raises DeviceError where no window can be shown.
    """
    check_display()
    app = make_app()
    settings = Settings()
    apply_theme(app, chosen_theme(theme, settings))
    session = Session()
    catch_strays(session)
    window = MainWindow(session, settings)
    window.show()
    tell_of_last_session(session, window)
    if recipe is not None:
        window.recipe_page.read(recipe)
    if model is not None:
        session.open(model)
    return execute(app)


def make_app() -> QApplication:
    """The application object, with the names that the desktop shows."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECT_AFTER)
    existing = QApplication.instance()
    app = existing if isinstance(existing, QApplication) else QApplication(sys.argv[:1])
    app.setApplicationName("QtQuant")
    app.setApplicationVersion(__version__)
    app.setDesktopFileName("qtquant")
    app.setWindowIcon(window_icon())
    return app


def chosen_theme(theme: str, settings: Settings) -> ThemeName:
    """The theme of the command line or the environment, else the one chosen last in the menu."""
    wanted = wanted_theme(theme)
    return wanted if wanted is not ThemeName.SYSTEM else wanted_theme(settings.text("theme", "system"))


def execute(app: QApplication) -> int:
    """Runs the event loop; Ctrl-C in the terminal ends it, and no worker outlives it.

    SIGTERM (a system that shuts down) and SIGHUP (a terminal that closes) end it too, without a question: what a run has
    finished is kept.
    """
    here = {getattr(signal, name): _leave for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}
    wanted = {
        number: react for number, react in here.items() if signal.getsignal(number) is not signal.SIG_IGN
    }  # nohup
    before = {number: signal.signal(number, react) for number, react in wanted.items()}
    try:
        return app.exec()
    finally:
        for number, react in before.items():
            signal.signal(number, react)
        stop_all()


def _leave(number: int, _: FrameType | None) -> None:
    LOGGER.info("ended by signal %d", number)
    # Not quit(): that asks every window first, and one with a run under way would ask somebody.
    QApplication.exit(128 + number)


def catch_strays(session: Session) -> Catcher:
    """An exception that nothing else caught becomes a report, and goes to stderr as ever."""
    catcher = Catcher(session)
    catcher.install()
    follow(session)
    return catcher
