"""The tree over thousands of tensors: what is done in a worker, what is not done at all, and that the answers are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from PySide6.QtCore import QModelIndex, Qt
from pytestqt.modeltest import ModelTester
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint, Kind, TensorInfo
from qtquant_app.core.errors import UsageError
from qtquant_app.core.patterns import compiled
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models import tensor_tree
from qtquant_app.gui.models.tensor_tree import Column, TensorTree
from qtquant_app.gui.widgets.layer_panel import LayerPanel
from tests.gui.inspect_samples import checkpoint, plan_for, tensor

BLOCKS, EXPERTS = 12, 40
PROJECTIONS = ("gate_proj", "up_proj", "down_proj")
ONE = "model.layers.3.mlp.experts.7.up_proj.weight"


def many() -> list[TensorInfo]:
    """2,880 matrices of experts and scales, the last blocks first."""
    return [
        tensor(f"model.layers.{block}.mlp.experts.{expert}.{name}.{leaf}", kind=Kind.EXPERT)
        for block in reversed(range(BLOCKS))
        for expert in range(EXPERTS)
        for name in PROJECTIONS
        for leaf in ("weight", "weight_scale_inv")
    ]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done for tens of thousands is done for hundreds here."""
    monkeypatch.setattr(tensor_tree, "AT_ONCE", 500)
    monkeypatch.setattr(tensor_tree, "FETCHED", 50)


@pytest.fixture
def model(qtbot: QtBot) -> TensorTree:
    found = TensorTree()
    with qtbot.waitSignal(found.ready):
        found.set_tensors(many())
    return found


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[LayerPanel]:
    found = LayerPanel()
    qtbot.addWidget(found)
    found.resize(400, 500)
    found.show()
    with qtbot.waitSignal(found.ready):
        found.set_checkpoint(of(many()))
    yield found


def of(tensors: list[TensorInfo]) -> Checkpoint:
    small = checkpoint()
    return Checkpoint(small.root, small.path, "many", tuple(tensors), ("model.safetensors",))


def shown(model: TensorTree) -> list[str]:
    """The names of all tensors in the tree, top down, stacks not opened."""

    def below(parent: QModelIndex) -> Iterator[str]:
        while model.canFetchMore(parent):
            model.fetchMore(parent)
        for row in range(model.rowCount(parent)):
            index = model.index(row, 0, parent)
            if model.tensor(index) is None:
                yield from below(index)
            else:
                yield model.name(index)

    return list(below(QModelIndex()))


def rows_made(model: TensorTree) -> int:
    return len(model._outline.nodes)


def words(text: str) -> Callable[[str], bool]:
    return lambda name: all(word in name.lower() for word in text.lower().split())


REFERENCE: dict[str, Callable[[str], bool]] = {
    "experts.1 up": words("experts.1 up"),
    "SCALE": words("scale"),
    " up_proj  layers.3. ": words("up_proj layers.3."),
    "*.experts.?.up_proj": lambda name: compiled("*.experts.?.up_proj").fullmatch(name.rpartition(".")[0]) is not None,
    "re:experts\\.1[13]\\.": lambda name: compiled("re:experts\\.1[13]\\.").search(name) is not None,
    "nothing like it": lambda name: False,
    "": lambda name: True,
}


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("text", REFERENCE)
def test_a_worker_leaves_the_tensors_that_asking_each_one_leaves(
    qtbot: QtBot, model: TensorTree, text: str, flat: bool
) -> None:
    if text or flat:
        with qtbot.waitSignal(model.ready):
            model.set_filter(text, flat=flat)
    wanted = [info.name for info in many() if REFERENCE[text](info.name)]
    assert sorted(shown(model)) == sorted(wanted)
    assert model.matching == len(wanted)


def test_many_tensors_are_listed_in_a_worker(qtbot: QtBot) -> None:
    model = TensorTree()
    model.set_tensors(many())
    assert (model.total, model.coming, model.busy) == (0, len(many()), True)
    qtbot.waitSignal(model.ready).wait()
    assert (model.total, model.busy) == (len(many()), False)


def test_few_tensors_are_listed_at_once(qtbot: QtBot) -> None:
    model = TensorTree()
    model.set_tensors(checkpoint().tensors)
    assert model.total == len(checkpoint().tensors)
    assert not model.busy


def test_blocks_are_in_order_whatever_the_order_of_the_files(model: TensorTree) -> None:
    assert [model.index(row, 0).data() for row in range(model.rowCount())] == [
        f"model.layers.{block}" for block in range(BLOCKS)
    ]


def test_closed_blocks_have_no_rows_made(model: TensorTree) -> None:
    for row in range(model.rowCount()):
        assert model.hasChildren(model.index(row, 0))
        for column in Column:
            model.index(row, column).data()
    assert rows_made(model) == 1 + BLOCKS


def test_a_plan_errors_and_a_filter_make_no_rows(qtbot: QtBot, model: TensorTree) -> None:
    model.set_plan(plan_for(of(many())))
    model.add_errors([(info.name, Scheme(), ErrorSums(100, 1.0, 100.0, 100.0, 1.0)) for info in many()])
    with qtbot.waitSignal(model.ready):
        model.set_filter("scale")
    assert rows_made(model) == 1 + BLOCKS
    assert model.index(0, Column.SQNR).data() == "20.00 dB"


