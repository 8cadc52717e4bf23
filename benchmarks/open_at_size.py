"""Measures how soon a very large checkpoint is in the window, how fast its tree filters, and what that holds up.

usage: python -m benchmarks.open_at_size [--tensors 60000] [--shards 1000] [--fp8] [--repeat 3] [--json] [--folder DIR]

A sparse checkpoint is made, its headers real. The engine opens it alone; then the real window does, and goes to its Inspect page as
soon as it can: from the press of Open to the first picture of the tree with rows in it. While the plan is made behind it the filter
is typed, each key as soon as the last is answered; the time of a key is from the press to the rows that answer it. A precise timer
of 5 ms writes down its ticks from before the press of Open until the plan is there and the last key answered. Without a display the
window is drawn offscreen.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QTimer
from PySide6.QtTest import QTest

from benchmarks.event_loop import FELT_MS, Ticks, until
from benchmarks.processes import machine, workplace
from benchmarks.sparse_checkpoint import write_sparse
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.app import execute, make_app
from qtquant_app.gui.display import has_display
from qtquant_app.gui.steps import Step

if TYPE_CHECKING:
    from qtquant_app.gui.main_window import MainWindow

TYPED = "experts.12 up"
GLOBS = ("*.experts.1?.up_proj", r"re:layers\.[1-9]\.mlp\.experts\.7\.")


@dataclass(frozen=True, slots=True)
class Opened:
    """Seconds and milliseconds of one go through the window."""

    shown_s: float
    """From the press of Open to the tree on the screen."""
    planned_s: float
    """To the plan, or its refusal."""
    keys_ms: Sequence[float]
    """Each key of TYPED."""
    globs_ms: Sequence[float]
    """Each of GLOBS."""
    flat_ms: float
    """To one list of all tensors, sorted by bytes."""
    gaps_ms: Sequence[float]


class FirstPicture(QObject):
    """Knows when a tree was first painted with rows in it."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__()
        self._tree = window.inspect_page.layers.tree
        self.at: float | None = None
        self._tree.viewport().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if self.at is None and event.type() == QEvent.Type.Paint and self._tree.model().rowCount():
            QTimer.singleShot(0, self._note)  # after the painting
        return False

    def _note(self) -> None:
        self.at = self.at or perf_counter()


def in_window(window: MainWindow, source: Path) -> Opened:
    """Opens `source` and filters its tree, as a person would."""
    session, layers = window.session, window.inspect_page.layers
    session.checkpoint_changed.connect(lambda _: window.go(Step.INSPECT))
    until(lambda: bool(session.catalog.devices), "the catalogue")
    ticks, picture, planned = Ticks(), FirstPicture(window), []
    session.plan_changed.connect(lambda found: planned.append(perf_counter()) if found is not None else None)
    ticks.start()
    started = perf_counter()
    session.open(str(source))
    until(lambda: picture.at is not None and layers.model.total > 0, "the tree")
    keys = [_answer(window, lambda key=key: QTest.keyClicks(layers.filter_edit, key)) for key in TYPED]
    layers.filter_edit.clear()
    globs = [_answer(window, lambda text=text: layers.filter_edit.setText(text)) for text in GLOBS]
    layers.filter_edit.clear()
    layers.tree.sortByColumn(4, layers.tree.header().sortIndicatorOrder())
    flat = _answer(window, layers.flat_check.click)
    until(lambda: bool(planned) and not layers.model.busy, "the plan")
    assert picture.at is not None
    return Opened(picture.at - started, planned[-1] - started, keys, globs, flat, ticks.stop())


def _answer(window: MainWindow, ask: object) -> float:
    """Milliseconds from asking to the rows that answer it."""
    layers = window.inspect_page.layers
    answered: list[float] = []
    connection = layers.ready.connect(lambda: answered.append(perf_counter()))
    started = perf_counter()
    ask()  # type: ignore[operator]
    until(lambda: bool(answered), "the filter")
    layers.ready.disconnect(connection)
    return 1000 * (answered[-1] - started)


@contextmanager
def new_window(scratch: Path) -> Iterator[MainWindow]:
    """The real window, with settings of its own."""
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
        yield window
    finally:
        QTimer.singleShot(0, app.quit)
        execute(app)


def engine_seconds(source: Path, repeat: int) -> float:
    """The median of opening alone, without a window."""
    seconds = []
    for _ in range(repeat):
        started = perf_counter()
        open_checkpoint(source)
        seconds.append(perf_counter() - started)
    return median(seconds)


def figures(engine: float, found: Opened) -> dict[str, float | int]:
    """What is reported, as numbers."""
    gaps = sorted(found.gaps_ms)
    return {
        "engine_s": round(engine, 3),
        "shown_s": round(found.shown_s, 3),
        "planned_s": round(found.planned_s, 3),
        "key_median_ms": round(median(found.keys_ms), 1),
        "key_longest_ms": round(max(found.keys_ms), 1),
        "glob_longest_ms": round(max(found.globs_ms), 1),
        "flat_ms": round(found.flat_ms, 1),
        "gaps": len(gaps),
        "gap_median_ms": round(median(gaps), 1),
        "gap_p99_ms": round(gaps[min(len(gaps) - 1, round(0.99 * (len(gaps) - 1)))], 1),
        "gap_longest_ms": round(gaps[-1], 1),
        "gaps_over_50_ms": sum(gap > FELT_MS for gap in gaps),
    }


def table(found: dict[str, float | int]) -> str:
    """The figures as a markdown table of one row."""
    titles = [name.replace("_", " ") for name in found]
    cells = [str(value) for value in found.values()]
    return "\n".join(f"| {' | '.join(line)} |" for line in (titles, ["---:"] * len(titles), cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tensors", type=int, default=60_000)
    parser.add_argument("--shards", type=int, default=1_000)
    parser.add_argument("--fp8", action="store_true")
    parser.add_argument("--repeat", type=int, default=3, help="how often the engine opens it alone")
    parser.add_argument("--json", action="store_true", help="figures as JSON, every time among them")
    parser.add_argument("--folder", type=Path, help="where to work")
    options = parser.parse_args()
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with workplace(options.folder) as folder, tempfile.TemporaryDirectory(prefix="at-size-", dir=folder) as scratch:
        source = Path(scratch) / "model"
        write_sparse(source, options.tensors, options.shards, fp8=options.fp8)
        engine = engine_seconds(source, options.repeat)
        with new_window(Path(scratch)) as window:
            found = in_window(window, source)
    summary = figures(engine, found)
    print(json.dumps({**summary, "times": asdict(found)}) if options.json else f"{machine()}\n\n{table(summary)}")


if __name__ == "__main__":
    main()
