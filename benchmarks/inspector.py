"""Measures how soon the Inspect page answers: from the moment a knob is turned to the picture on screen.

usage: python -m benchmarks.inspector [--rows 4096] [--columns 11008] [--turns 24] [--folder DIR]

The real window shows one bfloat16 tensor; knobs are turned through the page's own editor, in turn among the schemes below. The
first answer is the picture of a sample of rows, the exact one that of every weight; each counts once the error map has been
painted. A precise timer of 5 ms writes down, all the while, how long the event loop was held up. Without a display the window is
drawn offscreen. The file is in the system's page cache.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QObject, QTimer

from benchmarks.event_loop import FELT_MS, Ticks, until
from benchmarks.processes import machine, workplace
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.app import execute, make_app
from qtquant_app.gui.display import has_display
from qtquant_app.gui.steps import Step

if TYPE_CHECKING:
    from qtquant_app.gui.main_window import MainWindow
    from qtquant_app.gui.pages.inspect import InspectPage

LAYER = "model.layers.0.mlp.down_proj.weight"
TURNS = (
    Scheme(),
    Scheme(bits=3),
    Scheme(group_size=32),
    Scheme(symmetric=False),
    Scheme(bits=8, strategy="channel", group_size=None),
    Scheme(bits=8, strategy="tensor", group_size=None),
)
SEARCHED = tuple(Scheme(bits=bits, method="mse") for bits in (4, 3))


@dataclass(frozen=True, slots=True)
class Answers:
    """Milliseconds from turning a knob: to the first picture painted, and to the exact one."""

    first: Sequence[float]
    exact: Sequence[float]


@dataclass(frozen=True, slots=True)
class Measured:
    quick: Answers
    """Round to nearest."""
    searched: Answers
    """Clip search: forty tries for each group."""
    gaps: Sequence[float]
    """Milliseconds between the timer's ticks."""


class Paintings(QObject):
    """Writes down what the error map showed each time it had been painted: when, under which scheme, from a sample or not."""

    def __init__(self, page: InspectPage) -> None:
        super().__init__()
        self._page = page
        self.log: list[tuple[float, Scheme, bool]] = []
        page.picture.errors.map.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Paint:
            QTimer.singleShot(0, self._note)  # once the painting is over
        return False

    def _note(self) -> None:
        preview = self._page.picture.preview
        if preview is not None:
            self.log.append((perf_counter(), preview.scheme, bool(preview.sampled)))

    def painted(self, start: float, scheme: Scheme) -> bool:
        """Whether an exact picture under `scheme` has been on screen since `start`."""
        return self.since(start, scheme, exact=True) is not None

    def since(self, start: float, scheme: Scheme, *, exact: bool) -> float | None:
        """Milliseconds from `start` until a picture under `scheme` was on screen; None where there has been none yet."""
        found = (at for at, of, sample in self.log if at > start and of == scheme and not (exact and sample))
        at = next(found, None)
        return None if at is None else 1000 * (at - start)


def write_tensor(folder: Path, rows: int, columns: int) -> Path:
    """A checkpoint of one bfloat16 matrix of normal weights."""
    folder.mkdir(parents=True, exist_ok=True)
    nbytes = 2 * rows * columns
    header = json.dumps({LAYER: {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [0, nbytes]}}).encode()
    random = np.random.default_rng(0)
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(rows):
            values = 0.02 * random.standard_normal(columns, np.float32)
            file.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())
    return folder


def answers(page: InspectPage, schemes: Sequence[Scheme], turns: int) -> Answers:
    """Turns the knobs `turns` times and waits for both pictures of each."""
    paintings, first, exact = Paintings(page), [], []
    for turn in range(turns):
        scheme, started = schemes[turn % len(schemes)], perf_counter()
        page.panel.editor.set_scheme(scheme)
        page.panel.scheme_changed.emit(scheme)
        until(partial(paintings.painted, started, scheme), "a picture")
        first.append(paintings.since(started, scheme, exact=False) or 0.0)
        exact.append(paintings.since(started, scheme, exact=True) or 0.0)
    return Answers(first, exact)


def measure(window: MainWindow, source: Path, turns: int) -> Measured:
    """Opens `source`, selects its tensor, and turns knobs: first each scheme once, unmeasured, then `turns` times."""
    session, page = window.session, window.inspect_page
    session.open(str(source))
    until(lambda: session.plan is not None, "the plan")
    window.rail.buttons[Step.INSPECT].click()
    session.select(LAYER)
    until(lambda: page.inspection.preview is not None, "the first picture")
    for schemes in (TURNS, SEARCHED):
        answers(page, schemes[1:] + schemes[:1], len(schemes))
    ticks = Ticks()
    ticks.start()
    quick = answers(page, TURNS[1:] + TURNS[:1], turns)
    searched = answers(page, SEARCHED, max(4, turns // 3))
    return Measured(quick, searched, ticks.stop())


def in_window(source: Path, scratch: Path, turns: int) -> Measured:
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
        return measure(window, source, turns)
    finally:
        QTimer.singleShot(0, app.quit)
        execute(app)


def row(found: Measured) -> str:
    """The figures as a markdown table."""
    lines = ["| knobs | turns | first ms, median | first ms, longest | exact ms, median | exact ms, longest |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    for name, part in (("round to nearest", found.quick), ("clip search", found.searched)):
        first, exact = part.first, part.exact
        lines.append(
            f"| {name} | {len(first)} | {median(first):.0f} | {max(first):.0f} | {median(exact):.0f} | {max(exact):.0f} |"
        )
    gaps = sorted(found.gaps)
    ninety_nine = gaps[min(len(gaps) - 1, round(0.99 * (len(gaps) - 1)))]
    held = sum(gap > FELT_MS for gap in gaps)
    lines.append(f"\nevent loop: 99% {ninety_nine:.1f} ms, longest {gaps[-1]:.1f} ms, {held} over 50 ms of {len(gaps)}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--columns", type=int, default=11008)
    parser.add_argument("--turns", type=int, default=24)
    parser.add_argument("--folder", type=Path, help="where to work; the checkpoint is kept there")
    options = parser.parse_args()
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with workplace(options.folder) as folder:
        source = folder / f"matrix-{options.rows}x{options.columns}"
        if not source.is_dir():
            write_tensor(source, options.rows, options.columns)
        found = in_window(source, folder, options.turns)
    print(row(found))
    print(json.dumps({"machine": machine(), **asdict(found)}))


if __name__ == "__main__":
    main()
