"""The plots of the Inspect page."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.plots.colors import Theme, even_ramp, magnitude_table, oklab_to_rgb
from qtquant_app.gui.plots.error_map import Cell, ErrorMap, Grid, pooled
from qtquant_app.gui.plots.error_view import READ_OUT_HINT, ErrorView
from qtquant_app.gui.plots.histogram import HistogramPlot
from qtquant_app.gui.plots.profile import peaks
from tests.gui.inspect_samples import LAYER, synthetic, weights

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
"""Linear RGB as two kinds of colour-blind eyes see it. Machado, Oliveira and Fernandes, 2009, severity 1.0."""

KEYS = Qt.Key


def luminance(table: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    bright = table / 255
    linear = np.where(bright <= 0.04045, bright / 12.92, ((bright + 0.055) / 1.055) ** 2.4)
    if seen is not None:
        linear = linear @ seen.T
    return linear @ np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture
def view(qtbot: QtBot) -> ErrorView:
    found = ErrorView()
    qtbot.addWidget(found)
    found.resize(700, 500)
    found.show()
    qtbot.waitExposed(found)
    return found


@pytest.fixture
def histogram(qtbot: QtBot) -> HistogramPlot:
    found = HistogramPlot()
    qtbot.addWidget(found)
    found.resize(500, 200)
    found.show()
    return found


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("seen", [None, DEUTERANOPIA, PROTANOPIA])
def test_the_colour_map_is_ordered_by_brightness_for_every_eye(dark: bool, seen: np.ndarray | None) -> None:
    steps = np.diff(luminance(magnitude_table(dark), seen)) * (1 if dark else -1)
    assert steps.min() > -0.002
    assert abs(steps.sum()) > 0.75


def test_the_colour_map_has_256_even_steps() -> None:
    lab = even_ramp(((0.2, 0.03, 280.0), (0.5, 0.15, 345.0), (0.96, 0.08, 98.0)))
    lengths = np.linalg.norm(np.diff(lab, axis=0), axis=1)
    assert lab.shape == (256, 3)
    assert lengths.max() / lengths.min() < 1.05


def test_oklab_white_and_black_are_white_and_black() -> None:
    assert np.allclose(oklab_to_rgb(np.array([[1.0, 0, 0], [0, 0, 0]])), [[1, 1, 1], [0, 0, 0]], atol=1e-3)


@pytest.mark.parametrize("dark", [True, False])
def test_the_low_end_lies_near_the_background_it_is_seen_on(dark: bool) -> None:
    table = magnitude_table(dark)
    assert (table[0].mean() < 60) if dark else (table[0].mean() > 220)


def test_the_theme_follows_the_palette() -> None:
    palette = QPalette()
    palette.setColor(QPalette.ColorRole.Base, QColor("#101010"))
    assert Theme.of(palette).dark
    palette.setColor(QPalette.ColorRole.Base, QColor("#fafafa"))
    assert not Theme.of(palette).dark


def test_a_plot_takes_new_colours_when_the_palette_changes(histogram: HistogramPlot) -> None:
    palette = QPalette(histogram.palette())
    palette.setColor(QPalette.ColorRole.Base, QColor("#123456"))
    histogram.setPalette(palette)
    assert histogram.theme.background == QColor("#123456")


def test_the_histogram_draws_a_line_for_each_level(histogram: HistogramPlot) -> None:
    preview = synthetic(LAYER, Scheme(bits=3), weights())
    histogram.draw(preview.histogram_edges, preview.histogram_counts, preview.levels)
    x, _ = histogram._lines.getData()
    assert np.array_equal(np.unique(x), preview.levels.astype(np.float64))


def test_crowded_levels_stay_at_the_foot_until_a_zoom_makes_room(histogram: HistogramPlot) -> None:
    preview = synthetic(LAYER, Scheme(bits=8), weights())
    histogram.draw(preview.histogram_edges, preview.histogram_counts, preview.levels)
    top = histogram.view.viewRange()[1][1]
    assert histogram._lines.getData()[1].max() < 0.5 * top
    histogram.zoom(0.005)
    assert histogram._lines.getData()[1].max() == pytest.approx(top)


def test_the_histogram_keeps_its_zoom_under_another_scheme(histogram: HistogramPlot) -> None:
    for bits, zoomed in ((4, False), (3, True)):
        preview = synthetic(LAYER, Scheme(bits=bits), weights())
        if zoomed:
            histogram.zoom(0.5)
            before = histogram.view.viewRange()[0]
        histogram.draw(preview.histogram_edges, preview.histogram_counts, preview.levels)
    assert histogram.view.viewRange()[0] == before


def test_the_histogram_reads_a_bin_out(histogram: HistogramPlot) -> None:
    histogram.draw(np.array([0.0, 1.0, 2.0]), np.array([1, 2500]), np.zeros(0, np.float32))
    assert histogram.text_at(0.5) == "0 to 1: 1 weight"
    assert histogram.text_at(2.0) == "1 to 2: 2,500 weights"


def test_empty_bins_stay_below_bins_of_one_weight(histogram: HistogramPlot) -> None:
    histogram.draw(np.array([0.0, 1.0, 2.0, 3.0]), np.array([1, 0, 100]), np.zeros(0, np.float32))
    _, y = histogram._bars.getData()
    assert y[1] < y[0] == 0.0 < y[2] == 2.0


def test_bundles_of_values_keep_their_peak() -> None:
    values = np.zeros(100_000, np.float32)
    values[77_777] = 9.0
    edges, shown = peaks(np.arange(100_001, dtype=np.float64), values)
    assert len(shown) <= 2048
    at = int(shown.argmax())
    assert shown[at] == 9.0
    assert edges[at] <= 77_777 < edges[at + 1]
    assert edges[-1] == 100_000


def test_pooling_keeps_the_largest_of_each_block() -> None:
    values = np.arange(35, dtype=np.float32).reshape(5, 7)
    assert pooled(values, 2, 3).tolist() == [[9, 12, 13], [23, 26, 27], [30, 33, 34]]


def test_a_single_outlier_is_never_lost_in_a_map_smaller_than_its_cells(qtbot: QtBot) -> None:
    values = np.zeros((1000, 1000), np.float32)
    values[501, 707] = 1e4
    plot = ErrorMap()
    qtbot.addWidget(plot)
    plot.resize(260, 260)
    plot.show()
    plot.draw(Grid(values, 4000, 4000, 4, 4))
    assert plot._image.image.max() == 1e4
    assert plot._image.image.shape[0] <= plot.view.height()
    assert plot.grab().toImage().size().width() == 260


def test_zooming_in_shows_every_cell(view: ErrorView) -> None:
    preview = synthetic(LAYER, Scheme(group_size=4), weights(600, 512), (1, 4))
    view.draw(preview)
    view.map.setRange(xRange=(0, 64), yRange=(0, 64), padding=0)
    assert view.map._image.image.shape == preview.error_map.shape


def test_the_map_says_which_rows_and_columns_a_cell_covers() -> None:
    grid = Grid(np.arange(6, dtype=np.float32).reshape(2, 3), rows=7, columns=300, cell_rows=4, cell_columns=128)
    assert grid.cell_at(299, 6) == Cell(1, 2, (4, 7), (256, 300), 5.0)
    assert grid.cell_at(300, 0) is None
    assert grid.cell_at(0, -0.1) is None


def test_pointing_at_the_map_marks_the_channel_and_the_group_beside_it(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(group_size=64), weights()))
    place = view.map.mapFromScene(view.map.view.mapViewToScene(QPointF(70, 10.5)))
    qtbot.mouseMove(view.map.viewport(), place)
    assert view.groups.marked == (64, 128)
    assert view.channels.marked == (10, 11)
    assert view.read_out.text().startswith("channel 10: ")
    assert "columns 64 to 127, group 1: " in view.read_out.text()


def test_pointing_beside_the_map_moves_its_cursor_too(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(group_size=64), weights()))
    view.channels.hovered.emit(20.5)
    view.groups.hovered.emit(200.0)
    cell = view.map.cursor_cell
    assert cell is not None
    assert (cell.row, cell.column) == (20, 3)
    view.groups.hovered.emit(float("nan"))
    assert view.map.cursor_cell is None
    assert view.read_out.text() == READ_OUT_HINT


def test_a_click_pins_the_cell_that_a_passing_pointer_leaves(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(group_size=64), weights()))

    def at(x: float, y: float) -> QPoint:
        found: QPoint = view.map.mapFromScene(view.map.view.mapViewToScene(QPointF(x, y)))
        return found

    qtbot.mouseClick(view.map.viewport(), Qt.MouseButton.LeftButton, pos=at(70, 10.5))
    qtbot.mouseMove(view.map.viewport(), at(10, 40.5))
    QApplication.sendEvent(view.map, QEvent(QEvent.Type.Leave))
    cell = view.map.cursor_cell
    assert cell is not None
    assert (cell.row, cell.column) == (10, 1)


def test_the_arrow_keys_read_the_map_out_and_escape_lets_go(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(group_size=64), weights()))
    for key in (KEYS.Key_Down, KEYS.Key_Down, KEYS.Key_Right, KEYS.Key_Up):
        qtbot.keyClick(view.map, key)
    cell = view.map.cursor_cell
    assert cell is not None
    assert (cell.row, cell.column) == (0, 1)
    assert view.map.accessibleDescription() == view.read_out.text()
    qtbot.keyClick(view.map, KEYS.Key_Escape)
    assert view.map.cursor_cell is None


def test_a_pinned_cursor_stays_when_the_scheme_changes(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(group_size=64), weights()))
    for key in (KEYS.Key_Down, KEYS.Key_Down, KEYS.Key_Right):
        qtbot.keyClick(view.map, key)
    before = view.read_out.text()
    view.draw(synthetic(LAYER, Scheme(group_size=32), weights()))
    cell = view.map.cursor_cell
    assert cell is not None
    assert (cell.rows, cell.columns) == ((1, 2), (64, 96))
    assert view.read_out.text() != before


def test_the_side_plots_follow_the_zoom_of_the_map(qtbot: QtBot, view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(group_size=64), weights()))
    qtbot.keyClick(view.map, KEYS.Key_Plus)
    (left, right), (top, bottom) = view.map.view.viewRange()
    assert right - left < 256
    assert view.groups.view.viewRange()[0] == pytest.approx([left, right])
    assert view.channels.view.viewRange()[1] == pytest.approx([top, bottom])
    qtbot.keyClick(view.map, KEYS.Key_Home)
    assert view.groups.view.viewRange()[0] == pytest.approx([0, 256])


def test_columns_stand_under_their_group_and_rows_beside_their_channel(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(group_size=64), weights()))

    def on_screen(plot: object, x: float, y: float) -> tuple[int, int]:
        place = plot.mapToGlobal(plot.mapFromScene(plot.view.mapViewToScene(QPointF(x, y))))  # type: ignore[attr-defined]
        return place.x(), place.y()

    assert on_screen(view.map, 128, 0)[0] == pytest.approx(on_screen(view.groups, 128, 0)[0], abs=1)
    assert on_screen(view.map, 0, 24)[1] == pytest.approx(on_screen(view.channels, 0, 24)[1], abs=1)


def test_the_colour_map_ends_at_the_largest_error_exactly(view: ErrorView) -> None:
    preview = synthetic(LAYER, Scheme(), weights())
    view.draw(preview)
    assert view.map.largest == float(preview.error_map.max())
    assert tuple(view.map._image.levels) == (0.0, view.map.largest)
    assert view.map._image.lut.shape == (256, 3)


def test_a_tensor_without_any_error_is_drawn(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(bits=8), np.zeros((8, 64), np.float32) + 0.5))
    view.draw(synthetic(LAYER, Scheme(bits=8, strategy="channel", group_size=None), np.ones((1, 1), np.float32)))
    assert view.map.cursor_cell is None


def test_where_there_are_no_groups_the_read_out_names_columns_only(view: ErrorView) -> None:
    view.draw(synthetic(LAYER, Scheme(strategy="channel", group_size=None), weights(), (1, 8)))
    view.map.point_at(9, 3)
    assert "columns 8 to 15: " in view.read_out.text()
    assert "group" not in view.read_out.text()
