"""The main job on the built-in sample model, walked through the real window with the widgets that a person uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from PySide6.QtCore import QElapsedTimer, QSize, QTimer
from PySide6.QtWidgets import QApplication, QComboBox

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.quantities import bytes_text, decibels
from qtquant_app.core.report import ErrorSums, RunReport
from qtquant_app.gui.display import check_display, has_display
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.steps import Step

if TYPE_CHECKING:
    from qtquant_app.gui.main_window import MainWindow

FOLDER = "qtquant-demo"
LAYER = "model.layers.0.mlp.down_proj.weight"
SIZE = (1440, 900)
LIMIT_MS = 180_000
LOOK_MS = 20

Ready = Callable[[], bool]
Walk = Generator[tuple[str, Ready], None, None]
"""Yields what it waits for: in words, and as a question that is asked until the answer is yes."""


def run_demo(headless: bool, output: str | None, theme: str = "system") -> int:
    """Opens the sample, looks at a layer, quantizes to 4 bits in groups of 64, verifies, saves; 0 where all went well.

    Writes `checkpoint/` and `screenshot.png` into `output`. With a display the window stays open afterwards.
    """
    headless = headless or not _can_show()
    if headless:
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    folder = Path(output or FOLDER).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="qtquant-") as scratch:
        return _show(folder, Path(scratch), theme, stay=not headless)


def _can_show() -> bool:
    if not has_display():
        return False
    try:
        check_display()
    except QtQuantError as error:
        print(f"{error.message}; {error.hint}. Going on without a window.", file=sys.stderr)
        return False
    return True


def _show(folder: Path, scratch: Path, theme: str, *, stay: bool) -> int:
    from qtquant_app.gui.app import catch_strays, chosen_theme, execute, make_app
    from qtquant_app.gui.main_window import MainWindow
    from qtquant_app.gui.session import Session
    from qtquant_app.gui.settings import Settings
    from qtquant_app.gui.theme import apply_theme

    app = make_app()
    settings = Settings(scratch / "settings.ini")
    apply_theme(app, chosen_theme(theme, settings))
    session = Session()
    session.verbs.jobs_folder = scratch / "jobs"  # a walk is no part of the history
    catch_strays(session)
    window = MainWindow(session, settings)
    # A real screen may be smaller; the offscreen one is made up, and the picture is better large.
    window.resize(QSize(*SIZE).boundedTo(app.primaryScreen().availableSize()) if stay else QSize(*SIZE))
    window.show()
    walker = Walker(app, window, walk(window, folder), stay=stay)
    walker.start()
    status = execute(app)
    return walker.status if walker.status is not None else status or 1


class Walker:
    """Asks a walk's questions until each is answered, and ends the program where one never is."""

    def __init__(self, app: QApplication, window: MainWindow, steps: Walk, *, stay: bool) -> None:
        self.status: int | None = None
        self._app, self._window, self._steps, self._stay = app, window, steps, stay
        self._clock = QElapsedTimer()
        self._timer = QTimer(window, interval=LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._waiting_for: tuple[str, Ready] = ("the window", lambda: True)

    def start(self) -> None:
        self._clock.start()
        self._timer.start()

    def _look(self) -> None:
        try:
            error = _error_of(self._window)
            if error is not None:
                self._end(1, f"{error.message}\nhint: {error.hint}")
            elif self._clock.elapsed() > LIMIT_MS:
                self._end(1, f"waited {LIMIT_MS // 1000} s for {self._waiting_for[0]}")
            elif self._waiting_for[1]():
                self._waiting_for = next(self._steps)
        except StopIteration:
            self._end(0, "")
        except Exception as error:
            self._end(1, f"{type(error).__name__}: {error}")

    def _end(self, status: int, reason: str) -> None:
        self._timer.stop()
        self.status = status
        if reason:
            print(f"error: {reason}", file=sys.stderr)
        if status or not self._stay:
            self._app.exit(status)


def walk(window: MainWindow, folder: Path) -> Walk:
    """The main job, step by step."""
    session = window.session
    yield "the sample model", _after(window.source_page.sample_button.click, lambda: session.checkpoint is not None)
    yield from _look_at_a_layer(window)
    yield from _choose(window)
    yield from _run(window, folder / "checkpoint")
    yield from _prove(window)
    report = session.report
    assert report is not None
    window.rail.buttons[Step.INSPECT].click()
    yield "the window to settle", _moments(10)
    picture = folder / "screenshot.png"
    if not window.grab().save(str(picture)):
        raise OSError(f"{picture} cannot be written")
    print(f"checkpoint: {report.output}")
    print(f"screenshot: {picture}")
    print(figures(report))


def _look_at_a_layer(window: MainWindow) -> Walk:
    page = window.inspect_page
    window.rail.buttons[Step.INSPECT].click()
    tree, model = page.layers.tree, page.layers.model
    tree.setCurrentIndex(model.index_of(LAYER))
    yield "the layer to be selected", lambda: window.session.selection == LAYER
    editor = page.panel.editor
    _pick(editor.bits_combo, 4)
    _pick(editor.strategy_combo, "group")
    _pick(editor.group_combo, 64)
    editor.symmetric_check.setChecked(True)

    def drawn() -> bool:
        preview = page.picture.preview
        return preview is not None and preview.layer == LAYER and preview.scheme == editor.scheme

    yield "the preview of the layer", drawn
    if page.panel.model_button.isEnabled():
        page.panel.model_button.click()


def _choose(window: MainWindow) -> Walk:
    session = window.session
    window.rail.buttons[Step.RECIPE].click()

    def planned() -> bool:
        scheme = session.plan.recipe.default if session.plan else None
        return scheme is not None and (scheme.bits, scheme.group_size, scheme.symmetric) == (4, 64, True)

    yield "the plan", planned
    window.recipe_page.next_button.click()


def _run(window: MainWindow, output: Path) -> Walk:
    page, runner = window.run_page, window.session.runner
    page.output_field.edit.setText(str(output))
    yield "a look at the output folder", lambda: page.output_field.known
    page.output_field.resume_check.setChecked(False)
    page.output_field.replace_check.setChecked(True)
    yield "the start button", page.start_button.isEnabled
    page.start_button.click()
    yield "the run", lambda: runner.state is RunState.DONE


def _prove(window: MainWindow) -> Walk:
    verifier = window.session.verifier
    window.rail.buttons[Step.PUBLISH].click()
    window.publish_page.proof_card.again_button.click()
    yield "the verification", lambda: verifier.report is not None
    if verifier.report is None or not verifier.report.ok:
        raise ValueError("the files differ from what was written")


def figures(report: RunReport) -> str:
    """One line of what the run came to."""
    sums = [tensor.errors for tensor in report.tensors]
    total = ErrorSums(
        sum(s.weights for s in sums),
        sum(s.square_error for s in sums),
        sum(s.square_weight for s in sums),
        sum(s.square_dequantized for s in sums),
        max((s.max_error for s in sums), default=0.0),
    )
    return (
        f"{report.coverage.quantized} tensors quantized, {report.coverage.kept} kept, "
        f"{report.bits_per_weight:.2f} bits per weight, {decibels(total.sqnr_db)} SQNR, "
        f"{bytes_text(report.output_bytes)} in {report.seconds:.1f} s, "
        f"{'verified' if report.verified else 'not verified'}"
    )


def _after(click: Callable[[], None], ready: Ready) -> Ready:
    click()
    return ready


def _moments(count: int) -> Ready:
    left = iter(range(count))
    return lambda: next(left, None) is None


def _pick(combo: QComboBox, value: object) -> None:
    combo.setCurrentIndex(combo.findData(value))


def _error_of(window: MainWindow) -> QtQuantError | None:
    """The first error that the window shows."""
    panels = (window.source_page.error_panel, window.recipe_page.error_panel, window.run_page.error_panel)
    return next((panel.error for panel in (*panels, window.publish_page.error_panel) if panel.error), None)
