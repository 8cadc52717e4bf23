"""The tree of tensors and the panel around it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtGui import QGuiApplication
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.errors import UsageError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models.tensor_nodes import Node, Outline
from qtquant_app.gui.models.tensor_tree import Column, TensorTree
from qtquant_app.gui.widgets.layer_panel import LayerPanel
from tests.gui.inspect_samples import LAYER, LINEARS, NORM, OTHER_LAYER, checkpoint, plan_for, tensor

Descending, Ascending = Qt.SortOrder.DescendingOrder, Qt.SortOrder.AscendingOrder


def errors(square_error: float) -> ErrorSums:
    return ErrorSums(100, square_error, 100.0, 100.0, 1.0)


def special(bits: int) -> Recipe:
    return Recipe(rules=(Rule(LAYER.removesuffix(".weight"), Scheme(bits=bits)),))


def labels(model: TensorTree, parent: QModelIndex | None = None, column: Column = Column.NAME) -> list[str]:
    above = parent or QModelIndex()
    return [model.index(row, column, above).data() for row in range(model.rowCount(above))]


def every(outline: Outline, node: Node | None = None) -> Iterator[Node]:
    """All rows, each before those below it."""
    for child in outline.children(node or outline.root):
        yield child
        yield from every(outline, child)


def all_labels(outline: Outline) -> list[str]:
    return [node.label for node in every(outline)]


@pytest.fixture
def model(qtbot: QtBot) -> TensorTree:
    found = TensorTree()
    found.set_tensors(checkpoint().tensors)
    return found


@pytest.fixture
def panel(qtbot: QtBot) -> LayerPanel:
    found = LayerPanel()
    qtbot.addWidget(found)
    found.set_checkpoint(checkpoint())
    found.resize(400, 500)
    found.show()
    return found


def filtered(qtbot: QtBot, panel: LayerPanel, text: str) -> None:
    panel.filter_edit.setText(text)
    qtbot.waitUntil(lambda: not panel._timer.isActive())


@pytest.mark.parametrize("flat", [False, True])
def test_it_is_a_sound_qt_model(model: TensorTree, qtmodeltester: ModelTester, flat: bool) -> None:
    model.set_filter("proj", flat=flat)
    qtmodeltester.check(model, force_py=True)
    model.sort(Column.BYTES, Descending)
    model.set_filter("q_proj")


def test_blocks_come_first_and_count_in_order(model: TensorTree) -> None:
    blocks = [f"model.layers.{block}" for block in range(12)]
    assert labels(model) == ["lm_head", "model.embed_tokens", *blocks, "model.norm"]


def test_modules_group_the_tensors_of_a_block(model: TensorTree) -> None:
    block = model.index(2, 0)
    assert labels(model, block) == ["input_layernorm", "mlp", "post_attention_layernorm", "self_attn"]
    assert labels(model, model.index(1, 0, block)) == ["down_proj", "gate_proj"]


def test_experts_lie_one_below_the_other() -> None:
    outline = Outline([tensor(f"model.layers.0.mlp.experts.{n}.up_proj.weight") for n in (10, 2)])
    assert all_labels(outline) == [
        "model.layers.0",
        "mlp",
        "experts",
        "2",
        "up_proj",
        "10",
        "up_proj",
    ]


def test_a_bias_says_so_and_a_weight_need_not() -> None:
    prefix = "model.layers.0.self_attn.q_proj"
    outline = Outline([tensor(f"{prefix}.bias"), tensor(f"{prefix}.weight")])
    assert all_labels(outline)[2:] == ["q_proj.bias", "q_proj"]


def test_a_name_that_is_also_the_start_of_another_keeps_its_row() -> None:
    outline = Outline([tensor("a.0"), tensor("a.0.weight"), tensor("0.weight"), tensor("plain")])
    assert sorted(node.name for node in every(outline) if node.name) == ["0.weight", "a.0", "a.0.weight", "plain"]


def test_a_block_adds_up_its_bytes(model: TensorTree) -> None:
    linears = len(LINEARS) * 48 * 256 * 2
    assert model.exported(model.index(2, 0))[Column.BYTES] == linears + 2 * 256 * 2


def test_numbers_are_right_aligned_with_a_unit(model: TensorTree) -> None:
    index = model.index_of("lm_head.weight")
    cell = index.siblingAtColumn(Column.BYTES)
    assert cell.data() == "262 kB"
    assert cell.data(Qt.ItemDataRole.TextAlignmentRole) & Qt.AlignmentFlag.AlignRight
    assert index.siblingAtColumn(Column.SHAPE).data() == "512 \u00d7 256"


def test_the_plan_fills_in_the_schemes(model: TensorTree) -> None:
    found = checkpoint()
    model.set_plan(plan_for(found, special(8)))
    assert model.index_of(LAYER).siblingAtColumn(Column.SCHEME).data() == "W8 g128 sym"
    assert model.index_of(NORM).siblingAtColumn(Column.SCHEME).data() == "keep"
    assert labels(model, column=Column.SCHEME)[2:4] == ["mixed", "W4 g128 sym"]
    model.set_plan(None)
    assert model.index_of(LAYER).siblingAtColumn(Column.SCHEME).data() == ""


def test_an_error_is_shown_only_beside_the_scheme_it_was_measured_under(model: TensorTree) -> None:
    model.set_plan(plan_for(checkpoint()))
    model.add_errors([(LAYER, Scheme(bits=3), errors(1.0))])
    assert model.index_of(LAYER).siblingAtColumn(Column.SQNR).data() == ""
    model.add_errors([(LAYER, Scheme(), errors(1.0))])
    assert model.index_of(LAYER).siblingAtColumn(Column.SQNR).data() == "20.00 dB"
    model.set_plan(plan_for(checkpoint(), special(3)))
    assert model.index_of(LAYER).siblingAtColumn(Column.SQNR).data() == "20.00 dB"


def test_a_block_takes_the_errors_of_its_tensors_together(model: TensorTree) -> None:
    model.set_plan(plan_for(checkpoint()))
    names = [f"model.layers.0.{linear}.weight" for linear in LINEARS[:2]]
    model.add_errors([(names[0], Scheme(), errors(1.0)), (names[1], Scheme(), errors(3.0))])
    assert labels(model, column=Column.SQNR)[2] == "16.99 dB"


def test_a_batch_of_errors_is_one_signal(model: TensorTree, qtbot: QtBot) -> None:
    model.set_plan(plan_for(checkpoint()))
    seen: list[object] = []
    model.dataChanged.connect(lambda *range_: seen.append(range_))
    model.add_errors([(info.name, Scheme(), errors(1.0)) for info in checkpoint().tensors])
    assert len(seen) == 1


def test_sorting_by_error_puts_the_worst_first_and_the_unknown_last(model: TensorTree) -> None:
    model.set_plan(plan_for(checkpoint()))
    model.set_filter("", flat=True)
    model.add_errors([(LAYER, Scheme(), errors(1.0)), (OTHER_LAYER, Scheme(), errors(9.0))])
    model.sort(Column.SQNR, Ascending)
    assert labels(model)[:2] == [OTHER_LAYER, LAYER]
    model.sort(Column.SQNR, Descending)
    assert labels(model)[:2] == [LAYER, OTHER_LAYER]


@pytest.mark.parametrize(
    ("text", "matching"),
    [
        ("Q_PROJ", 12),
        ("layers.3. proj", len(LINEARS)),
        ("*.mlp.*", 24),
        ("*.layers.1?.self_attn.q_proj", 2),
        ("re:layers\\.[12]\\.mlp", 4),
        ("nothing like it", 0),
        ("  ", 99),
    ],
)
def test_a_filter_takes_words_globs_and_expressions(model: TensorTree, text: str, matching: int) -> None:
    model.set_filter(text)
    assert model.matching == matching


def test_a_kind_narrows_it_further(model: TensorTree) -> None:
    model.set_filter("layernorm", Kind.NORM)
    assert model.matching == 24
    model.set_filter("layernorm", Kind.LINEAR)
    assert model.matching == 0


def test_a_malformed_expression_is_refused_and_changes_nothing(model: TensorTree) -> None:
    with pytest.raises(UsageError):
        model.set_filter("re:(")
    assert model.matching == model.total


def test_a_name_cannot_pass_for_rich_text(model: TensorTree) -> None:
    model.set_tensors([tensor("<b>bold</b>.weight")])
    assert "&lt;b&gt;" in model.index(0, 0).data(Qt.ItemDataRole.ToolTipRole)


def test_the_first_block_stands_open(panel: LayerPanel) -> None:
    block = panel.model.index(2, 0)
    assert panel.tree.isExpanded(block)
    assert panel.tree.isExpanded(panel.model.index(1, 0, block))
    assert not panel.tree.isExpanded(panel.model.index(3, 0))


def test_choosing_a_row_names_its_tensor_once(qtbot: QtBot, panel: LayerPanel) -> None:
    seen: list[str] = []
    panel.chosen.connect(seen.append)
    panel.tree.setCurrentIndex(panel.model.index_of(LAYER))
    assert seen == [LAYER]


def test_a_choice_from_outside_is_shown_in_silence(qtbot: QtBot, panel: LayerPanel) -> None:
    seen: list[str] = []
    panel.chosen.connect(seen.append)
    panel.choose(LAYER)
    assert panel.model.tensor(panel.tree.currentIndex()) == panel.model.tensor(panel.model.index_of(LAYER))
    assert seen == []


def test_a_filter_opens_what_it_finds_and_keeps_the_choice(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.choose(LAYER)
    filtered(qtbot, panel, "q_proj")
    assert panel.tree.isExpanded(panel.model.index(0, 0))
    chosen = panel.model.tensor(panel.tree.currentIndex())
    assert chosen is not None
    assert chosen.name == LAYER
    assert panel.footer.text() == "12 of 99 tensors"


def test_taking_the_filter_away_comes_back_to_the_rows_that_were_open(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.tree.expand(panel.model.index(3, 0))
    filtered(qtbot, panel, "q_proj")
    qtbot.keyClick(panel.filter_edit, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: panel.model.matching == panel.model.total)
    opened = [row for row in range(panel.model.rowCount()) if panel.tree.isExpanded(panel.model.index(row, 0))]
    assert opened == [2, 3]


def test_a_filter_without_a_match_says_what_to_do(qtbot: QtBot, panel: LayerPanel) -> None:
    filtered(qtbot, panel, "nonsense")
    assert "Escape" in panel.footer.text()
    filtered(qtbot, panel, "re:(")
    assert "regular expression" in panel.footer.text()


def test_the_name_of_a_tensor_can_be_copied(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.choose(LAYER)
    qtbot.keyClick(panel.tree, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    assert QGuiApplication.clipboard().text() == LAYER


def test_kinds_are_offered_with_their_counts(panel: LayerPanel) -> None:
    offered = [panel.kind_combo.itemText(row) for row in range(panel.kind_combo.count())]
    assert offered == ["All kinds", "embedding (1)", "head (1)", "linear (72)", "norm (25)"]
