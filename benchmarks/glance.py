"""Measures what the map of the whole model holds up: a scan of thousands of tensors, its return from the cache, and a person in it.

usage: python -m benchmarks.glance [MODEL ...] [--tensors 5000] [--recalled 60000] [--rounds 1] [--json] [--folder DIR]

The real window opens a checkpoint of many small random tensors, shows the map of the whole model and scans it under the six usual
schemes, its cache empty; the checkpoint is then closed and opened again, and the scan comes out of the cache; then every measure
and scheme is shown, the table sorted by every column, and fifty tensors are chosen. Each MODEL goes through the same. Last comes a
sparse checkpoint of --recalled tensors whose cache has been written beforehand, so that only recalling and looking are measured.
`cached scan s` is the engine alone. A precise timer of 5 ms writes down its ticks through each part. Without a display the window
is drawn offscreen.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.event_loop import FELT_MS, Ticks, until
from benchmarks.open_at_size import new_window
from benchmarks.processes import machine, workplace
from benchmarks.sparse_checkpoint import tensors, write_sparse
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scan import DEFAULT_SCHEMES, TensorStats
from qtquant_app.engine.file_marks import FileMarks
from qtquant_app.engine.safetensors_header import build_header
from qtquant_app.engine.scan import cached_scan
from qtquant_app.engine.scan_cache import Known, ScanCache, content_key, default_file, scheme_key
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.display import has_display
from qtquant_app.gui.steps import Step

if TYPE_CHECKING:
    from qtquant_app.gui.main_window import MainWindow
    from qtquant_app.gui.widgets.glance_panel import GlancePanel

SMALL = (64, 128)
SETTLE_SECONDS = 2.5
"""A file younger than this is not trusted by the cache."""
CHOSEN = 50


@dataclass(frozen=True, slots=True)
class Part:
    """Milliseconds between the timer's ticks through one part, and the seconds it took."""

    model: str
    what: str
    seconds: float
    gaps: Sequence[float]

    @property
    def cells(self) -> tuple[str, ...]:
        gaps = sorted(self.gaps)
        ninety_nine = gaps[min(len(gaps) - 1, round(0.99 * (len(gaps) - 1)))]
        held = sum(gap > FELT_MS for gap in gaps)
        numbers = f"{self.seconds:.2f}", str(len(gaps)), f"{ninety_nine:.1f}", f"{gaps[-1]:.1f}", str(held)
        return self.model, self.what, *numbers


def write_small(folder: Path, total: int) -> Path:
    """A mixture of experts by its names, all matrices of it small and random, in bfloat16."""
    folder.mkdir(parents=True, exist_ok=True)
    random, listed = np.random.default_rng(0), []
    for name, _, shape in tensors(total, fp8=False):
        listed.append((name, "BF16", SMALL if len(shape) == 2 else SMALL[1:]))
    header = build_header(((name, dtype, shape, 2 * int(np.prod(shape))) for name, dtype, shape in listed), {})
    with (folder / "model.safetensors").open("wb") as file:
        file.write(header)
        for _, _, shape in listed:
            values = 0.02 * random.standard_normal(shape, np.float32)
            file.write((values.view(np.uint32) >> 16).astype("<u2").tobytes())
    return folder


def plant(source: Path) -> None:
    """Writes into the user's cache what a scan of `source` would have left there, were its weights normal."""
    checkpoint, random = open_checkpoint(source), np.random.default_rng(0)
    marks = FileMarks(checkpoint.root)
    with ScanCache(default_file()) as store:
        for number, tensor in enumerate(checkpoint.tensors):
            identity, content = marks.key(tensor, "cpu"), number.to_bytes(32, "little")
            weights, spread = tensor.parameters, float(random.uniform(0.01, 0.03))
            stats = TensorStats(weights, 0, -5 * spread, 5 * spread, 0.0, spread, 0.1, number % 97, 0, 0, 0, 0)
            signal = weights * spread**2
            shares = {scheme: float(4.0**-scheme.bits * random.uniform(1, 3)) for scheme in DEFAULT_SCHEMES}
            sums = {
                scheme_key(scheme): ErrorSums(weights, share * signal, signal, signal, spread)
                for scheme, share in shares.items()
            }
            assert identity is not None
            store.remember(identity, content)
            store.learn(content_key(content, tensor.dtype, tensor.shape, "cpu"), Known(stats, sums))


def parts(window: MainWindow, name: str, source: Path, *, fresh: bool) -> Iterator[Part]:
    """Opens `source`, scans it where `fresh`, has it back from the cache, and looks around."""
    glance = window.inspect_page.glance
    _open(window, source)
    if fresh:
        _rest(1.0)
        yield _timed(name, "scan", lambda: _scan(glance))
        window.session.close()
        until(lambda: glance.digest is None, "the closing")
        _rest(1.0)
    else:
        window.session.close()
    yield _timed(name, "recall", lambda: _recall(window, source))
    yield _timed(name, "look", lambda: _look(window))


