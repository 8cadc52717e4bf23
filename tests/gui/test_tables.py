"""Tables: rows, sorting, copying, and batches of results."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qtquant_app.core.events import TensorDone, Verified
from qtquant_app.core.plan import Plan
from qtquant_app.core.quantities import NOTHING
from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.plan_table import PLAN_COLUMNS
from qtquant_app.gui.models.rows import Column, RowsModel
from qtquant_app.gui.models.run_tensors import RunTensors
from qtquant_app.gui.widgets.table import Table
from tests.gui.inspect_samples import checkpoint, plan_for

WORDS = (
    Column("Word", lambda r: r[0], lambda r: r[0]),
    Column("Count", lambda r: f"{r[1]:,}", lambda r: r[1], "8,888", True),
)
ROWS = [("pear", 3), ("<b>fig</b>", 1000), ("apple & co", 20)]


@pytest.fixture
def words(qtbot: QtBot) -> RowsModel:
    model = RowsModel(WORDS)
    model.set_rows(ROWS)
    return model


@pytest.fixture
def plan() -> Plan:
    return plan_for(checkpoint(4))


def column(model: RowsModel, at: int) -> list[str]:
    return [model.index(row, at).data() for row in range(model.rowCount())]


def done(name: str, error: float, kind: type[TensorDone] | type[Verified] = TensorDone) -> TensorDone | Verified:
    return kind(TensorReport(name, Scheme(), 77, ErrorSums(10, error, 1.0, 1.0, 0.5)))


def test_rows_sort_by_value_and_not_by_text(words: RowsModel) -> None:
    words.sort(1, Qt.SortOrder.DescendingOrder)
    assert column(words, 1) == ["1,000", "20", "3"]
    words.sort(-1)
    assert column(words, 0) == [word for word, _ in ROWS]


def test_new_rows_keep_the_sorting(words: RowsModel) -> None:
    words.sort(1)
    words.set_rows([("z", 9), ("a", 5)])
    assert column(words, 0) == ["a", "z"]


def test_a_held_index_follows_its_row(words: RowsModel) -> None:
    from PySide6.QtCore import QPersistentModelIndex

    held = QPersistentModelIndex(words.index(0, 0))
    words.sort(0)
    assert held.data() == "pear"


def test_numbers_stand_at_the_right_and_tooltips_are_no_markup(words: RowsModel) -> None:
    alignment = words.data(words.index(0, 1), Qt.ItemDataRole.TextAlignmentRole)
    assert alignment & Qt.AlignmentFlag.AlignRight
    assert words.data(words.index(0, 0), Qt.ItemDataRole.TextAlignmentRole) is None
    assert words.data(words.index(1, 0), Qt.ItemDataRole.ToolTipRole) == "<qt>&lt;b&gt;fig&lt;/b&gt;</qt>"


def test_the_models_keep_qts_rules(words: RowsModel, plan: Plan, qtmodeltester: ModelTester) -> None:
    qtmodeltester.check(words)
    jobs = RunTensors()
    jobs.set_plan(plan)
    qtmodeltester.check(jobs)


def test_chosen_rows_are_copied_with_tabs_and_all_where_none_is_chosen(qtbot: QtBot, words: RowsModel) -> None:
    table = Table(words, "words", "Words")
    qtbot.addWidget(table)
    table.copy_rows()
    assert QGuiApplication.clipboard().text().splitlines()[1:] == ["pear\t3", "<b>fig</b>\t1,000", "apple & co\t20"]
    table.selectRow(2)
    table.copy_rows()
    assert QGuiApplication.clipboard().text() == "Word\tCount\napple & co\t20\n"


def test_a_click_on_a_title_sorts(qtbot: QtBot, words: RowsModel) -> None:
    table = Table(words, "words", "Words")
    qtbot.addWidget(table)
    table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    assert column(words, 0)[0] == "<b>fig</b>"


def test_the_first_column_takes_the_room_there_is(qtbot: QtBot, words: RowsModel) -> None:
    table = Table(words, "words", "Words")
    qtbot.addWidget(table)
    table.resize(600, 200)
    table.show()
    assert table.columnWidth(0) + table.columnWidth(1) == table.viewport().width()


def test_a_job_table_starts_with_every_tensor_to_quantize_and_no_error(plan: Plan) -> None:
    table = RunTensors()
    table.set_plan(plan)
    assert column(table, 0) == [tensor.name for tensor in plan.quantized]
    assert set(column(table, 4)) == {NOTHING}
    assert table.finished == 0


def test_a_batch_costs_one_change_that_covers_its_rows(plan: Plan) -> None:
    table = RunTensors()
    table.set_plan(plan)
    changes: list[tuple[int, int]] = []
    table.dataChanged.connect(lambda first, last, roles: changes.append((first.row(), last.row())))
    names = [tensor.name for tensor in plan.quantized]
    table.add([done(names[2], 0.01), done(names[5], 0.04), done("a stranger", 1)])
    assert changes == [(2, 5)]
    assert column(table, 4)[2] == "20.00 dB"
    assert column(table, 5)[5] == "20.00 %"
    assert column(table, 6)[2] == NOTHING
    table.add([done(names[2], 0.01, Verified)])
    assert column(table, 6)[2] == "\u2713 verified"
    assert table.finished == 2


def test_an_exact_tensor_and_a_hopeless_one_both_show(plan: Plan) -> None:
    table = RunTensors()
    table.set_plan(plan)
    names = [tensor.name for tensor in plan.quantized]
    table.add([done(names[0], 0.0)])
    assert column(table, 4)[0] == "lossless"
    table.sort(4, Qt.SortOrder.DescendingOrder)
    assert column(table, 0)[0] == names[0]


def test_twenty_thousand_tensors_are_no_burden(qtbot: QtBot, plan: Plan) -> None:
    many = tuple(replace(plan.quantized[0], name=f"layer.{i}.weight") for i in range(20_000))
    table = RunTensors()
    started = time.perf_counter()
    table.set_plan(replace(plan, tensors=many))
    table.add([done(f"layer.{i}.weight", 0.01) for i in range(0, 20_000, 100)])
    view = Table(table, "jobs", "Jobs")
    qtbot.addWidget(view)
    view.show()
    assert time.perf_counter() - started < 1.0


def test_the_plan_table_says_what_becomes_of_each_tensor(qtbot: QtBot, plan: Plan) -> None:
    model = RowsModel(PLAN_COLUMNS)
    model.set_rows(plan.tensors)
    becomes = dict(zip(column(model, 0), column(model, 2), strict=True))
    assert becomes["model.norm.weight"] == "keep"
    assert becomes["model.layers.0.mlp.down_proj.weight"] == "W4 g128 sym"
    assert not model.rowCount(model.index(0, 0))
    assert model.data(QModelIndex()) is None
