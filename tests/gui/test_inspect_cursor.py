"""The cursor of the error map, and how it goes through the plots beside it."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.quantities import figure
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place, View
from qtquant_app.gui.plots.error_view import ErrorView
from qtquant_app.gui.plots.read_out import HINT
from tests.gui.inspect_samples import LAYER, on_screen, synthetic, values_of, weights

KEYS = Qt.Key
SCHEME = Scheme(group_size=64)


@pytest.fixture
def view(qtbot: QtBot) -> ErrorView:
    found = ErrorView()
    qtbot.addWidget(found)
    found.resize(700, 500)
    found.show()
    qtbot.waitExposed(found)
    return found


def test_pointing_at_the_map_marks_the_channel_and_the_group_beside_it(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    pointed: list[Place | None] = []
    view.place_pointed.connect(pointed.append)
    qtbot.mouseMove(view.map.viewport(), on_screen(view.map, 90.5, 40.5))
    qtbot.wait(20)  # the scene takes a hundred moves a second at most
    qtbot.mouseMove(view.map.viewport(), on_screen(view.map, 70.5, 10.5))
    assert view.groups.marked == (64, 128)
    assert view.channels.marked == (10, 11)
    assert pointed[-1] == Place((10, 11), (70, 71))
    text = view.read_out.full_text()
    shown = values_of(View.ABSOLUTE, weights(), SCHEME)[10, 70]
    assert text.startswith(f"{figure(float(shown))}  ")
    assert "channel 10: " in text
    assert "column 70, group 1: " in text


def test_the_detail_stands_until_the_cursor_moves(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    known: list[float | None] = []
    view.weight_pointed.connect(known.append)
    qtbot.keyClick(view.map, KEYS.Key_Right)
    view.set_detail("w 0.5", 0.5)
    assert view.detail.text() == "w 0.5"
    assert known[-1] == 0.5
    assert view.map.accessibleDescription().endswith("w 0.5")
    qtbot.keyClick(view.map, KEYS.Key_Right)
    assert view.detail.text() == ""
    assert known[-1] is None


def test_the_view_of_weights_knows_the_weight_at_once(qtbot: QtBot, view: ErrorView) -> None:
    source = weights()
    view.choices.set_view(View.WEIGHT)
    view.draw(synthetic(LAYER, SCHEME, source, view=View.WEIGHT))
    known: list[float | None] = []
    view.weight_pointed.connect(known.append)
    qtbot.mouseMove(view.map.viewport(), on_screen(view.map, 90.5, 40.5))
    qtbot.wait(20)  # the scene takes a hundred moves a second at most
    qtbot.mouseMove(view.map.viewport(), on_screen(view.map, 70.5, 10.5))
    assert known[-1] == pytest.approx(float(source[10, 70]))


def test_pointing_beside_the_map_moves_its_cursor_and_a_click_there_pins_it(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    view.channels.hovered.emit(20.5)
    assert view.map.place == Place((20, 21), (0, 256))
    view.groups.hovered.emit(200.0)
    assert view.map.place == Place((0, 48), (192, 256))
    assert "all channels" in view.read_out.full_text()
    view.groups.hovered.emit(float("nan"))
    assert view.map.cursor_cell is None
    assert view.read_out.full_text() == HINT
    pinned: list[Place | None] = []
    view.place_changed.connect(pinned.append)
    view.channels.clicked.emit(20.5)
    assert pinned == [Place((20, 21), (0, 256))]


def test_pointing_at_a_crowd_of_channels_finds_the_worst(view: ErrorView) -> None:
    preview = synthetic(LAYER, SCHEME, weights(3000, 64), (3, 1))
    view.draw(preview)
    worst = int(np.argmax(preview.channel_relative_error))
    view.channels.hovered.emit(worst + 2.0)
    assert view.map.place == Place((worst, worst + 1), (0, 64))


def test_a_click_pins_the_cell_that_a_passing_pointer_leaves(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    with qtbot.waitSignal(view.place_changed) as changed:
        qtbot.mouseClick(view.map.viewport(), Qt.MouseButton.LeftButton, pos=on_screen(view.map, 70.5, 10.5))
    assert changed.args == [Place((10, 11), (70, 71))]
    qtbot.mouseMove(view.map.viewport(), on_screen(view.map, 10, 40.5))
    QApplication.sendEvent(view.map, QEvent(QEvent.Type.Leave))
    assert view.map.place == Place((10, 11), (70, 71))


def test_dragging_pans_and_pins_nothing(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    view.map.setRange(xRange=(50, 100), yRange=(10, 30), padding=0)
    start, end = on_screen(view.map, 70, 20), on_screen(view.map, 90, 20)
    qtbot.mousePress(view.map.viewport(), Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseMove(view.map.viewport(), end)
    qtbot.mouseRelease(view.map.viewport(), Qt.MouseButton.LeftButton, pos=end)
    assert view.map.pinned is None


def test_the_arrow_keys_read_the_map_out_and_escape_lets_go(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights(), (2, 64)))
    for key in (KEYS.Key_Down, KEYS.Key_Down, KEYS.Key_Right, KEYS.Key_Up):
        qtbot.keyClick(view.map, key)
    assert view.map.pinned == Place((0, 2), (64, 128))
    assert view.map.accessibleDescription() == view.read_out.full_text()
    with qtbot.waitSignal(view.place_changed) as changed:
        qtbot.keyClick(view.map, KEYS.Key_Escape)
    assert changed.args == [None]
    assert view.map.cursor_cell is None


def test_the_arrow_keys_take_the_sight_along(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    view.map.setRange(xRange=(50, 60), yRange=(10, 20), padding=0)
    for _ in range(12):
        qtbot.keyClick(view.map, KEYS.Key_Right)
    assert view.map.pinned == Place((10, 11), (61, 62))
    assert view.map.visible == pytest.approx((52, 62, 10, 20))


def test_a_pinned_place_stays_when_the_scheme_changes_and_goes_with_the_tensor(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    view.show_place(Place((1, 2), (64, 65)))
    before = view.read_out.full_text()
    view.draw(synthetic(LAYER, Scheme(group_size=32), weights()))
    assert view.place == Place((1, 2), (64, 65))
    assert view.read_out.full_text() != before
    view.draw(synthetic("another", Scheme(group_size=32), weights()))
    assert view.place is None


def test_a_place_is_shown_near_and_in_the_middle(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights(3000, 4000), (4, 8)))
    view.show_place(Place((1500, 1501), (1920, 1984)))
    left, right, top, bottom = view.map.visible
    assert (left + right) / 2 == pytest.approx(1952)
    assert right - left == pytest.approx(256)
    assert (top + bottom) / 2 == pytest.approx(1500.5)
    assert view.groups.marked == (1920, 1984)
    view.map.zoom(0.5)
    zoomed = view.map.visible
    view.show_place(Place((1500, 1501), (1920, 1984)))
    assert view.map.visible == zoomed
    view.show_place(None)
    assert view.place is None