def _open(window: MainWindow, source: Path) -> None:
    page, session = window.inspect_page, window.session
    session.open(str(source))
    until(lambda: session.checkpoint is not None and session.checkpoint.root == source, "the checkpoint")
    window.go(Step.INSPECT)
    page.middle.setCurrentWidget(page.glance)
    until(
        lambda: (session.plan or session.refusal) is not None and not page.layers.model.busy, "the plan, or its refusal"
    )


def _scan(glance: GlancePanel) -> None:
    glance.start_button.click()
    until(lambda: not glance.scanner.running and glance.digest is not None, "the scan", None)
    _rest(0.3)


def _recall(window: MainWindow, source: Path) -> None:
    _open(window, source)
    until(lambda: window.inspect_page.glance.digest is not None, "the scan out of the cache")
    _rest(0.3)


def _look(window: MainWindow) -> None:
    glance, session = window.inspect_page.glance, window.session
    side, depth, table = glance.map, glance.by_depth, glance.table
    for combo in (side.measure_combo, side.scheme_combo, depth.measure_combo):
        for at in range(combo.count()):
            combo.setCurrentIndex(at)
            _rest(0.05)
    for column in range(len(table.rows.columns)):
        table.sortByColumn(column, table.horizontalHeader().sortIndicatorOrder())
        _rest(0.05)
    assert session.checkpoint is not None
    listed = session.checkpoint.tensors
    for at in range(CHOSEN):
        session.select(listed[at * len(listed) // CHOSEN].name)
        _rest(0.02)


def _rest(seconds: float) -> None:
    """Lets the window paint."""
    end = perf_counter() + seconds
    until(lambda: perf_counter() >= end, "nothing")


def _timed(model: str, what: str, act: Callable[[], None]) -> Part:
    ticks, started = Ticks(), perf_counter()
    ticks.start()
    act()
    return Part(model, what, perf_counter() - started, ticks.stop())


def engine_seconds(source: Path) -> tuple[float, float]:
    """Wall and CPU seconds of `cached_scan` alone, of a checkpoint that is open."""
    checkpoint = open_checkpoint(source)
    wall, cpu = perf_counter(), process_time()
    if cached_scan(checkpoint, DEFAULT_SCHEMES, device="cpu") is None:
        raise ValueError(f"{source} is not wholly in the cache")
    return perf_counter() - wall, process_time() - cpu


def measure(scratch: Path, options: argparse.Namespace) -> tuple[list[Part], list[tuple[str, float, float]]]:
    """All parts of all models, and how long the engine takes to recall each."""
    small = write_small(scratch / "small", options.tensors)
    models = [(f"{options.tensors:,} tensors", small, True)]
    models += [(Path(given).name, Path(given).resolve(), True) for given in options.models]
    if options.recalled:
        write_sparse(scratch / "sparse", options.recalled, max(1, options.recalled // 60))
        models.append((f"{options.recalled:,} tensors", scratch / "sparse", False))
    sleep(SETTLE_SECONDS)
    found: list[Part] = []
    alone: list[tuple[str, float, float]] = []
    for name, source, fresh in models:
        if not fresh:
            plant(source)
        with new_window(scratch) as window:
            until(lambda: bool(window.session.catalog.devices), "the catalogue")
            for _ in range(options.rounds):
                found += parts(window, name, source, fresh=fresh)
                if fresh:
                    alone.append((name, *engine_seconds(source)))
                    default_file().unlink()
                    window.session.close()
        if not fresh:
            alone += [(name, *engine_seconds(source)) for _ in range(3)]
    return found, alone


def report(found: Sequence[Part], alone: Sequence[tuple[str, float, float]]) -> str:
    """The figures as two markdown tables."""
    lines = ["| model | part | s | gaps | 99% ms | longest ms | over 50 ms |", "|---|---|---:|---:|---:|---:|---:|"]
    lines += [f"| {' | '.join(part.cells)} |" for part in found]
    lines += ["", "| model | cached scan s | its CPU s |", "|---|---:|---:|"]
    return "\n".join([*lines, *(f"| {name} | {wall:.2f} | {cpu:.2f} |" for name, wall, cpu in alone)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--tensors", type=int, default=5_000)
    parser.add_argument("--recalled", type=int, default=60_000, help="0 for none")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="figures as JSON, every gap among them")
    parser.add_argument("--folder", type=Path, help="where to work")
    options = parser.parse_args()
    if not has_display():
        os.environ["QT_QPA_PLATFORM"] = "offscreen"
    with workplace(options.folder) as folder, tempfile.TemporaryDirectory(prefix="glance-", dir=folder) as scratch:
        os.environ["QTQUANT_CACHE"] = str(Path(scratch) / "cache")
        found, alone = measure(Path(scratch), options)
    if options.json:
        print(json.dumps({"machine": machine(), "parts": [asdict(part) for part in found], "alone": alone}))
    else:
        print(f"{machine()}\n\n{report(found, alone)}")


if __name__ == "__main__":
    main()
