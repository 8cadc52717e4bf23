"""The plots of the Inspect page."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPalette
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.plots.colors import Theme
from qtquant_app.gui.plots.colour_bar import ColourBar
from qtquant_app.gui.plots.histogram import HistogramPlot
from qtquant_app.gui.plots.profile import Profile, peaks
from qtquant_app.gui.plots.tones import Scaling, Tones
from qtquant_app.ramps import even_ramp, magnitude_table, oklab_to_rgb, signed_table
from tests.gui.inspect_samples import LAYER, synthetic, weights

DEUTERANOPIA = np.array(
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
)
PROTANOPIA = np.array(
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
)
"""Linear RGB as two kinds of colour-blind eyes see it. Machado, Oliveira and Fernandes, 2009, severity 1.0."""


def luminance(table: np.ndarray, seen: np.ndarray | None = None) -> np.ndarray:
    bright = table / 255
    linear = np.where(bright <= 0.04045, bright / 12.92, ((bright + 0.055) / 1.055) ** 2.4)
    if seen is not None:
        linear = linear @ seen.T
    return linear @ np.array([0.2126, 0.7152, 0.0722])


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


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize("seen", [None, DEUTERANOPIA, PROTANOPIA])
def test_both_sides_of_zero_are_as_bright_and_tell_apart_for_every_eye(dark: bool, seen: np.ndarray | None) -> None:
    table = signed_table(dark)
    bright = luminance(table, seen)
    outwards = np.diff(bright[128:]) * (1 if dark else -1)
    assert outwards.min() > -0.002
    assert np.abs(bright - bright[::-1]).max() < (0.04 if seen is None else 0.12)
    assert (bright[127:129] < 0.05).all() if dark else (bright[127:129] > 0.85).all()
    apart = table[64].astype(float) - table[191]
    assert apart[2] > 40, "blue below zero"
    assert apart[0] < -40, "orange above"


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


def test_a_mark_lies_over_the_bin_of_a_weight(histogram: HistogramPlot) -> None:
    histogram.mark_weight(0.5)
    assert histogram.marked is None
    histogram.draw(np.array([0.0, 1.0, 2.0]), np.array([1, 2500]), np.zeros(0, np.float32))
    histogram.mark_weight(1.5)
    assert histogram.marked == (1.0, 2.0)
    histogram.mark_weight(None)
    assert histogram.marked is None


def test_a_click_on_a_profile_says_where(qtbot: QtBot) -> None:
    profile = Profile("groupErrorPlot", "Error by column group", upright=False)
    qtbot.addWidget(profile)
    profile.resize(300, 100)
    profile.show()
    profile.draw(np.array([0.0, 64.0, 128.0]), np.array([1, 2], np.float32))
    place = profile.mapFromScene(profile.view.mapViewToScene(QPointF(96, 1)))
    with qtbot.waitSignal(profile.clicked) as clicked:
        qtbot.mouseClick(profile.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert clicked.args[0] == pytest.approx(96, abs=1)


@pytest.mark.parametrize("scaling", list(Scaling))
@pytest.mark.parametrize("signed", [True, False])
def test_colours_run_from_the_first_level_to_the_last(scaling: Scaling, signed: bool) -> None:
    values = np.linspace(-1 if signed else 0, 1, 4001, dtype=np.float32)
    tones = Tones.of(values, signed, scaling)
    shades = tones.shades(values)
    assert shades[0] == 0
    assert shades[-1] == 255
    assert (np.diff(shades.astype(int)) >= 0).all()
    assert tones.above == (scaling is Scaling.CLIPPED)
    assert tones.levels[0] == (-tones.high if signed else tones.low)
    assert not signed or abs(int(tones.shades(np.zeros(1, np.float32))[0]) - 127.5) <= 0.5


def test_one_outlier_leaves_the_rest_in_the_dark_on_a_linear_scale_only() -> None:
    values = np.abs(np.random.default_rng(0).standard_normal(100_000)).astype(np.float32)
    values[7] = 1e4
    middle = {scaling: Tones.of(values, False, scaling).position(1.0) for scaling in Scaling}
    assert middle[Scaling.LINEAR] < 0.001
    assert middle[Scaling.CLIPPED] > 0.25
    assert middle[Scaling.LOGARITHMIC] > 0.25


def test_levels_without_any_value_are_those_of_nothing() -> None:
    for scaling in Scaling:
        assert Tones.of(np.zeros((3, 3), np.float32), False, scaling).shades(np.zeros(2, np.float32)).tolist() == [0, 0]


def test_what_is_no_number_has_a_colour_of_its_own() -> None:
    assert Tones(1.0).shades(np.array([0, np.nan, 1], np.float32)).tolist() == [0, 256, 255]


def test_the_colour_bar_says_its_ends_and_its_middle(qtbot: QtBot) -> None:
    bar = ColourBar("Signed error\nthe weight less what its code stands for")
    qtbot.addWidget(bar)
    bar.set_tones(Tones(0.25, signed=True, above=True))
    assert bar.labels == ("\u22120.25", "0", "0.25")
    assert "and above" in bar.accessibleDescription()
    bar.set_tones(Tones(1.0, 0.01, logarithmic=True))
    assert bar.labels == ("0.01", "0.1", "1")
    assert "logarithmic" in bar.accessibleDescription()
    assert "Signed error" in bar.accessibleName()


def test_the_colour_bar_marks_the_value_under_the_cursor(qtbot: QtBot) -> None:
    bar = ColourBar()
    qtbot.addWidget(bar)
    bar.resize(200, 80)
    bar.set_tones(Tones(1.0))
    before = bar.grab().toImage()
    bar.set_value(0.5)
    assert bar.grab().toImage() != before
