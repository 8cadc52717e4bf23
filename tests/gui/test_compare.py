"""The compare panel over the real engine: any number of schemes, and two of them cell for cell."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QPalette
from PySide6.QtWidgets import QAbstractButton, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.events import ChunkDone, Event, RunStarted
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.engine.compare import compare
from qtquant_app.engine.preview import preview
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.comparer import STOPPED
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.models.compare_table import COMMON
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.plots.curves import EDGES, ErrorHistogramPlot, line_pen
from qtquant_app.gui.session import Session
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.compare_panel import NO_SCHEMES, NO_TENSOR, ComparePanel
from qtquant_app.jobs.job import Work, stop_all
from qtquant_app.quant.kernels.inspect import error_edges
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import result

LAYER, OTHER = "model.layers.1.mlp.down_proj.weight", "model.layers.0.self_attn.q_proj.weight"
W4, W3, W8 = Scheme(group_size=32), Scheme(bits=3, group_size=32), Scheme(bits=8, group_size=64)
COMPILE_MS = 60_000
"""The first pass on a machine compiles the kernels."""
HISTOGRAM, CHANNELS, SIDE, DIFFERENCE = range(4)


class CountedVerbs(Verbs):
    """The engine, and what it was asked to compare."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], tuple[Scheme, ...]]] = []
        self.held = False
        """Whether the work goes nowhere."""

    def compare(self, checkpoint: Any, layers: tuple[str, ...], schemes: tuple[Scheme, ...], format: str) -> Work:
        self.asked.append((layers, schemes))
        measure = super().compare(checkpoint, layers, schemes, format)

        def work() -> Generator[Event, None, Any]:
            yield RunStarted(1, 100)
            yield ChunkDone(layers[0], 25)
            while self.held:
                time.sleep(0.005)
                yield ChunkDone(layers[0], 0)
            return (yield from measure())

        return work


@pytest.fixture
def verbs() -> CountedVerbs:
    return CountedVerbs()


@pytest.fixture
def session(qtbot: QtBot, tmp_path: Path, verbs: CountedVerbs) -> Iterator[Session]:
    found = Session(verbs)
    with qtbot.waitSignal(found.checkpoint_changed, timeout=COMPILE_MS):
        found.open(str(small_llama(tmp_path / "llama")))
    yield found
    stop_all()


@pytest.fixture
def inspection() -> Inspection:
    return Inspection(W4)


@pytest.fixture
def panel(qtbot: QtBot, session: Session, inspection: Inspection) -> ComparePanel:
    found = ComparePanel(session, inspection)
    qtbot.addWidget(found)
    found.resize(800, 640)
    found.show()
    qtbot.waitExposed(found)
    return found


def measured(qtbot: QtBot, panel: ComparePanel, *schemes: Scheme, layers: tuple[str, ...] = (LAYER,)) -> None:
    panel._inspection.set_chosen(layers)
    panel._inspection.set_part(layers[0])
    panel.add(*schemes)
    qtbot.waitUntil(lambda: panel.complete, timeout=COMPILE_MS)


def choose(panel: ComparePanel, scheme: Scheme) -> None:
    at = next(at for at in range(panel.model.rowCount()) if panel.model.row(at).scheme == scheme)
    panel.table.selectRow(at)
    panel.table.setFocus()


def paired(qtbot: QtBot, panel: ComparePanel, tab: int = SIDE) -> Any:
    panel.tabs.setCurrentIndex(tab)
    qtbot.waitUntil(
        lambda: panel.pair.pair is not None and panel.pair.pair.schemes == tuple(panel.pins[pin] for pin in "AB"),
        timeout=COMPILE_MS,
    )
    return panel.pair.pair


def test_an_empty_panel_says_what_to_do(panel: ComparePanel, inspection: Inspection) -> None:
    assert panel.table._empty.text() == NO_TENSOR
    inspection.set_part(LAYER)
    assert panel.table._empty.text() == NO_SCHEMES


def test_the_table_and_the_curves_are_what_the_engine_says(
    qtbot: QtBot, panel: ComparePanel, session: Session, verbs: CountedVerbs
) -> None:
    measured(qtbot, panel, W4, W3, W8)
    assert session.checkpoint is not None
    expected = result(compare(session.checkpoint, (LAYER,), (W4, W3, W8), format="compressed-tensors"))
    for at, row in enumerate(expected.rows):
        found = panel.rows()[at].found
        assert found is not None
        assert (found.errors, found.bytes, found.tensors) == (row.errors, row.bytes, row.tensors)
        assert panel.model.index(at, 4).data() == f"{row.errors.sqnr_db:.2f} dB"
        assert np.array_equal(panel.channels.curves[at].y, 100 * row.channels.astype(np.float64))
    assert [curve.name for curve in panel.histogram.curves] == [scheme.label for scheme in (W4, W3, W8)]
    assert verbs.asked == [((LAYER,), (W4, W3, W8))]


