"""The menus of plots and tables, and their keys: copy, save, sort."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QContextMenuEvent, QGuiApplication
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QFileDialog, QMenu, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.events import TensorDone
from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.gui.export import (
    copy_image,
    csv_text,
)
from qtquant_app.gui.exporter import Exporter, exporter_of
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.models.run_tensors import RunTensors
from qtquant_app.gui.plots.base import Plot
from qtquant_app.gui.plots.histogram import HistogramPlot
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.widgets.metrics_table import MetricsTable
from qtquant_app.gui.widgets.table import Table
from tests.gui.inspect_samples import checkpoint, plan_for

SVG = "{http://www.w3.org/2000/svg}"
CAPTION = "Histogram of the weights: model.layers.0.mlp.up_proj.weight, W4 g128 sym"
EDGES = np.linspace(-0.1, 0.1, 33)
COUNTS = np.arange(32, dtype=np.int64) ** 3
COLUMNS = (
    Column("Word", lambda r: r[0], lambda r: r[0]),
    Column("Share", lambda r: f"{r[1]:.1f} %", lambda r: r[1], number=True, unit="%"),
)


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
def table(qtbot: QtBot) -> Table:
    model = RowsModel(COLUMNS)
    model.set_rows([("pear", 1 / 3), ("=SUM(A1)", 2.5e-17), ('ümlaut, "quoted"', -4.0)])
    found = Table(model, "words", "Words")
    qtbot.addWidget(found)
    found.resize(300, 200)
    found.show()
    qtbot.waitExposed(found)
    return found


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names that the file dialog was asked with; it answers with a file of that name in `tmp_path`."""
    asked: list[str] = []

    def answer(parent: QWidget, title: str, start: str, filters: str) -> tuple[str, str]:
        asked.append(start)
        return str(tmp_path / Path(start).name), filters

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    return asked


def lines(menu: QMenu) -> dict[str, bool]:
    """The lines of a menu without their keys, and whether they can be chosen."""
    return {
        action.text().replace("&", "").partition("\t")[0]: action.isEnabled()
        for action in menu.actions()
        if action.text()
    }


def choose(menu: QMenu, text: str) -> None:
    next(action for action in menu.actions() if text in action.text().replace("&", "")).trigger()


def read(data: bytes | str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(data if isinstance(data, str) else data.decode())))


def saved(qtbot: QtBot, widget: QWidget, do: Callable[[], object]) -> str:
    """What the window says once `do` has saved."""
    with qtbot.waitSignal(exporter_of(widget).message) as said:
        do()
    return str(said.args[0])


def open_menus() -> Iterator[QMenu]:
    return (menu for menu in QApplication.topLevelWidgets() if isinstance(menu, QMenu) and menu.isVisible())


