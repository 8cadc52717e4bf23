"""Plots and numbers as files that other programs read."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtGui import QColor, QGuiApplication, QImage
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import WriteError
from qtquant_app.gui.export import (
    csv_text,
    file_name,
    picture,
    save_csv,
    save_png,
    save_svg,
    svg,
    write_file,
)
from qtquant_app.gui.plots.histogram import HistogramPlot
from qtquant_app.gui.plots.profile import Profile

SVG = "{http://www.w3.org/2000/svg}"
CAPTION = "Histogram of the weights: model.layers.0.mlp.up_proj.weight, W4 g128 sym"
EDGES = np.linspace(-0.1, 0.1, 33)
COUNTS = np.arange(32, dtype=np.int64) ** 3


@pytest.fixture
def histogram(qtbot: QtBot) -> HistogramPlot:
    found = HistogramPlot()
    qtbot.addWidget(found)
    found.resize(420, 200)
    found.draw(EDGES, COUNTS, np.array([-0.05, 0.0, 0.05], np.float32))
    found.subject = CAPTION.partition(": ")[2]
    found.show()
    qtbot.waitExposed(found)
    return found


@pytest.fixture
def composite(qtbot: QtBot, histogram: HistogramPlot) -> QWidget:
    """A plot with words above it and a margin below it, as the error map has."""
    box = QWidget()
    qtbot.addWidget(box)
    column = QVBoxLayout(box)
    column.addWidget(QLabel("what stands above"))
    column.addWidget(histogram)
    margin = Profile("margin", "Error by column group", upright=False)
    margin.draw(np.arange(17.0), np.linspace(0, 1, 16, dtype=np.float32))
    column.addWidget(margin)
    box.resize(420, 400)
    box.show()
    qtbot.waitExposed(box)
    histogram.whole = box
    return box


def read(data: bytes | str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data if isinstance(data, str) else data.decode())))


def shades(image: QImage) -> set[int]:
    return {image.pixel(x, y) for x in range(0, image.width(), 3) for y in range(0, image.height(), 3)}


def _matrix(transform: str) -> list[float]:
    return [float(number) for number in transform.removeprefix("matrix(").removesuffix(")").split(",")]


def _even(transform: str) -> bool:
    return not transform or _matrix(transform)[:4] == [1, 0, 0, 1]


def test_a_png_is_twice_as_fine_as_the_screen_and_shows_the_plot(histogram: HistogramPlot, tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    save_png(histogram, str(path), CAPTION)
    image = QImage(str(path))
    assert image.width() >= 2 * histogram.width()
    assert image.height() > 2 * histogram.height()
    assert len(shades(image)) > 3
    assert QColor(image.pixel(1, 1)) == histogram.palette().window().color()


def test_a_caption_has_its_place_above_the_plot(histogram: HistogramPlot) -> None:
    plain, titled = picture(histogram), picture(histogram, CAPTION)
    more = titled.height() - plain.height()
    assert more > 0
    assert len(shades(titled.copy(0, 0, titled.width(), more + 8))) > 1


def test_a_long_caption_breaks_into_lines(histogram: HistogramPlot) -> None:
    assert picture(histogram, CAPTION * 5).height() > picture(histogram, CAPTION).height()


def test_an_svg_has_lines_and_real_words(histogram: HistogramPlot, tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    save_svg(histogram, str(path), CAPTION)
    root = ElementTree.parse(path).getroot()
    words = [text for node in root.iter(f"{SVG}text") if (text := "".join(node.itertext()).strip())]
    assert root.tag == f"{SVG}svg"
    assert root.findtext(f"{SVG}title") == CAPTION
    assert {"weights", "0.05", "10²"} <= set(words)
    assert "".join(words).startswith("Histogram of the weights")
    assert len(list(root.iter(f"{SVG}polyline"))) + len(list(root.iter(f"{SVG}path"))) > 10
    assert not list(root.iter(f"{SVG}image"))
    assert all("sans-serif" in node.get("font-family", "") for node in root.iter(f"{SVG}text"))


def test_what_lies_outside_the_axes_is_clipped_where_the_plot_stands(
    composite: QWidget, histogram: HistogramPlot
) -> None:
    histogram.zoom(0.2)
    origin = histogram.mapTo(composite, QPoint(0, 0))
    view = histogram.view.sceneBoundingRect().translated(origin)
    root = ElementTree.fromstring(svg(composite))
    corners = [node.get("d", "").split()[0] for node in root.iterfind(f".//{SVG}clipPath/{SVG}path")]
    starts = [tuple(float(part) for part in corner[1:].split(",")) for corner in corners if corner]
    assert any(math.dist(start, (view.x() + 8, view.y() + 8)) < 1.5 for start in starts)


def test_lines_keep_their_width_however_the_axes_are_stretched(histogram: HistogramPlot) -> None:
    root = ElementTree.fromstring(svg(histogram))
    stretched = [
        (group.get("transform", ""), node.get("transform", ""))
        for group in root.iter(f"{SVG}g")
        for node in group
        if node.get("vector-effect") == "non-scaling-stroke" and not _even(group.get("transform", ""))
    ]
    assert stretched
    for outer, inner in stretched:
        assert _matrix(outer)[0] * _matrix(inner)[0] == pytest.approx(1)
        assert _matrix(outer)[3] * _matrix(inner)[3] == pytest.approx(1)


def test_a_composite_is_one_picture_with_all_its_words(composite: QWidget, histogram: HistogramPlot) -> None:
    histogram.copy()
    image = QGuiApplication.clipboard().image()
    assert image.width() >= 2 * composite.width()
    assert image.height() >= 2 * composite.height()
    words = {"".join(node.itertext()).strip() for node in ElementTree.fromstring(svg(composite)).iter(f"{SVG}text")}
    assert {"what stands above", "weights"} <= words


def test_the_frame_of_the_focus_is_no_part_of_a_picture(qtbot: QtBot, histogram: HistogramPlot) -> None:
    before = picture(histogram)
    histogram.setFocus()
    qtbot.waitUntil(histogram.hasFocus)
    assert picture(histogram) == before
    assert histogram.view.border.color() == histogram.theme.accent


def test_the_functions_refuse_with_a_write_error(histogram: HistogramPlot, tmp_path: Path) -> None:
    nowhere = str(tmp_path / "no such folder" / "x")
    for save in (
        lambda: save_png(histogram, nowhere),
        lambda: save_svg(histogram, nowhere),
        lambda: save_csv(["a"], [[1]], nowhere),
    ):
        with pytest.raises(WriteError, match="could not be written"):
            save()


def test_a_file_that_is_abandoned_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "kept.csv"
    path.write_text("before")
    writing = write_file(str(path), (b"x" * 1000 for _ in range(9)))
    next(writing)
    writing.close()
    assert path.read_text() == "before"
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["kept.csv"]


def test_numbers_come_back_as_they_were() -> None:
    values: list[Any] = [
        0.1,
        1 / 3,
        np.float32(0.1),
        np.float64(1e-300),
        -2.5,
        7,
        np.int64(-3),
        math.inf,
        True,
        None,
        'a,b\n"c"',
    ]
    (row,) = read(b"".join(csv_text([], [values])))[1:]
    assert [type(value)(cell) for cell, value in zip(row, values[:8], strict=False)] == values[:8]
    assert row[8:] == ["true", "", 'a,b\n"c"']


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_a_spreadsheet_would_run_is_disarmed(start: str) -> None:
    (row,) = read(b"".join(csv_text(["a"], [[f"{start}cmd", -1.5]])).decode().replace("\r", "<cr>"))[1:]
    assert row[0].startswith("'")
    assert row[1] == "-1.5"


def test_a_file_of_numbers_is_utf_8_without_a_mark(tmp_path: Path) -> None:
    save_csv(["größe"], [["µ"]], str(tmp_path / "x.csv"))
    assert (tmp_path / "x.csv").read_bytes() == "größe\nµ\n".encode()


def test_a_profile_says_which_rows_each_value_is_for(qtbot: QtBot) -> None:
    profile = Profile("channelErrorPlot", "Error by channel", upright=True)
    qtbot.addWidget(profile)
    assert profile.table() is None
    profile.draw(np.array([0.0, 4, 6]), np.array([0.5, np.nan], np.float32))
    numbers = profile.table()
    assert numbers is not None
    assert read(b"".join(csv_text(*numbers))) == [
        ["first row", "last row", "Error by channel (%)"],
        ["0", "3", "0.5"],
        ["4", "5", ""],
    ]


@pytest.mark.parametrize(
    ("caption", "name"),
    [
        ("Error map: a.b[3], W4 g128 sym", "Error map a.b[3] W4 g128 sym.png"),
        ("../../etc/passwd", "etc passwd.png"),
        ("", "QtQuant.png"),
        ("x" * 500, "x" * 120 + ".png"),
    ],
)
def test_a_caption_becomes_a_name_that_every_system_takes(caption: str, name: str) -> None:
    assert file_name(caption, "png") == name
