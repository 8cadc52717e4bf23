"""Choosing many tensors at once: by kind, by place, by blocks, by error; and what the tree and a rule make of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QModelIndex, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint, Kind
from qtquant_app.core.choosing import Wish
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import ErrorSums
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.models import tensor_tree
from qtquant_app.gui.pages import inspect
from qtquant_app.gui.pages.inspect import InspectPage
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets import layer_tree
from qtquant_app.gui.widgets.export_menu import Entry
from qtquant_app.gui.widgets.layer_panel import LayerPanel
from tests.gui.inspect_samples import LINEARS, ScriptedVerbs, checkpoint, plan_for, tensor

BLOCKS = 12
DOWN = "model.layers.{}.mlp.down_proj.weight"
ALL_DOWN = tuple(DOWN.format(block) for block in range(BLOCKS))
SCHEME = Scheme(bits=8, group_size=64)


@pytest.fixture
def panel(qtbot: QtBot) -> Iterator[LayerPanel]:
    found = LayerPanel()
    qtbot.addWidget(found)
    found.set_checkpoint(checkpoint(BLOCKS))
    found.model.set_plan(plan_for(checkpoint(BLOCKS)))
    found.resize(500, 600)
    found.show()
    yield found
    found.choose_button.popup.close()


def choose(qtbot: QtBot, panel: LayerPanel, wish: Wish) -> tuple[str, ...]:
    with qtbot.waitSignal(panel.choose_button.chosen):
        panel.choose_button.wish(wish)
    return panel.names


def lines(panel: LayerPanel) -> dict[str, Entry]:
    return {entry.text.replace("&", ""): entry for entry in panel.choose_button.entries() if entry}


def selected(panel: LayerPanel) -> set[str]:
    return {panel.model.name(index) or index.data() for index in panel.tree.selectionModel().selectedRows()}


def marked(panel: LayerPanel) -> set[str]:
    """The tensors that look chosen, wherever they stand."""

    def below(parent: QModelIndex) -> Iterator[str]:
        while panel.model.canFetchMore(parent):
            panel.model.fetchMore(parent)
        for row in range(panel.model.rowCount(parent)):
            index = panel.model.index(row, 0, parent)
            if panel.model.tensor(index) is not None and panel.tree.is_marked(index):
                yield panel.model.name(index)
            yield from below(index)

    return set(below(QModelIndex()))


def test_the_same_place_in_every_block_is_chosen_and_comes_into_sight(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.choose(DOWN.format(3))
    entry = lines(panel)["The same place in every block: mlp.down_proj"]
    assert entry.do is not None
    with qtbot.waitSignal(panel.choose_button.chosen):
        entry.do()
    assert panel.names == ALL_DOWN and selected(panel) == marked(panel) == set(ALL_DOWN)
    assert all(panel.tree.isExpanded(panel.model.index_of(name).parent()) for name in ALL_DOWN)
    assert panel.model.name(panel.tree.currentIndex()) == DOWN.format(3), "what is looked at is one of them and stays"
    assert f"{BLOCKS} chosen" in panel.footer.text()


def test_whole_blocks_are_chosen_as_blocks(qtbot: QtBot, panel: LayerPanel) -> None:
    names = choose(qtbot, panel, Wish(blocks=(2, 4)))
    assert len(names) == 3 * len(LINEARS)
    assert selected(panel) >= {"model.layers.2", "model.layers.3", "model.layers.4"}
    assert len(selected(panel)) == 4, "and the one that is looked at"


def test_the_first_is_looked_at_where_none_of_them_was(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.choose(DOWN.format(0))
    looked: list[str] = []
    panel.chosen.connect(looked.append)
    choose(qtbot, panel, Wish(place="mlp.down_proj", blocks=(5, 6)))
    assert looked == [DOWN.format(5)]


def test_a_choice_by_error_takes_the_worst_first_and_needs_figures(qtbot: QtBot, panel: LayerPanel) -> None:
    assert lines(panel)["By error: none is known, scan the whole model"].do is None
    scheme = plan_for(checkpoint(BLOCKS)).recipe.default
    panel.model.add_errors((name, scheme, ErrorSums(10, 1.0, 10.0 + at, 1, 1)) for at, name in enumerate(ALL_DOWN))
    assert lines(panel)["By error…"].do is not None
    assert choose(qtbot, panel, Wish(worst=3)) == ALL_DOWN[:3]
    assert choose(qtbot, panel, Wish(worst=3, blocks=(2, 9))) == ALL_DOWN[2:5]
    assert choose(qtbot, panel, Wish(below=11.5)) == ALL_DOWN[:5]


def test_the_menu_says_why_it_can_do_nothing(panel: LayerPanel) -> None:
    assert "look at a tensor first" in next(iter(lines(panel)))
    panel.choose("model.norm.weight")
    assert "never quantized" in next(iter(lines(panel)))
    panel.choose("lm_head.weight")
    assert lines(panel)["The same place in every block: it is in none"].do is None
    assert lines(panel)["All of this kind: head"].do is not None


def test_a_choice_of_nothing_is_told_and_leaves_what_was_chosen(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.choose(DOWN.format(1))
    with qtbot.waitSignal(panel.choose_button.failed):
        panel.choose_button.wish(Wish(place="mlp.nothing"))
    assert "no 'mlp.nothing' in any block" in panel.footer.text() and panel.names == (DOWN.format(1),)
    with qtbot.waitSignal(panel.choose_button.failed):
        panel.choose_button.wish(Wish(kind="expert"))
    assert "nothing that can be quantized is like that" in panel.footer.text()


def test_the_sheet_asks_for_what_its_fields_say(qtbot: QtBot, panel: LayerPanel) -> None:
    popup = panel.choose_button.popup
    panel.choose_button.ask()
    qtbot.waitUntil(lambda: popup.which_combo.count() > 3)
    assert (popup.first.value(), popup.last.value()) == (0, BLOCKS - 1) and popup.wish == Wish()
    assert not popup.error_combo.isEnabled() and "No error is known" in popup.note.text()
    popup.last.setValue(2)
    popup.first.setValue(4)
    assert (popup.first.value(), popup.last.value()) == (4, 4), "a range is never the wrong way round"
    popup.last.setValue(5)
    popup.which_combo.setCurrentIndex(popup.which_combo.findText("mlp.down_proj (12)"))
    assert popup.wish == Wish(place="mlp.down_proj", blocks=(4, 5))
    popup.set_errors_known(True)
    popup.ask_error()
    popup.count.setValue(7)
    assert popup.wish.worst == 7 and popup.wish.below is None
    popup.error_combo.setCurrentIndex(2)
    assert popup.wish.below == popup.limit.value() and popup.wish.worst is None
    popup.error_combo.setCurrentIndex(0)
    with qtbot.waitSignal(panel.choose_button.chosen):
        qtbot.mouseClick(popup.choose_button, Qt.MouseButton.LeftButton)
    assert panel.names == ALL_DOWN[4:6] and not popup.isVisible()


def test_another_checkpoint_is_surveyed_anew(qtbot: QtBot, panel: LayerPanel) -> None:
    panel.choose_button.ask()
    qtbot.waitUntil(lambda: panel.choose_button.popup.last.value() == BLOCKS - 1)
    panel.set_checkpoint(checkpoint(3))
    panel.choose_button.ask()
    qtbot.waitUntil(lambda: panel.choose_button.popup.last.value() == 2)
    panel.set_checkpoint(None)
    assert not panel.choose_button.isEnabled() and not panel.choose_button.popup.isVisible()


def test_the_tree_s_own_menu_has_the_same_lines(panel: LayerPanel) -> None:
    panel.choose(DOWN.format(0))
    texts = [action.text().replace("&", "") for action in panel.tree.menu.menu().actions()]
    assert set(lines(panel)) < set(texts)


def test_a_filter_leaves_a_choice_as_it_is(qtbot: QtBot, panel: LayerPanel) -> None:
    choose(qtbot, panel, Wish(place="mlp.*"))
    names = panel.names
    panel.model.set_filter("down_proj")
    assert panel.names == names and marked(panel) == set(ALL_DOWN)
    panel.model.set_filter("")
    assert marked(panel) == set(names)


def test_a_click_ends_a_choice_and_a_ctrl_click_adds_to_it(qtbot: QtBot, panel: LayerPanel) -> None:
    choose(qtbot, panel, Wish(place="mlp.down_proj"))
    other = "model.layers.0.self_attn.q_proj.weight"

    def click(name: str, modifier: Qt.KeyboardModifier) -> None:
        index = panel.model.index_of(name)
        panel.tree.scrollTo(index)
        place = panel.tree.visualRect(index).center()
        qtbot.mouseClick(panel.tree.viewport(), Qt.MouseButton.LeftButton, modifier, place)

    click(other, Qt.KeyboardModifier.ControlModifier)
    assert set(panel.names) == {*ALL_DOWN, other} and marked(panel) == {*ALL_DOWN, other}
    click(other, Qt.KeyboardModifier.NoModifier)
    assert panel.names == (other,) and marked(panel) == set()


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    """Experts by the hundred; what is done for tens of thousands is done for them."""
    monkeypatch.setattr(tensor_tree, "AT_ONCE", 100)
    monkeypatch.setattr(tensor_tree, "FETCHED", 30)
    monkeypatch.setattr(layer_tree, "SELECTED_UP_TO", 5)
    monkeypatch.setattr(layer_tree, "OPENED_UP_TO", 20)
    monkeypatch.setattr(inspect, "AT_ONCE", 100)
    monkeypatch.setattr(inspect, "LOOKED_AT", 50)
    names = ("gate_proj", "up_proj", "down_proj")
    small = checkpoint()
    tensors = tuple(
        tensor(f"model.layers.{block}.mlp.experts.{expert}.{name}.weight", kind=Kind.EXPERT)
        for block in range(4)
        for expert in range(40)
        for name in names
    )
    return Checkpoint(small.root, small.path, "many", tensors, small.weight_files)


@pytest.mark.parametrize("flat", [False, True])
def test_of_a_long_choice_all_rows_look_chosen_and_few_are_made(
    qtbot: QtBot, panel: LayerPanel, many: Checkpoint, flat: bool
) -> None:
    with qtbot.waitSignal(panel.ready):
        panel.set_checkpoint(many)
    if flat:
        with qtbot.waitSignal(panel.model.ready):
            panel.flat_check.setChecked(True)
    names = choose(qtbot, panel, Wish(place="mlp.experts.*.up_proj"))
    assert len(names) == 160 and len(panel.tree.selectionModel().selectedRows()) <= 6
    assert flat or len(panel.model._outline.nodes) < 200 < 4 * 40 * 3
    assert marked(panel) == set(names)


def test_one_rule_is_written_for_thousands_in_a_worker(qtbot: QtBot, qapp: QApplication, many: Checkpoint) -> None:
    session = Session(ScriptedVerbs())
    page = InspectPage(session)
    qtbot.addWidget(page)
    page.show()
    with qtbot.waitSignal(page.layers.ready):
        session._take(many)
    choose(qtbot, page.layers, Wish(place="mlp.experts.*.up_proj"))
    assert page.panel.rule_button.isEnabled() and "160 tensors" in page.panel.rule_button.toolTip()
    with qtbot.waitSignal(session.recipe_changed):
        page.panel.for_layer.emit(SCHEME)
        assert not session.recipe.rules, "not while the window waits"
    assert session.recipe.rules == (Rule("*.up_proj", SCHEME),)


def test_a_rule_that_comes_too_late_is_told_and_not_taken(qtbot: QtBot, many: Checkpoint) -> None:
    session = Session(ScriptedVerbs())
    page = InspectPage(session)
    qtbot.addWidget(page)
    with qtbot.waitSignal(page.layers.ready):
        session._take(many)
    choose(qtbot, page.layers, Wish(blocks=(1, 1)))
    other = Recipe(Scheme(bits=2))
    with qtbot.waitSignal(session.message, check_params_cb=lambda text, _: "changed meanwhile" in text):
        page.panel.for_layer.emit(SCHEME)
        session.set_recipe(other)
    assert session.recipe == other