def test_many_tensors_are_taken_as_one(qtbot: QtBot, panel: ComparePanel, inspection: Inspection) -> None:
    measured(qtbot, panel, W4, layers=(OTHER, LAYER))
    found = panel.rows()[0].found
    assert found is not None and found.errors.weights == 64 * 64 + 64 * 128 and len(found.tensors) == 2
    assert panel.subject.full_text() == "2 tensors"
    inspection.set_chosen((LAYER,))
    inspection.set_part(LAYER)
    qtbot.waitUntil(lambda: panel.complete, timeout=COMPILE_MS)
    now = panel.rows()[0].found
    assert now is not None and now.errors.weights == 64 * 128


def test_a_scheme_is_measured_once(qtbot: QtBot, panel: ComparePanel, verbs: CountedVerbs) -> None:
    measured(qtbot, panel, W4)
    qtbot.mouseClick(panel.common_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.complete, timeout=COMPILE_MS)
    assert verbs.asked[-1] == ((LAYER,), tuple(scheme for scheme in COMMON if scheme != W4))
    asked = len(verbs.asked)
    choose(panel, COMMON[0])
    qtbot.keyClick(panel.table, Qt.Key.Key_Delete)
    panel.add(COMMON[0])
    panel.hide()
    panel.show()
    qtbot.wait(250)
    assert len(verbs.asked) == asked and panel.schemes[-1] == COMMON[0]
    assert not panel.common_button.isEnabled()


def test_the_knobs_scheme_is_added_by_its_button(qtbot: QtBot, panel: ComparePanel, inspection: Inspection) -> None:
    inspection.set_part(LAYER)
    inspection.set_scheme(W3)
    qtbot.mouseClick(panel.knobs_button, Qt.MouseButton.LeftButton)
    assert panel.schemes == (W3,) and not panel.knobs_button.isEnabled()
    inspection.set_scheme(W8)
    assert panel.knobs_button.isEnabled()


def test_figures_sort_and_what_is_not_measured_stays_behind(qtbot: QtBot, panel: ComparePanel) -> None:
    measured(qtbot, panel, W4, W3, W8)
    panel.table.sortByColumn(4, Qt.SortOrder.DescendingOrder)
    assert [panel.model.row(at).scheme for at in range(3)] == [W8, W4, W3]
    choose(panel, W4)
    panel.add(Scheme(bits=2, group_size=32))
    assert [panel.model.row(at).scheme for at in range(4)][:3] == [W8, W4, W3]
    assert [row.scheme for row in panel._chosen()] == [W4], "the chosen row stays chosen"


def test_keys_pin_two_schemes(qtbot: QtBot, panel: ComparePanel) -> None:
    measured(qtbot, panel, W4, W3, W8)
    assert panel.pins == {"A": W4, "B": W3}
    choose(panel, W8)
    qtbot.keyClick(panel.table, Qt.Key.Key_A)
    choose(panel, W4)
    qtbot.mouseClick(panel.pin_buttons["B"], Qt.MouseButton.LeftButton)
    assert panel.pins == {"A": W8, "B": W4}
    assert [row.pins for row in panel.rows()] == ["B", "", "A"]