def test_an_error_is_summed_up_again_only_above_its_tensor(model: TensorTree) -> None:
    model.set_plan(plan_for(of(many())))
    before = [model.index(row, Column.SCHEME).data() for row in range(BLOCKS)]
    model.add_errors([(ONE, Scheme(), ErrorSums(100, 1.0, 100.0, 100.0, 1.0))])
    summed = [node.facts is not None for node in model._outline.root.children or ()]
    assert summed == [block != 3 for block in range(BLOCKS)]
    assert [model.index(row, Column.SCHEME).data() for row in range(BLOCKS)] == before
    assert [bool(model.index(row, Column.SQNR).data()) for row in range(BLOCKS)] == [b == 3 for b in range(BLOCKS)]


def test_the_newest_filter_wins_and_is_the_only_one_shown(qtbot: QtBot, model: TensorTree) -> None:
    answers: list[str] = []
    model.ready.connect(lambda: answers.append(model.text))
    for text in ("e", "ex", "experts.1", "experts.12"):
        model.set_filter(text)
    qtbot.waitUntil(lambda: not model.busy)
    assert answers == ["experts.12"]


def test_a_filter_typed_while_the_tensors_are_listed_is_the_one_answered(qtbot: QtBot) -> None:
    model = TensorTree()
    model.set_tensors(many())
    with qtbot.waitSignal(model.ready):
        model.set_filter("experts.7.up")
    assert model.total == len(many())
    assert model.matching == 2 * BLOCKS


def test_a_checkpoint_that_was_left_does_not_come_back(qtbot: QtBot) -> None:
    model = TensorTree()
    model.set_tensors(many())
    model.set_tensors(checkpoint().tensors)
    qtbot.waitUntil(lambda: not model.busy)
    assert model.total == len(checkpoint().tensors)


def test_a_malformed_expression_is_refused_before_any_work(model: TensorTree) -> None:
    with pytest.raises(UsageError):
        model.set_filter("re:(")
    assert not model.busy


@pytest.mark.parametrize("flat", [False, True])
def test_rows_that_are_told_of_bit_by_bit_make_a_sound_model(
    qtbot: QtBot, model: TensorTree, qtmodeltester: ModelTester, flat: bool
) -> None:
    with qtbot.waitSignal(model.ready):
        model.set_filter("experts.1", flat=flat)
    qtmodeltester.check(model, force_py=True)


def test_a_flat_list_tells_of_its_first_rows_and_of_one_that_is_asked_for(qtbot: QtBot, model: TensorTree) -> None:
    with qtbot.waitSignal(model.ready):
        model.set_filter("", flat=True)
    assert model.rowCount() == 50
    last = f"model.layers.{BLOCKS - 1}.mlp.experts.{EXPERTS - 1}.up_proj.weight_scale_inv"
    assert model.name(model.index_of(last)) == last
    assert model.rowCount() == len(many())


def test_a_flat_list_is_sorted_over_all_of_it(qtbot: QtBot) -> None:
    model = TensorTree()
    sizes = [(at * 7919) % 1000 + 1 for at in range(1000)]
    with qtbot.waitSignal(model.ready):
        model.set_tensors([tensor(f"layer{at}.weight", (size, 8)) for at, size in enumerate(sizes)])
    with qtbot.waitSignal(model.ready):
        model.set_filter("", flat=True)
    with qtbot.waitSignal(model.ready):
        model.sort(Column.BYTES, Qt.SortOrder.DescendingOrder)
    assert [row[Column.BYTES] for row in model.exported_list()] == [16 * size for size in sorted(sizes, reverse=True)]


def test_names_that_only_look_alike_keep_their_rows(qtbot: QtBot) -> None:
    names = [
        "a.1.b.w",
        "a.01.a.w",
        "a.1.c.w",
        "a\0.1.w",
        "a.1",
        "a.1.w",
        "a..w",
        "",
        "a.1.b",
        "a.\u0661.x",
        "b.12345678901.w",
    ]
    model = TensorTree()
    model.set_tensors([tensor(name) for name in names])
    assert sorted(shown(model)) == sorted(names)
    assert all(model.name(model.index_of(name)) == name for name in names)


def test_the_choice_outlasts_a_filter_at_size(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.tree.setCurrentIndex(panel.model.index_of(ONE))
    said: list[object] = []
    panel.chosen.connect(said.append)
    panel.selection_chosen.connect(said.append)
    for text in ("experts.7.", "scale", ""):
        with qtbot.waitSignal(panel.ready):
            panel.filter_edit.setText(text)
        current = panel.model.name(panel.tree.currentIndex())
        assert current == ("" if text == "scale" else ONE)
    assert said == []
    assert panel.names == (ONE,)


def test_the_panel_says_what_it_waits_for(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.set_checkpoint(of(many()))
    assert panel.footer.text() == "Listing 2,880 tensors \N{HORIZONTAL ELLIPSIS}"
    qtbot.waitSignal(panel.ready).wait()
    assert panel.footer.text() == "2,880 tensors"
    assert panel.kind_combo.itemText(1) == "expert (2,880)"
