"""The frontier of a budget: what can be read off it, and how the target is moved on it."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, pairwise
from math import log10

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtCore import QPoint, QPointF, QRectF, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from qtquant_app.core.budget import Point
from qtquant_app.core.quantities import bytes_text
from qtquant_app.gui.plots.error_axis import ROOM, ErrorAxis
from qtquant_app.gui.plots.frontier_plot import FrontierPlot
from qtquant_app.gui.plots.point_names import shortened
from tests.gui.budget_samples import SCHEMES, reach

REACH = reach()


@pytest.fixture
def plot(qtbot: QtBot) -> FrontierPlot:
    found = FrontierPlot()
    qtbot.addWidget(found)
    found.resize(680, 300)
    found.show()
    qtbot.waitExposed(found)
    found.draw(REACH)
    return found


def name_places(plot: FrontierPlot) -> list[QRectF]:
    """Where the letters of the names that show are, in the scene."""
    shown = [name for name in plot.names if name.isVisible()]
    return [name.mapRectToScene(name.boundingRect()).adjusted(4, 4, -4, -4) for name in shown]


def on_screen(plot: FrontierPlot, size: float) -> QPoint:
    place: QPoint = plot.mapFromScene(plot.on_screen(Point(round(size), REACH.error_at(size))))
    return place


@pytest.mark.parametrize("size", [(680, 300), (1040, 480), (460, 220)])
def test_the_names_of_ten_schemes_cover_neither_each_other_nor_a_point_nor_the_edge(
    qtbot: QtBot, plot: FrontierPlot, size: tuple[int, int]
) -> None:
    plot.resize(*size)
    qtbot.wait(30)
    places = name_places(plot)
    assert len(places) >= (10 if size[0] > 600 else 6)
    assert not [pair for pair in combinations(places, 2) if pair[0].intersects(pair[1])]
    assert not [p for p in REACH.uniform for place in places if place.contains(plot.on_screen(p))]
    assert all(plot.view.sceneBoundingRect().contains(place) for place in places)


def test_names_are_as_short_as_still_tells_them_apart() -> None:
    assert shortened([scheme.label for scheme in SCHEMES])[0] == "W2 g64"
    assert shortened(["W4 g64 sym", "W4 g64 asym mse"]) == ["W4 g64 sym", "W4 g64 asym"]
    assert shortened(["W4 g64 sym mse", "W4 g64 sym"]) == ["W4 g64 sym mse", "W4 g64 sym"]


def test_clicking_and_dragging_move_the_target_and_stay_within_what_can_be_had(
    qtbot: QtBot, plot: FrontierPlot
) -> None:
    found: list[float] = []
    plot.aimed.connect(found.append)
    QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=on_screen(plot, 2_500_000))
    assert found[-1] == pytest.approx(2_500_000, abs=10_000)
    QTest.mousePress(plot.viewport(), Qt.MouseButton.LeftButton, pos=on_screen(plot, 2_500_000))
    far = plot.viewport().rect().bottomRight()
    QTest.mouseMove(plot.viewport(), far)
    QTest.mouseRelease(plot.viewport(), Qt.MouseButton.LeftButton, pos=far)
    assert all(REACH.bytes[0] <= size <= REACH.bytes[1] for size in found)
    QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(1, 1))
    assert found[-1] == REACH.bytes[0]


def test_arrow_keys_step_the_target_and_read_the_schemes_out(qtbot: QtBot, plot: FrontierPlot) -> None:
    steps: list[int] = []
    words: list[str] = []
    plot.stepped.connect(steps.append)
    plot.pointed.connect(words.append)
    for key in (Qt.Key.Key_Right, Qt.Key.Key_Left, Qt.Key.Key_Up, Qt.Key.Key_Up, Qt.Key.Key_Down, Qt.Key.Key_Down):
        QTest.keyClick(plot, key)
    assert steps == [1, -1]
    assert [text.split(" for all")[0] for text in words] == [SCHEMES[at].label for at in (0, 1, 0, 0)]


def test_pointing_reads_out_a_scheme_or_the_best_mix_of_that_size(qtbot: QtBot, plot: FrontierPlot) -> None:
    words: list[str] = []
    plot.pointed.connect(words.append)
    plot.scene().sigMouseMoved.emit(plot.on_screen(REACH.uniform[4]))
    assert SCHEMES[4].label in words[-1] and "2.23 MB" in words[-1]
    plot.scene().sigMouseMoved.emit(plot.on_screen(Point(3_000_000, 0.5)))
    assert "the best mix" in words[-1] and bytes_text(3_000_000) in words[-1]


def test_line_and_point_follow_the_target_at_once_and_the_mix_is_where_it_was_found(plot: FrontierPlot) -> None:
    plot.set_target(2_500_000.0)
    plot.set_mix(Point(2_499_000, 0.25))
    assert plot._aim.value() == pytest.approx(2.5)
    x, y = plot._spot.getData()
    assert (x[0], y[0]) == pytest.approx((2.5, log10(REACH.error_at(2_500_000))))
    x, y = plot._best.getData()
    assert (x[0], y[0]) == pytest.approx((2.499, log10(0.25)))
    assert "2.50 MB, predicted error 0.25" in plot.accessibleDescription()
    plot.draw(None)
    assert plot.mix is None and plot.target is None and not plot.names and plot.table() is None


def test_the_numbers_of_the_plot_are_all_its_points(plot: FrontierPlot) -> None:
    plot.set_mix(Point(2_499_000, 0.25))
    table = plot.table()
    assert table is not None
    rows = list(table[1])
    assert len(rows) == len(REACH.frontier) + len(REACH.uniform) + 1
    assert rows[-1] == ("the mix", 2_499_000, 0.25)


def test_what_loses_nothing_has_a_place_too(qtbot: QtBot, plot: FrontierPlot) -> None:
    points = (Point(1_000_000, 1.0), Point(2_000_000, 0.1), Point(3_000_000, 0.0))
    plot.draw(replace(REACH, frontier=points, uniform=(), schemes=(), largest=0))
    plot.set_target(3_000_000.0)
    plot.set_mix(points[-1])
    x, y = plot._best.getData()
    assert (x[0], y[0]) == pytest.approx((3.0, -1.0))


@given(st.floats(-9, 9), st.floats(0.05, 12), st.floats(60, 900))
def test_figures_of_the_error_axis_never_touch_and_there_are_always_some(low: float, span: float, size: float) -> None:
    axis = ErrorAxis("left")
    ticks = [place for _, places in axis.tickValues(low, low + span, size) for place in places]
    assert all(low - 1e-9 <= tick <= low + span + 1e-9 for tick in ticks)
    pixels = size / span
    assert all((b - a) * pixels >= ROOM - 1e-6 for a, b in pairwise(ticks))
    if size > 5 * ROOM:
        assert len(ticks) > 1
    assert all(text for text in axis.tickStrings(ticks, 1.0, 1.0))


def test_the_scene_of_an_empty_plot_takes_no_target(qtbot: QtBot) -> None:
    plot = FrontierPlot()
    qtbot.addWidget(plot)
    with qtbot.assertNotEmitted(plot.aimed):
        QTest.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(30, 30))
    plot.scene().sigMouseMoved.emit(QPointF(10, 10))


def test_errors_in_nats_say_so_on_the_axis_and_in_every_read_out(qtbot: QtBot, plot: FrontierPlot) -> None:
    words: list[str] = []
    plot.pointed.connect(words.append)
    axis = plot.getAxis("left")
    for calibrated in (False, True):
        plot.draw(replace(REACH, calibrated=calibrated))
        plot.set_mix(Point(2_499_000, 0.25))
        plot.scene().sigMouseMoved.emit(plot.on_screen(REACH.uniform[4]))
        plot.scene().sigMouseMoved.emit(plot.on_screen(Point(3_000_000, 0.5)))
        table = plot.table()
        assert table is not None
        for said in (axis.labelText, words[-1], plot.accessibleDescription(), table[0][-1]):
            assert ("nats a token" in said) == calibrated and ("KL divergence" in said) == calibrated
    label = axis.label.mapRectToParent(axis.label.boundingRect())
    assert label.top() >= 0 and label.bottom() <= axis.size().height()
