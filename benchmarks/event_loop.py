"""Measures how long the window's event loop is held up while a run quantizes and verifies behind it.

usage: python -m benchmarks.event_loop [--blocks 22] [--folder DIR]

The real window opens a random checkpoint (22 blocks make 1.1 billion parameters), goes to the Run page and presses Start, with
full verification. From before that press until the window has shown the result, a precise timer of 5 ms writes down the time
between its ticks: 5 ms where nothing is in its way, more where the window could not have answered a click. Without a display the
window is drawn offscreen. A first run on a machine also compiles the kernels.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QEventLoop, Qt, QTimer

from benchmarks.processes import machine, make_checkpoint, workplace
from qtquant_app.gui.app import execute, make_app
from qtquant_app.gui.display import has_display
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.steps import Step

if TYPE_CHECKING:
    from qtquant_app.gui.main_window import MainWindow

TICK_MS = 5
LOOK_MS = 20
FELT_MS = 50.0
PREPARED_WITHIN = 120.0


@dataclass(frozen=True, slots=True)
class Measured:
    """A run behind the window: milliseconds between the timer's ticks, what was run, and the seconds it took."""

    gaps: Sequence[float]
    parameters: int
    device: str
    verified: bool
    seconds: float


class Ticks:
    """A timer that writes down when it comes."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._timer = QTimer(interval=TICK_MS, timerType=Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self._times.append(perf_counter()))

    def start(self) -> None:
        self._times.append(perf_counter())
        self._timer.start()

    def stop(self) -> list[float]:
        """Milliseconds between one tick and the next, the last one to now."""
        self._timer.stop()
        ends = [*self._times[1:], perf_counter()]
        return [1000 * (end - start) for start, end in zip(self._times, ends, strict=True)]


def until(ready: Callable[[], bool], words: str, seconds: float | None = PREPARED_WITHIN) -> None:
    """Lets the event loop go on until `ready`. Raises TimeoutError naming `words` where that takes longer than `seconds`."""
    loop, look, started = QEventLoop(), QTimer(interval=LOOK_MS), perf_counter()

    def late() -> bool:
        return seconds is not None and perf_counter() - started > seconds

    look.timeout.connect(lambda: loop.quit() if ready() or late() else None)
    look.start()
    loop.exec()
    look.stop()
    if not ready():
        raise TimeoutError(f"waited {seconds:.0f} s for {words}")


def measure(window: MainWindow, source: Path, output: Path) -> Measured:
    """Opens `source` and runs its plan from the Run page, as a person would."""
    session, page = window.session, window.run_page
    runner = session.runner
    session.open(str(source))
    until(lambda: session.plan is not None and bool(session.catalog.devices), "the plan")
    for step in (Step.INSPECT, Step.RECIPE, Step.RUN):
        window.rail.buttons[step].click()
    page.output_field.edit.setText(str(output))
    page.verify_combo.setCurrentIndex(page.verify_combo.findData("full"))
    until(page.start_button.isEnabled, "the start button")
    ticks = Ticks()
    ticks.start()
    page.start_button.click()
    until(lambda: not runner.state.active, "the run", None)
    gaps = ticks.stop()
    checkpoint, report, plan = session.checkpoint, session.report, runner.plan
    if runner.state is not RunState.DONE or checkpoint is None or report is None or plan is None:
        raise RuntimeError(f"the run ended {runner.state}: {runner.error}")
    return Measured(gaps, checkpoint.parameters, plan.device, report.verified, report.seconds)


def in_window(source: Path, scratch: Path) -> Measured:
    """Measures in a window with settings of its own."""
    from qtquant_app.gui.main_window import MainWindow
    from qtquant_app.gui.session import Session
    from qtquant_app.gui.settings import Settings
    from qtquant_app.gui.theme import ThemeName, apply_theme

    app = make_app()
    apply_theme(app, ThemeName.LIGHT)
    window = MainWindow(Session(), Settings(scratch / "settings.ini"))
    window.resize(1440, 900)
    window.show()
    try:
        return measure(window, source, scratch / "out")
    finally:
        QTimer.singleShot(0, app.quit)
        execute(app)


def row(found: Measured) -> str:
    """The figures as a markdown table of one row."""
    gaps = sorted(found.gaps)
    ninety_nine = gaps[min(len(gaps) - 1, round(0.99 * (len(gaps) - 1)))]
    head = "| parameters | device | run s | verified | gaps | median ms | 99% ms | longest ms | over 50 ms |"
    return "\n".join([
        head,
        "|---:|---|---:|---|---:|---:|---:|---:|---:|",
        f"| {found.parameters:,} | {found.device} | {found.seconds:.1f} | {'yes' if found.verified else 'no'} "
        f"| {len(gaps)} | {median(gaps):.1f} | {ninety_nine:.1f} | {gaps[-1]:.1f} | {sum(g > FELT_MS for g in gaps)} |",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=22)
    parser.add_argument("--folder", type=Path, help="where to work; the checkpoint is kept there, the output is not")
    options = parser.parse_args()
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with workplace(options.folder) as folder:
        source = folder / f"random-{options.blocks}"
        make_checkpoint(source, options.blocks, 2)
        with tempfile.TemporaryDirectory(prefix="event-loop-", dir=folder) as scratch:
            found = in_window(source, Path(scratch))
    print(f"{machine()}\n\n{row(found)}")


if __name__ == "__main__":
    main()