def test_side_by_side_has_one_scale_one_zoom_and_one_cursor(
    qtbot: QtBot, panel: ComparePanel, session: Session, inspection: Inspection
) -> None:
    measured(qtbot, panel, W3, W8)
    pair = paired(qtbot, panel)
    left, right = panel.pair.side.maps
    assert session.checkpoint is not None
    three = result(preview(session.checkpoint, LAYER, W3))
    assert left.grid is not None and np.array_equal(left.grid.values, three.picture.extreme)
    assert left.tones.levels == right.tones.levels == (0.0, pair.largest) == (0.0, three.errors.max_error)
    left.zoom(0.5)
    assert right.visible == pytest.approx(left.visible)
    right.show_all()
    assert left.visible == pytest.approx((0, 128, 0, 64))
    place = left.mapFromScene(left.view.mapViewToScene(QPointF(40.5, 10.5)))
    qtbot.mouseMove(left.viewport(), place)
    assert right.cursor_cell is not None and right.cursor_cell.rows == (10, 11)
    read = panel.pair.side.read_out.text()
    assert "channel 10, column 40" in read and "W8 g64 sym is better" in read
    qtbot.mouseClick(left.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert inspection.place == Place((10, 11), (40, 41)) == right.pinned
    inspection.set_place(Place((3, 4), (0, 32)))
    assert left.pinned == right.pinned == Place((3, 4), (0, 32))


def test_the_difference_is_above_zero_where_b_is_better(qtbot: QtBot, panel: ComparePanel) -> None:
    measured(qtbot, panel, W3, W8)
    pair = paired(qtbot, panel, DIFFERENCE)
    map_ = panel.pair.difference.maps[0]
    assert map_.grid is not None and map_.tones.signed
    assert np.array_equal(map_.grid.values, pair.pictures[0].extreme - pair.pictures[1].extreme)
    assert map_.grid.values.mean() > 0
    low, high = map_.tones.levels
    assert low == -high, "zero lies in the middle of the colours"
    choose(panel, W8)
    panel.pin("A")
    choose(panel, W3)
    panel.pin("B")
    back = paired(qtbot, panel, DIFFERENCE)
    assert map_.grid is not None and np.array_equal(back.difference, -pair.difference)
    assert map_.grid.values.mean() < 0
    assert panel.pair.difference.titles[0].full_text() == "A: W8 g64 sym \u2212 B: W3 g32 sym"


def test_a_zoom_fetches_single_weights(qtbot: QtBot, tmp_path: Path) -> None:
    tensors = {"a.q_proj.weight": torch.randn(16, 4096, generator=torch.Generator().manual_seed(0))}
    session, inspection = Session(), Inspection(W4)
    session._take(open_checkpoint(write_checkpoint(tmp_path / "wide", tensors, {})))
    panel = ComparePanel(session, inspection)
    qtbot.addWidget(panel)
    panel.resize(800, 640)
    panel.show()
    measured(qtbot, panel, W3, W8, layers=("a.q_proj.weight",))
    pair = paired(qtbot, panel, DIFFERENCE)
    assert pair.pictures[0].columns_per_cell == 4
    map_ = panel.pair.difference.maps[0]
    map_.setRange(xRange=(1000, 1200), yRange=(0, 16), padding=0)
    qtbot.waitUntil(lambda: map_.part is not None, timeout=COMPILE_MS)
    part = panel.pair.difference.part
    assert part is not None and map_.part is not None and map_.part.single
    errors = [result(preview(session.checkpoint, "a.q_proj", s)) for s in (W3, W8)]  # type: ignore[arg-type]
    coarse = [shown.picture.extreme[:, 250:300] for shown in errors]
    fine = [picture.extreme.reshape(16, -1, 4).max(axis=2) for picture in part.pictures]
    assert np.array_equal(coarse[0], fine[0][:, :50]) and np.array_equal(coarse[1], fine[1][:, :50])
    map_.show_all()
    qtbot.waitUntil(lambda: map_.part is None, timeout=COMPILE_MS)
    stop_all()


def test_no_map_is_made_while_none_shows(qtbot: QtBot, panel: ComparePanel) -> None:
    measured(qtbot, panel, W3, W8)
    qtbot.wait(100)
    assert panel.pair.pair is None and not panel.pair.wholes.busy
    panel.tabs.setCurrentIndex(SIDE)
    assert panel.pair.wholes.busy
    paired(qtbot, panel)


def test_measuring_can_be_stopped_and_gone_on_with(
    qtbot: QtBot, panel: ComparePanel, inspection: Inspection, verbs: CountedVerbs
) -> None:
    inspection.set_part(LAYER)
    verbs.held = True
    panel.add(*COMMON)
    qtbot.waitUntil(lambda: panel.status.full_text() == "Measuring 6 schemes over 1 tensor: 25 %", timeout=COMPILE_MS)
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    verbs.held = False
    qtbot.waitUntil(lambda: not panel.comparer.latest.busy, timeout=COMPILE_MS)
    assert not panel.complete and panel.status.full_text() == STOPPED
    assert panel.stop_button.text() == "Mea&sure"
    qtbot.mouseClick(panel.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.complete, timeout=COMPILE_MS)
    assert len(verbs.asked) == 2 and panel.status.full_text() == "" and not panel.stop_button.isVisible()


def test_what_cannot_be_measured_is_named(qtbot: QtBot, tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors[OTHER][3, 4] = torch.nan
    session, inspection = Session(), Inspection(W4)
    session._take(open_checkpoint(write_checkpoint(tmp_path / "nan", tensors)))
    panel = ComparePanel(session, inspection)
    qtbot.addWidget(panel)
    panel.show()
    measured(qtbot, panel, W4, layers=(LAYER, OTHER))
    assert "Left out: " in panel.status.full_text() and "nan at row 3" in panel.status.full_text()
    inspection.set_chosen((OTHER,))
    inspection.set_part(OTHER)
    qtbot.waitUntil(lambda: panel.status.full_text().startswith(OTHER), timeout=COMPILE_MS)
    assert not panel.complete
    stop_all()


def test_a_scheme_that_no_format_holds_leaves_the_others_their_figures(qtbot: QtBot, panel: ComparePanel) -> None:
    odd = Scheme(bits=3, group_size=48)
    panel._inspection.set_part(LAYER)
    panel.add(W4, odd, W8)
    qtbot.waitUntil(lambda: [row.found is not None for row in panel.rows()] == [True, False, True], timeout=COMPILE_MS)
    assert "group size 48 does not divide" in panel.rows()[1].why
    qtbot.waitUntil(lambda: panel.status.full_text() == f"{odd.label}: {panel.rows()[1].why}")
    qtbot.waitUntil(lambda: not panel.stop_button.isVisible() and not panel.comparer.busy)
    panel.table.selectRow(1)
    panel.remove()
    assert panel.complete and panel.status.full_text() == ""


def test_a_long_reason_widens_nothing(qtbot: QtBot, panel: ComparePanel) -> None:
    before = panel.minimumSizeHint().width()
    panel.status.setText("why " * 200)
    assert panel.minimumSizeHint().width() == before


def test_another_format_counts_other_bytes(qtbot: QtBot, panel: ComparePanel, session: Session) -> None:
    measured(qtbot, panel, W4, W3)
    before = [row.found.bytes for row in panel.rows() if row.found]
    session.set_recipe(replace(session.recipe, format="qtquant"))
    qtbot.waitUntil(lambda: panel.complete, timeout=COMPILE_MS)
    after = [row.found for row in panel.rows() if row.found]
    assert after[0].bytes != before[0]
    assert after[1].refusals and panel.model.index(1, 2).data().endswith(" *"), "qtquant packs no 3 bits"


def test_lines_differ_without_their_colours(panel: ComparePanel) -> None:
    theme = Theme.of(QPalette())
    looks = {(line_pen(theme, at).style(), line_pen(theme, at).widthF()) for at in range(10)}
    assert len(looks) == 10


def test_the_bins_of_the_plot_are_the_kernels(qtbot: QtBot) -> None:
    assert np.array_equal(EDGES[1:], error_edges()[1:])
    plot = ErrorHistogramPlot()
    qtbot.addWidget(plot)
    counts = np.zeros(1024, np.int64)
    counts[0] = 7
    plot.draw({"exact": counts})
    counts[500] = 3
    plot.draw({"exact": counts})
    header, rows = plot.table()
    assert list(header) == ["scheme", "|error| from", "to", "weights"]
    assert [row[3] for row in rows] == [7, 3]
    plot.draw({})


def test_everything_that_can_be_used_is_named(panel: ComparePanel) -> None:
    for button in panel.findChildren(QAbstractButton):
        if button.objectName().startswith("qt_") or button.parentWidget() is panel.tabs.tabBar():
            continue
        assert button.accessibleName() or not button.focusPolicy(), button
    for plot in (panel.histogram, panel.channels, *panel.pair.side.maps, *panel.pair.difference.maps):
        assert isinstance(plot, QWidget) and plot.objectName() and plot.accessibleName()


def test_figures_of_a_checkpoint_that_was_left_never_come(
    qtbot: QtBot, session: Session, verbs: CountedVerbs, panel: ComparePanel
) -> None:
    comparer, key = panel.comparer, ((LAYER,), W4, "compressed-tensors")
    verbs.held = True
    comparer.want(session.checkpoint, (key,))
    qtbot.waitUntil(lambda: len(verbs.asked) == 1, timeout=COMPILE_MS)
    comparer.forget()
    verbs.held = False
    qtbot.waitUntil(lambda: not comparer.latest.busy, timeout=COMPILE_MS)
    assert comparer.figures(key) is None and not comparer.busy
    comparer.want(session.checkpoint, (key,))
    qtbot.waitUntil(lambda: comparer.figures(key) is not None, timeout=COMPILE_MS)
    assert len(verbs.asked) == 2