@pytest.mark.parametrize("key", ["Ctrl+C", "menu"])
def test_a_plot_is_copied_as_image_and_numbers(qtbot: QtBot, histogram: HistogramPlot, key: str) -> None:
    QGuiApplication.clipboard().clear()
    if key == "menu":
        choose(histogram.menu.menu(), "Copy")
    else:
        QTest.keyClick(histogram, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    data = QGuiApplication.clipboard().mimeData()
    assert data.hasImage()
    rows = read(data.data("text/csv").data())
    assert rows[0] == ["from", "to", "weights"]
    assert [float(row[0]) for row in rows[1:]] == EDGES[:-1].tolist()
    assert [int(row[2]) for row in rows[1:]] == COUNTS.tolist()


def test_too_many_numbers_stay_off_the_clipboard(histogram: HistogramPlot) -> None:
    copy_image(histogram, "", (["n"], ([i] for i in range(8_001))))
    data = QGuiApplication.clipboard().mimeData()
    assert data.hasImage()
    assert not data.hasFormat("text/csv")


def test_a_process_that_copied_a_picture_ends_in_peace() -> None:
    script = """
from PySide6.QtWidgets import QApplication, QLabel
from qtquant_app.gui.export import copy_image
app = QApplication([])
label = QLabel("a picture")
copy_image(label, "", (["n"], [[1]]))
copy_image(label, "", (["n"], [[2]]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("way", ["right click", "Menu", "Shift+F10"])
def test_the_menu_opens_by_mouse_and_by_key(qtbot: QtBot, histogram: HistogramPlot, table: Table, way: str) -> None:
    for widget in (histogram, table):
        widget.setFocus()
        if way == "right click":
            place = QPoint(30, 30)
            event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, widget.viewport().mapToGlobal(place))
            QApplication.sendEvent(widget.viewport(), event)
        elif way == "Menu":
            QTest.keyClick(widget, Qt.Key.Key_Menu)
        else:
            QTest.keyClick(widget, Qt.Key.Key_F10, Qt.KeyboardModifier.ShiftModifier)
        (menu,) = open_menus()
        assert "Copy" in lines(menu)
        assert menu.accessibleName()
        menu.close()
        QTest.keyClick(widget, Qt.Key.Key_A)  # no modifier is held any more


def test_the_menu_names_what_it_does_and_greys_what_it_cannot(qtbot: QtBot, histogram: HistogramPlot) -> None:
    assert lines(histogram.menu.menu()) == dict.fromkeys(
        ("Copy", "Save as PNG…", "Save as SVG…", "Save the numbers as CSV…", "Show all"), True
    )
    bare = Plot("bare", "A bare plot")
    qtbot.addWidget(bare)
    assert lines(bare.menu.menu())["Save the numbers as CSV…"] is False


def test_show_all_in_the_menu_undoes_a_zoom(histogram: HistogramPlot) -> None:
    before = histogram.view.viewRange()
    histogram.zoom(0.3)
    choose(histogram.menu.menu(), "Show all")
    assert histogram.view.viewRange() == before


@pytest.mark.parametrize("ending", ["PNG", "SVG", "CSV"])
def test_saving_asks_where_with_a_speaking_name_and_says_that_it_is_done(
    qtbot: QtBot, histogram: HistogramPlot, chosen: list[str], tmp_path: Path, settings: Settings, ending: str
) -> None:
    said = saved(qtbot, histogram, lambda: choose(histogram.menu.menu(), ending))
    path = tmp_path / f"Histogram of the weights model.layers.0.mlp.up_proj.weight W4 g128 sym.{ending.lower()}"
    assert said == f"Saved {path}"
    assert path.stat().st_size > 100
    assert settings.text("export/folder") == str(tmp_path)
    saved(qtbot, histogram, lambda: choose(histogram.menu.menu(), ending))
    assert Path(chosen[1]).parent == tmp_path


def test_a_file_without_an_ending_gets_one(
    qtbot: QtBot, histogram: HistogramPlot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "mine"), ""))
    saved(qtbot, histogram, lambda: choose(histogram.menu.menu(), "SVG"))
    assert (tmp_path / "mine.svg").is_file()


def test_calling_the_question_off_saves_nothing(
    qtbot: QtBot, histogram: HistogramPlot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    with qtbot.assertNotEmitted(exporter_of(histogram).message, wait=50):
        for ending in ("PNG", "SVG", "CSV"):
            choose(histogram.menu.menu(), ending)


@pytest.mark.parametrize("ending", ["PNG", "SVG", "CSV"])
def test_a_folder_that_takes_no_file_is_refused_in_one_sentence(
    qtbot: QtBot, histogram: HistogramPlot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ending: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    wanted = tmp_path / "file" / f"plot.{ending.lower()}"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(wanted), ""))
    said = saved(qtbot, histogram, lambda: choose(histogram.menu.menu(), ending))
    assert said.startswith(f"{wanted} could not be written")
    assert "\n" not in said
    assert "Traceback" not in said


def test_a_table_is_saved_with_its_raw_numbers_in_the_order_shown(
    qtbot: QtBot, table: Table, chosen: list[str], tmp_path: Path
) -> None:
    table.sortByColumn(1, Qt.SortOrder.AscendingOrder)
    saved(qtbot, table, lambda: choose(table.menu.menu(), "CSV"))
    rows = read((tmp_path / "Words.csv").read_text())
    assert rows[0] == ["Word", "Share (%)"]
    assert [float(row[1]) for row in rows[1:]] == [-4.0, 2.5e-17, 1 / 3]
    assert [row[0] for row in rows[1:]] == ['ümlaut, "quoted"', "'=SUM(A1)", "pear"]


def test_an_empty_table_has_nothing_to_take_away(qtbot: QtBot) -> None:
    table = Table(RowsModel(COLUMNS), "words", "Words")
    qtbot.addWidget(table)
    assert set(lines(table.menu.menu()).values()) == {False}


def test_a_table_is_copied_as_text_by_its_key(table: Table) -> None:
    table.selectRow(0)
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "Word\tShare\npear\t0.3 %\n"


def test_the_job_table_saves_what_is_known_in_full_and_leaves_the_rest_empty() -> None:
    plan = plan_for(checkpoint(1))
    jobs = RunTensors()
    jobs.set_plan(plan)
    first = plan.quantized[0]
    assert first.scheme is not None
    errors = ErrorSums(10, 0.003, 1.0, 1.0, 0.5)
    jobs.add([TensorDone(TensorReport(first.name, first.scheme, 77, errors))])
    header, rows = jobs.numbers()
    found = read(b"".join(csv_text(header, rows)))
    assert found[0][2:6] == ["Before (bytes)", "After (bytes)", "SQNR (dB)", "Relative error"]
    assert int(found[1][3]) == 77
    assert float(found[1][4]) == errors.sqnr_db
    assert float(found[1][5]) == errors.relative_error
    assert found[2][4:] == ["", "", "false"]


def test_the_table_of_measures_saves_its_raw_values_where_it_has_them(
    qtbot: QtBot, chosen: list[str], tmp_path: Path
) -> None:
    table = MetricsTable("metrics", "Size and error")
    qtbot.addWidget(table)
    table.set_rows([("SQNR", "20.00 dB"), ("Source size", "77 B")], {"SQNR": 20.0 + 1e-12})
    saved(qtbot, table, lambda: choose(table.menu.menu(), "CSV"))
    rows = read((tmp_path / "Size and error.csv").read_text())
    assert float(rows[1][1]) == 20.0 + 1e-12
    assert rows[2] == ["Source size", "77 B"]
    QTest.keyClick(table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == "SQNR\t20.00 dB\nSource size\t77 B"


def test_the_window_hands_on_what_its_exporter_says(qtbot: QtBot, settings: Settings) -> None:
    window = QWidget()
    qtbot.addWidget(window)
    exporter = Exporter(settings, window)
    inner = QWidget(window)
    assert exporter_of(inner) is exporter


def test_a_table_is_sorted_by_its_menu_and_sorted_back(table: Table) -> None:
    for order in (["-4.0 %", "0.0 %", "0.3 %"], ["0.3 %", "0.0 %", "-4.0 %"]):
        by = next(
            action.menu() for action in table.menu.menu().actions() if "Sort by" in action.text().replace("&", "")
        )
        assert isinstance(by, QMenu)
        choose(by, "Share")
        assert [table.model().index(row, 1).data() for row in range(3)] == order
