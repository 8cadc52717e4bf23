"""Parts of stacks, flags, and choosing many rows of the layer tree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PySide6.QtCore import QItemSelectionModel, QModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.scan import Flag
from qtquant_app.gui.models.tensor_filter import ODD
from qtquant_app.gui.models.tensor_tree import Column, TensorTree
from qtquant_app.gui.widgets.layer_panel import LayerPanel
from tests.gui.inspect_samples import LAYER, LINEARS, OTHER_LAYER, checkpoint, plan_for, tensor

STACK = "model.layers.0.mlp.experts.gate_up_proj"
CONV = "visual.patch_embed.proj.weight"
SCALED = "model.layers.1.mlp.fp8_proj.weight"
SAMPLE = checkpoint()
WIDE = replace(
    SAMPLE,
    tensors=(
        *SAMPLE.tensors,
        tensor(STACK, (8, 32, 16), Kind.EXPERT),
        tensor(CONV, (32, 3, 14, 14), Kind.CONV),
        replace(tensor(SCALED), dtype="F8_E4M3"),
    ),
)
FLAGS = {LAYER: (Flag.DEAD_CHANNELS, Flag.OUTLIERS), OTHER_LAYER: (Flag.NON_FINITE,), "no.such": (Flag.CONSTANT,)}
Add = QItemSelectionModel.SelectionFlag.Select | QItemSelectionModel.SelectionFlag.Rows


@pytest.fixture
def panel(qtbot: QtBot) -> LayerPanel:
    found = LayerPanel()
    qtbot.addWidget(found)
    found.set_checkpoint(WIDE)
    found.model.set_plan(plan_for(WIDE))
    found.resize(500, 600)
    found.show()
    return found


@pytest.fixture
def model(panel: LayerPanel) -> TensorTree:
    return panel.model


def block(model: TensorTree, number: int) -> QModelIndex:
    labels = [model.index(row, 0).data() for row in range(model.rowCount())]
    return model.index(labels.index(f"model.layers.{number}"), 0)


def test_a_stack_of_experts_has_a_row_for_each(model: TensorTree, qtmodeltester: ModelTester) -> None:
    stack = model.index_of(STACK)
    assert model.hasChildren(stack)
    assert [model.index(row, 0, stack).data() for row in range(model.rowCount(stack))] == [f"[{n}]" for n in range(8)]
    part = model.index_of(f"{STACK}[3]")
    assert (model.name(part), part.parent()) == (f"{STACK}[3]", stack)
    assert part.siblingAtColumn(Column.SHAPE).data() == "32 \u00d7 16"
    assert part.siblingAtColumn(Column.BYTES).data() == "1.02 kB"
    qtmodeltester.check(model, force_py=True)


@pytest.mark.parametrize("name", [f"{STACK}[8]", f"{LAYER}[0]", "no.such[1]", "no.such", ""])
def test_what_is_not_there_has_no_row(model: TensorTree, name: str) -> None:
    assert not model.index_of(name).isValid()


def test_a_stack_of_one_is_its_own_only_part(qtbot: QtBot) -> None:
    model = TensorTree()
    model.set_tensors([tensor(STACK, (1, 32, 16), Kind.EXPERT)])
    assert model.index_of(f"{STACK}[0]") == model.index_of(STACK)
    assert not model.hasChildren(model.index_of(STACK))
    assert not model.index_of(f"{STACK}[1]").isValid()


def test_a_part_is_chosen_by_its_name(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.choose(f"{STACK}[3]")
    assert panel.model.name(panel.tree.currentIndex()) == f"{STACK}[3]"
    with qtbot.waitSignal(panel.chosen) as said:
        qtbot.keyClick(panel.tree, Qt.Key.Key_Down)
    assert said.args == [f"{STACK}[4]"]
    panel.filter_edit.setText("gate_up")
    qtbot.waitUntil(lambda: panel.model.matching == 1)
    assert panel.model.name(panel.tree.currentIndex()) == f"{STACK}[4]"


@pytest.mark.parametrize("name", [STACK, CONV, SCALED, "model.norm.weight", "model.embed_tokens.weight"])
def test_every_tensor_can_be_chosen_whatever_its_shape_and_type(qtbot: QtBot, panel: LayerPanel, name: str) -> None:
    with qtbot.waitSignal(panel.chosen) as said:
        panel.tree.setCurrentIndex(panel.model.index_of(name))
    assert said.args == [name]
    assert panel.names == (name,)


def test_several_rows_are_chosen_together_and_one_is_looked_at(panel: LayerPanel) -> None:
    looked_at: list[str] = []
    panel.chosen.connect(looked_at.append)
    panel.tree.setCurrentIndex(panel.model.index_of(LAYER))
    panel.tree.selectionModel().setCurrentIndex(panel.model.index_of(OTHER_LAYER), Add)
    assert looked_at == [LAYER, OTHER_LAYER]
    assert panel.names == (LAYER, OTHER_LAYER)
    assert panel.footer.text() == "102 tensors, 2 chosen"


def test_a_block_stands_for_what_can_be_quantized_below_it(qtbot: QtBot, panel: LayerPanel) -> None:
    with qtbot.waitSignal(panel.selection_chosen) as said:
        panel.tree.setCurrentIndex(block(panel.model, 1))
    assert sorted(said.args[0]) == sorted(f"model.layers.1.{linear}.weight" for linear in LINEARS)
    panel.tree.selectionModel().select(panel.model.index_of(OTHER_LAYER), Add)
    assert len(panel.names) == len(LINEARS)


def test_a_block_stands_only_for_what_the_filter_leaves(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.filter_edit.setText("q_proj")
    qtbot.waitUntil(lambda: panel.model.matching == 12)
    panel.tree.setCurrentIndex(block(panel.model, 1))
    assert panel.names == ("model.layers.1.self_attn.q_proj.weight",)


def test_a_choice_of_many_outlasts_filters_and_sorting(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.tree.setCurrentIndex(block(panel.model, 1))
    panel.tree.selectionModel().setCurrentIndex(panel.model.index_of(LAYER), Add)
    before = panel.names
    said: list[object] = []
    panel.selection_chosen.connect(said.append)
    panel.filter_edit.setText("q_proj")
    qtbot.waitUntil(lambda: panel.model.matching == 12)
    panel.tree.sortByColumn(Column.BYTES, Qt.SortOrder.DescendingOrder)
    panel.filter_edit.clear()
    qtbot.waitUntil(lambda: panel.model.matching == panel.model.total)
    rows = {panel.model.name(index) or index.data() for index in panel.tree.selectionModel().selectedRows()}
    assert (rows, said, panel.names) == ({"model.layers.1", LAYER}, [], before)


def test_another_checkpoint_takes_the_choice_away(panel: LayerPanel) -> None:
    panel.tree.setCurrentIndex(panel.model.index_of(LAYER))
    panel.set_checkpoint(checkpoint())
    assert panel.names == ()
    assert not panel.tree.currentIndex().isValid()


def test_flags_are_words_and_blocks_count_them(panel: LayerPanel) -> None:
    assert panel.tree.isColumnHidden(Column.FLAGS)
    model = panel.model
    model.set_flags(FLAGS)
    assert not panel.tree.isColumnHidden(Column.FLAGS)
    assert model.index_of(LAYER).siblingAtColumn(Column.FLAGS).data() == "\u26a0 dead channels, extreme outliers"
    assert block(model, 0).siblingAtColumn(Column.FLAGS).data() == "\u26a0 1 below"
    assert block(model, 2).siblingAtColumn(Column.FLAGS).data() == ""
    tip = model.index_of(LAYER).data(Qt.ItemDataRole.ToolTipRole)
    assert "dead channels" in tip
    assert "extreme outliers" in tip
    assert "1 odd tensor below" in block(model, 1).data(Qt.ItemDataRole.ToolTipRole)


def test_odd_tensors_can_be_listed_and_sorted(panel: LayerPanel) -> None:
    assert panel.kind_combo.findData(ODD) < 0
    panel.model.set_flags(FLAGS)
    panel.kind_combo.setCurrentIndex(panel.kind_combo.findData(ODD))
    assert panel.kind_combo.currentText() == "Odd tensors (2)"
    panel.flat_check.setChecked(True)
    panel.tree.sortByColumn(Column.FLAGS, Qt.SortOrder.DescendingOrder)
    assert [row[0] for row in panel.table()[1]] == [LAYER, OTHER_LAYER]
    panel.model.set_flags({OTHER_LAYER: (Flag.CONSTANT,)})
    assert [row[0] for row in panel.table()[1]] == [OTHER_LAYER]
    panel.model.set_flags({})
    assert panel.model.matching == panel.model.total


def test_unflagged_rows_stay_last_in_either_order(panel: LayerPanel) -> None:
    panel.model.set_flags(FLAGS)
    panel.flat_check.setChecked(True)
    for order in Qt.SortOrder:
        panel.tree.sortByColumn(Column.FLAGS, order)
        assert {row[0] for row in list(panel.table()[1])[:2]} == {LAYER, OTHER_LAYER}


def test_the_table_has_the_rows_that_stand_open_with_plain_numbers(panel: LayerPanel) -> None:
    header, rows = panel.table()
    listed = list(rows)
    assert header[:4] == ("Name", "Flags", "Scheme", "SQNR (dB)")
    names = [row[0] for row in listed]
    assert "model.layers.0.mlp" in names
    assert "model.layers.1" in names
    assert OTHER_LAYER not in names
    assert listed[names.index(LAYER)] == (LAYER, "", "W4 g128 sym", None, 24576, "48x256", "linear", "BF16")


def test_several_rows_are_copied_as_a_table(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.tree.setCurrentIndex(panel.model.index_of(OTHER_LAYER))
    panel.tree.selectionModel().select(panel.model.index_of(LAYER), Add)
    qtbot.keyClick(panel.tree, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = [line.split("\t") for line in QGuiApplication.clipboard().text().splitlines()]
    assert [line[0] for line in lines] == ["Name", LAYER, OTHER_LAYER]
    assert lines[1][4] == "24576"


def test_a_cell_is_painted_with_the_words_of_the_model(qapp: QApplication, panel: LayerPanel) -> None:
    from PySide6.QtWidgets import QStyleOptionViewItem

    index = panel.model.index_of(LAYER).siblingAtColumn(Column.BYTES)
    option = QStyleOptionViewItem()
    panel.tree.itemDelegate().initStyleOption(option, index)
    assert option.text == "24.6 kB"  # type: ignore[attr-defined]
    assert option.displayAlignment & Qt.AlignmentFlag.AlignRight  # type: ignore[attr-defined]
