"""The error map: its views, its zoom down to one weight a pixel, sorting, and the cursor through all plots."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QImage, QPalette
from PySide6.QtWidgets import QApplication, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place, View, Window
from qtquant_app.gui.plots.error_map import ErrorMap
from qtquant_app.gui.plots.error_view import ErrorView
from qtquant_app.gui.plots.index_axis import IndexAxis
from qtquant_app.gui.plots.map_grid import Cell, Grid, Orders, pooled
from qtquant_app.gui.plots.tones import Scaling
from qtquant_app.gui.theme import ThemeName, apply_theme
from tests.gui.inspect_samples import LAYER, on_screen, pictured, synthetic, values_of, weights

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


def answered(view: ErrorView, source: np.ndarray, scheme: Scheme = SCHEME) -> list[Window]:
    """Answers each window that `view` asks for, as the engine would; the windows asked for so far."""
    asked: list[Window] = []

    def answer(window: Window) -> None:
        asked.append(window)
        view.draw_window(pictured(source, scheme, window))

    view.window_wanted.connect(answer)
    return asked


def outlier(rows: int = 900, columns: int = 1300) -> np.ndarray:
    found = weights(rows, columns)
    found[501, 707] = 1e4
    return found


def where(plot: QWidget, color: np.ndarray) -> list[tuple[int, int]]:
    """The pixels of `plot` that have `color`: across, down."""
    image = plot.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bright = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), -1)
    pixels = bright[:, : 3 * image.width()].reshape(image.height(), image.width(), 3)
    return [(x, y) for y, x in np.argwhere((pixels == color).all(axis=2)).tolist()]


@pytest.mark.parametrize("shown", list(View))
@pytest.mark.parametrize("theme", [ThemeName.LIGHT, ThemeName.DARK])
def test_each_view_is_drawn_between_its_own_ends(
    view: ErrorView, qapp: QApplication, shown: View, theme: ThemeName
) -> None:
    apply_theme(qapp, theme)
    source = weights(40, 256)
    view.draw(synthetic(LAYER, SCHEME, source, (2, 4), view=shown))
    values = values_of(shown, source, SCHEME)
    top = float(np.abs(values).max()) or 1.0
    assert view.map.tones.levels == ((-top if shown.signed else 0.0), top)
    assert shown.label in view.bar.caption
    assert shown.formula in view.bar.caption
    numbers = view.map.table()
    assert numbers is not None
    rows = list(numbers[1])
    assert len(rows) == 20 * 64
    assert [float(x) for x in rows[65][:4]] == [2, 3, 4, 7]
    expected = values[2:4, 4:8].ravel()
    assert rows[65][4] == float(expected[np.abs(expected).argmax()])
    apply_theme(qapp, ThemeName.LIGHT)


def test_a_cell_shows_its_mean_where_that_is_chosen(view: ErrorView) -> None:
    source = weights(40, 256)
    view.draw(synthetic(LAYER, SCHEME, source, (2, 4), view=View.SIGNED))
    view.choices.cell_combo.setCurrentIndex(1)
    grid = view.map.grid
    assert grid is not None
    assert grid.values[1, 1] == pytest.approx(values_of(View.SIGNED, source, SCHEME)[2:4, 4:8].mean(), rel=1e-4)
    assert "mean of a cell" in view.bar.caption


def test_choosing_a_view_asks_for_it(view: ErrorView) -> None:
    chosen: list[View] = []
    view.view_changed.connect(chosen.append)
    view.choices.set_view(View.WEIGHT)
    assert chosen == [View.WEIGHT]
    assert view.view is View.WEIGHT


@pytest.mark.parametrize("size", [(70, 60), (131, 97), (260, 260), (517, 333), (900, 700)])
@pytest.mark.parametrize("shown", [View.ABSOLUTE, View.SIGNED, View.SQUARED, View.RELATIVE, View.WEIGHT])
@pytest.mark.parametrize("mean", [False, True])
def test_an_outlier_is_seen_at_any_size_in_any_view(
    qtbot: QtBot, size: tuple[int, int], shown: View, mean: bool
) -> None:
    plot = ErrorMap()
    qtbot.addWidget(plot)
    plot.resize(*size)
    plot.show()
    picture = synthetic(LAYER, SCHEME, outlier(), (1, 2), view=shown).picture
    grid = Grid.of(picture, mean)
    plot.draw(grid, shown.signed)
    plot._rings._rings.setData([], [])
    top = float(grid.values[501, 353])
    assert abs(top) == plot.tones.high
    table = plot.theme.table(shown.signed)
    found = where(plot, table[255 if top > 0 else 0])
    assert found
    wanted = on_screen(plot, 707, 501.5)
    assert min(abs(x - wanted.x()) + abs(y - wanted.y()) for x, y in found) <= 3


def test_the_one_cell_that_stands_out_has_a_ring_around_it(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, outlier(), (1, 2)))
    assert view.map._rings.places == [(707.0, 501.5)]
    view.map.set_scaling(Scaling.CLIPPED)
    assert view.map._rings.places == []


def test_pooling_keeps_the_largest_magnitude_with_its_sign() -> None:
    values = np.arange(35, dtype=np.float32).reshape(5, 7)
    assert pooled(values, 2, 3).tolist() == [[9, 12, 13], [23, 26, 27], [30, 33, 34]]
    values[0, 0] = -99
    assert pooled(values, 2, 3)[0].tolist() == [-99, 12, 13]
    assert pooled(-values, 9, 9).tolist() == [[99]]


def test_zooming_asks_for_what_is_visible_and_lays_it_exactly_there(qtbot: QtBot, view: ErrorView) -> None:
    source = weights(3000, 4000)
    asked = answered(view, source)
    view.draw(synthetic(LAYER, SCHEME, source, (4, 8)))
    qtbot.wait(120)
    view.map.setRange(xRange=(1000.5, 1200.2), yRange=(30, 90.5), padding=0)
    qtbot.waitUntil(lambda: view.map.part is not None)
    window, part = asked[-1], view.map.part
    assert part is not None
    assert (window.left, window.right, window.top, window.bottom) == (1000, 1201, 30, 91)
    assert (window.cells_across, window.cells_down) == (201, 61)
    assert part.single
    assert (part.left, part.right, part.top, part.bottom) == (1000, 1201, 30, 91)
    cell = view.map._layers.cell_at(1100.5, 60.5)
    assert cell == Cell((60, 61), (1100, 1101), float(values_of(View.ABSOLUTE, source, SCHEME)[60, 1100]))
    assert view.map._layers.images[1].boundingRect().getRect() == (1000, 30, 201, 61)


def test_cells_are_bounded_by_pixels(qtbot: QtBot, view: ErrorView) -> None:
    source = weights(3000, 4000)
    asked = answered(view, source)
    view.draw(synthetic(LAYER, SCHEME, source, (30, 40)))
    qtbot.waitUntil(lambda: bool(asked))
    window = asked[0]
    height, width = view.map.pixels
    assert 0.4 * height < window.cells_down <= height
    assert 0.4 * width < window.cells_across <= width
    assert (window.top, window.left, window.bottom, window.right) == (0, 0, 3000, 4000)
    qtbot.wait(150)
    assert len(asked) == 1


def test_the_whole_picture_is_back_at_the_first_step_out(qtbot: QtBot, view: ErrorView) -> None:
    source = weights(3000, 4000)
    answered(view, source)
    view.draw(synthetic(LAYER, SCHEME, source, (4, 8)))
    view.map.setRange(xRange=(1000, 1200), yRange=(30, 90), padding=0)
    qtbot.waitUntil(lambda: view.map.part is not None)
    qtbot.keyClick(view.map, KEYS.Key_Minus)
    assert view.map.part is None


def test_a_picture_of_single_weights_is_enough(qtbot: QtBot, view: ErrorView) -> None:
    source = weights()
    asked = answered(view, source)
    view.draw(synthetic(LAYER, SCHEME, source))
    for _ in range(6):
        qtbot.keyClick(view.map, KEYS.Key_Plus)
    qtbot.wait(120)
    assert asked == []


def test_a_sample_asks_for_nothing_finer(qtbot: QtBot, view: ErrorView) -> None:
    source = weights(3000, 4000)
    asked = answered(view, source)
    view.draw(synthetic(LAYER, SCHEME, source, (4, 8), sampled=100))
    view.map.setRange(xRange=(1000, 1200), yRange=(30, 90), padding=0)
    qtbot.wait(120)
    assert asked == []


def test_an_answer_to_another_question_is_dropped(view: ErrorView) -> None:
    source = weights(96, 256)
    view.draw(synthetic(LAYER, SCHEME, source, (4, 8)))
    before = view.map.grid
    view.draw_window(pictured(source, SCHEME, Window(View.SIGNED, 0, 10, 0, 10)))
    view.draw_window(pictured(source, SCHEME, Window(View.ABSOLUTE, 0, 10, 0, 10, sort_rows=True)))
    assert view.map.grid is before
    assert view.map.part is None


def test_borders_of_groups_show_where_a_weight_is_large_enough(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    assert view.map._lines.columns == []
    view.map.setRange(xRange=(50, 90), yRange=(0, 20), padding=0)
    assert view.map._lines.columns == [64]


def test_sorted_rows_stand_by_their_error_and_are_read_out_as_themselves(qtbot: QtBot, view: ErrorView) -> None:
    source = weights()
    asked = answered(view, source)
    preview = synthetic(LAYER, SCHEME, source)
    view.draw(preview)
    view.sort_rows.setChecked(True)
    qtbot.waitUntil(lambda: view.map.orders.rows is not None)
    assert asked == [Window(View.ABSOLUTE, 0, 48, 0, 256, sort_rows=True)]
    worst = int(np.argmax(preview.channel_square_error))
    grid, expected = view.map.grid, values_of(View.ABSOLUTE, source, SCHEME)
    assert grid is not None
    assert np.array_equal(grid.values[0], expected[worst])
    assert view.channels.values[0] == pytest.approx(100 * preview.channel_relative_error[worst])
    view.map.setFocus()
    qtbot.keyClick(view.map, KEYS.Key_Down)
    assert view.map.pinned == Place((worst, worst + 1), (0, 1))
    assert f"channel {worst}:" in view.read_out.full_text()
    assert view.map.axis("left").labelText == "channels, worst first"
    view.sort_rows.setChecked(False)
    qtbot.waitUntil(lambda: view.map.orders.rows is None)
    assert view.map.pinned == Place((worst, worst + 1), (0, 1))
    cell = view.map.cursor_cell
    assert cell is not None
    assert cell.rows == (worst, worst + 1)
    assert view.map.axis("left").labelText == "channel"


def test_sorted_columns_have_their_shares_above_them(qtbot: QtBot, view: ErrorView) -> None:
    source = weights()
    answered(view, source)
    preview = synthetic(LAYER, SCHEME, source)
    view.draw(preview)
    view.sort_columns.setChecked(True)
    qtbot.waitUntil(lambda: view.map.orders.columns is not None)
    shares = np.sort(preview.column_square_error)[::-1] / preview.column_square_error.sum()
    assert view.groups.values == pytest.approx(100 * shares, rel=1e-4)
    worst = int(np.argmax(preview.column_square_error))
    view.groups.clicked.emit(0.2)
    assert view.map.pinned == Place((0, 48), (worst, worst + 1))


def test_cells_of_several_sorted_rows_stand_for_the_worst_of_them() -> None:
    orders = Orders(rows=np.array([5, 2, 0, 1, 3, 4], np.int32))
    assert orders.place(Cell((2, 4), (0, 8), 1.0), (6, 16)) == Place((0, 1), (0, 8))
    assert orders.place(Cell((0, 6), (0, 8), 1.0), (6, 16)) == Place((0, 6), (0, 8))
    assert orders.spans(Place((2, 3), (0, 8)), (6, 16)) == ((1, 2), (0, 8))


def test_a_sorted_map_stays_until_the_sorted_picture_of_the_next_scheme_comes(qtbot: QtBot, view: ErrorView) -> None:
    source = weights()
    asked = answered(view, source)
    view.draw(synthetic(LAYER, SCHEME, source))
    view.sort_rows.setChecked(True)
    qtbot.waitUntil(lambda: len(asked) == 1)
    view.draw(synthetic(LAYER, Scheme(bits=3, group_size=64), source))
    assert view.map.orders.rows is not None
    qtbot.waitUntil(lambda: len(asked) == 2)
    assert asked[1].sort_rows


def test_the_map_says_which_rows_and_columns_a_cell_covers() -> None:
    grid = Grid(np.arange(6, dtype=np.float32).reshape(2, 3), rows=7, columns=300, cell_rows=4, cell_columns=128)
    assert grid.cell_at(299, 6) == Cell((4, 7), (256, 300), 5.0)
    assert grid.cell_at(300, 0) is None
    assert grid.cell_at(0, -0.1) is None
    assert grid.cell_of((0, 7), (0, 200)) == Cell((0, 7), (0, 200), 4.0)


def test_the_side_plots_follow_the_zoom_of_the_map(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    qtbot.keyClick(view.map, KEYS.Key_Plus)
    left, right, top, bottom = view.map.visible
    assert right - left < 256
    assert view.groups.view.viewRange()[0] == pytest.approx([left, right])
    assert view.channels.view.viewRange()[1] == pytest.approx([top, bottom])
    qtbot.keyClick(view.map, KEYS.Key_Home)
    assert view.groups.view.viewRange()[0] == pytest.approx([0, 256])


def test_columns_stand_under_their_group_and_rows_beside_their_channel(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))

    def place(plot: QWidget, x: float, y: float) -> QPoint:
        return plot.mapToGlobal(on_screen(plot, x, y))

    assert place(view.map, 128, 0).x() == pytest.approx(place(view.groups, 128, 0).x(), abs=1)
    assert place(view.map, 0, 24).y() == pytest.approx(place(view.channels, 0, 24).y(), abs=1)


def test_a_single_row_is_a_strip(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights(1, 512), carried=True))
    assert view.map.height() < 120
    assert not view.channels.isVisible()
    view.draw(synthetic(LAYER, SCHEME, weights()))
    assert view.map.height() > 150
    assert view.channels.isVisible()


def test_a_tensor_without_any_error_is_drawn(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(bits=8), np.zeros((8, 64), np.float32) + 0.5))
    view.draw(synthetic(LAYER, Scheme(bits=8, strategy="channel", group_size=None), np.ones((1, 1), np.float32)))
    for index in range(view.choices.scale_combo.count()):
        view.choices.scale_combo.setCurrentIndex(index)
    assert view.map.cursor_cell is None


def test_where_there_are_no_groups_the_read_out_names_columns_only(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(strategy="channel", group_size=None), weights(), (1, 8)))
    view.map.point_at(Place((3, 4), (8, 16)))
    assert "columns 8 to 15: " in view.read_out.full_text()
    assert "group" not in view.read_out.full_text()


def test_maps_side_by_side_share_their_colours_and_their_range(qtbot: QtBot) -> None:
    left, right = ErrorMap("left", "one"), ErrorMap("right", "other")
    for plot in (left, right):
        qtbot.addWidget(plot)
        plot.resize(300, 200)
        plot.show()
    right.setXLink(left)
    right.setYLink(left)
    left.draw(Grid(np.ones((20, 30), np.float32), 20, 30), levels=(0.0, 4.0))
    right.draw(Grid(np.full((20, 30), 2, np.float32), 20, 30))
    right.set_levels(0.0, 4.0)
    assert left.tones == right.tones
    left.setRange(xRange=(5, 15), yRange=(5, 10), padding=0)
    assert right.visible == pytest.approx(left.visible, abs=0.5)
    right.draw(Grid(np.full((20, 30), -2, np.float32), 20, 30), signed=True, levels=(-3.0, 1.0))
    assert right.tones.levels == (-3.0, 3.0)


def test_the_map_takes_other_colours_with_the_theme(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, SCHEME, weights()))
    before = view.map._layers.images[0]._pixels.copy()
    palette = QPalette(view.map.palette())
    palette.setColor(QPalette.ColorRole.Base, Qt.GlobalColor.black)
    view.map.setPalette(palette)
    assert not np.array_equal(before, view.map._layers.images[0]._pixels)


def test_an_axis_of_rows_counts_in_whole_numbers(qapp: QApplication) -> None:
    axis = IndexAxis("left")
    (_, ticks), *_ = axis.tickValues(0.0, 3.0, 300)
    assert axis.tickStrings(ticks, 1.0, 1.0) == ["0", "1", "2"]
    assert ticks == [0.5, 1.5, 2.5]
    (step, ticks), *_ = axis.tickValues(0.0, 4096.0, 300)
    assert step == 500
    assert ticks[:2] == [0, 500]
