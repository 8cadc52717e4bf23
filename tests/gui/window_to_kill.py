"""A real window, offscreen, that starts a run and two more jobs and says how far it is, until it is killed."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from PySide6.QtCore import QTimer

from qtquant_app.core.events import Event, TensorDone
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine import commit
from qtquant_app.gui.app import execute, make_app
from qtquant_app.gui.main_window import MainWindow
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.steps import Step
from qtquant_app.gui.verbs import Verbs
from qtquant_app.jobs.job import Work

RECIPE = Recipe(Scheme(bits=4, group_size=32))
SLOW_SECONDS = 0.05


class SlowVerbs(Verbs):
    """The engine, with a rest after each tensor: there is time to kill it in the middle."""

    def run(self, plan: Plan, options: RunOptions) -> Work:
        work = super().run(plan, options)

        def slowed() -> Generator[Event, None, Any]:
            events = work()
            try:
                while True:
                    event = next(events)
                    yield event
                    if isinstance(event, TensorDone):
                        time.sleep(SLOW_SECONDS)
            except StopIteration as end:
                return end.value
            finally:
                events.close()

        return slowed


def main(model: str, outputs: list[str]) -> int:
    commit.SECONDS_BETWEEN_COMMITS = 0.0
    app = make_app()
    session = Session(SlowVerbs())
    window = MainWindow(session, Settings(Path(outputs[0]).with_name("settings.ini")))
    window.show()
    session.set_recipe(RECIPE)
    window.go(Step.RUN)
    session.open(model)
    page, left, told = window.run_page, list(outputs), [0]

    def look() -> None:
        if left and session.plan is not None:
            page.output_field.set_path(left[0])
            first = len(left) == len(outputs)
            button = page.start_button if first else page.queue_button
            if page.output_field.ready and button.isEnabled():
                button.click()
                left.pop(0)
        elif not left and len(session.queue.waiting) == len(outputs) - 1 and page.job_model.finished > told[0]:
            told[0] = page.job_model.finished
            sys.stdout.write(f"{told[0]}\n")
            sys.stdout.flush()

    timer = QTimer(window, interval=10)
    timer.timeout.connect(look)
    timer.start()
    return execute(app)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
