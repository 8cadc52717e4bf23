"""The remedies panel over the real engine: what it shows is measured, what it applies is a rule, and undo takes it back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.remedy import Remedy
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.engine.remedies import remedies
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.layer_rules import decided_by, scheme_for, with_layer_rule
from qtquant_app.gui.models.remedy_table import PART, scopes
from qtquant_app.gui.plots.remedy_plot import RemedyPlot, front
from qtquant_app.gui.session import Session
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.remedies_panel import NO_TENSOR, UPDATING, RemediesPanel
from qtquant_app.jobs.job import Work, stop_all
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import result
from tests.gui.inspect_samples import tensor

MODULE = "model.layers.1.mlp.down_proj"
LAYER, OTHER = f"{MODULE}.weight", "model.layers.0.self_attn.q_proj.weight"
W4 = Scheme(group_size=32)
COMPILE_MS = 60_000
"""The first pass on a machine compiles the kernels."""


class CountedVerbs(Verbs):
    """The engine, and what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Scheme, Place | None]] = []

    def remedies(self, checkpoint: Any, layer: str, scheme: Scheme, place: Place | None, format: str) -> Work:
        self.asked.append((layer, scheme, place))
        return super().remedies(checkpoint, layer, scheme, place, format)


@pytest.fixture
def verbs() -> CountedVerbs:
    return CountedVerbs()


@pytest.fixture
def session(qtbot: QtBot, tmp_path: Path, verbs: CountedVerbs) -> Iterator[Session]:
    found = Session(verbs)
    found.set_recipe(Recipe(default=W4))
    with qtbot.waitSignal(found.checkpoint_changed, timeout=COMPILE_MS):
        found.open(str(small_llama(tmp_path / "llama")))
    yield found
    stop_all()


@pytest.fixture
def inspection(session: Session) -> Inspection:
    return Inspection(W4)


@pytest.fixture
def panel(qtbot: QtBot, session: Session, inspection: Inspection) -> RemediesPanel:
    found = RemediesPanel(session, inspection)
    qtbot.addWidget(found)
    found.resize(300, 620)
    found.show()
    qtbot.waitExposed(found)
    return found


def measured(qtbot: QtBot, panel: RemediesPanel, part: str = LAYER) -> tuple[Remedy, ...]:
    panel._inspection.set_part(part)
    qtbot.waitUntil(lambda: not panel.stale and bool(panel.remedies), timeout=COMPILE_MS)
    return panel.remedies


def choose(panel: RemediesPanel, title: str) -> Remedy:
    number = next(at for at, remedy in enumerate(panel.remedies) if remedy.title == title)
    panel.select(number)
    return panel.remedies[number]


def expected(session: Session, scheme: Scheme, place: Place | None = None, part: str = LAYER) -> tuple[Remedy, ...]:
    assert session.checkpoint is not None
    return result(remedies(session.checkpoint, part, scheme, place, format=session.recipe.format))


def test_the_table_is_what_the_engine_measured(qtbot: QtBot, panel: RemediesPanel, session: Session) -> None:
    assert panel.table._empty.text() == NO_TENSOR
    found = measured(qtbot, panel)
    assert found == expected(session, W4)
    assert panel.model.index(0, 0).data() == "0 Now" and panel.model.index(0, 3).data() != ""
    assert set(panel.plot.points) == set(range(len(found) - 1)), "what loses nothing has no place on the scale"


def test_a_remedy_becomes_a_rule_and_undo_gives_the_recipe_back(
    qtbot: QtBot, panel: RemediesPanel, session: Session
) -> None:
    measured(qtbot, panel)
    before = session.recipe
    assert not panel.undo_button.isEnabled() and not panel.apply_button.isEnabled()
    remedy = choose(panel, "asymmetric")
    qtbot.mouseClick(panel.apply_button, Qt.MouseButton.LeftButton)
    assert session.recipe.rules == (Rule(MODULE, Scheme(group_size=32, symmetric=False)),)
    assert "W4 g32 asym by the rule" in panel.recipe_line.text()
    assert not panel.apply_button.isEnabled() and "already" in panel.status.text()
    assert remedy.scheme == session.recipe.rules[0].scheme
    choose(panel, "keep it")
    panel.table.setFocus()
    qtbot.keyClick(panel.table, Qt.Key.Key_Return)
    assert session.recipe.rules == (Rule(MODULE, "keep"),)
    assert "keeps this layer by the rule" in panel.recipe_line.text()
    qtbot.mouseClick(panel.undo_button, Qt.MouseButton.LeftButton)
    assert session.recipe.rules[0].scheme == Scheme(group_size=32, symmetric=False)
    panel.undo()
    assert session.recipe == before and not panel.undo_button.isEnabled()


def test_the_table_is_as_high_as_its_rows_and_the_buttons_follow(qtbot: QtBot, panel: RemediesPanel) -> None:
    before = panel.table.height()
    measured(qtbot, panel)
    rows = panel.model.rowCount() * panel.table.verticalHeader().defaultSectionSize()
    assert rows <= panel.table.viewport().height() and panel.table.height() < rows + 3 * panel.apply_button.height()
    assert abs(panel.table.height() - before) <= panel.table.verticalHeader().defaultSectionSize()
    assert panel.table.geometry().bottom() < panel.apply_button.y() < panel.plot.y()


def test_a_double_click_applies(qtbot: QtBot, panel: RemediesPanel, session: Session) -> None:
    measured(qtbot, panel)
    at = panel.table.visualRect(panel.model.index(3, 0)).center()
    qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    qtbot.mouseDClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=at)
    assert session.recipe.rules == (Rule(MODULE, panel.remedies[3].scheme),)


def test_undo_takes_the_step_back_and_adds_none(qtbot: QtBot, panel: RemediesPanel, session: Session) -> None:
    measured(qtbot, panel)
    before, steps = session.recipe, session.history.count()
    choose(panel, "5 bits")
    panel.apply()
    applied = session.recipe
    panel.undo()
    assert session.recipe == before and session.history.index() == steps
    session.history.redo()
    assert session.recipe == applied


def test_undo_is_a_step_of_its_own_where_another_stands_above(
    qtbot: QtBot, panel: RemediesPanel, session: Session
) -> None:
    measured(qtbot, panel)
    before = session.recipe
    choose(panel, "5 bits")
    panel.apply()
    applied = session.recipe
    session.set_recipe(Recipe(default=W4, format="qtquant"))
    session.set_recipe(applied, "and back")
    steps = session.history.index()
    panel.undo()
    assert session.recipe == before and session.history.index() == steps + 1


def test_undo_leaves_a_recipe_alone_that_was_changed_since(
    qtbot: QtBot, panel: RemediesPanel, session: Session
) -> None:
    measured(qtbot, panel)
    choose(panel, "5 bits")
    panel.apply()
    changed = Recipe(default=W4, rules=(*session.recipe.rules, Rule("lm_head", "keep")))
    session.set_recipe(changed)
    panel.undo()
    assert session.recipe == changed and not panel.undo_button.isEnabled()


def test_a_pinned_place_can_be_measured_alone(
    qtbot: QtBot, panel: RemediesPanel, session: Session, inspection: Inspection
) -> None:
    measured(qtbot, panel)
    assert panel.scope_combo.count() == 1
    inspection.set_place(Place((12, 13), (40, 41)))
    assert [panel.scope_combo.itemText(i) for i in range(3)] == [
        "Whole tensor",
        "Channel 12",
        "Channel 12, columns 32 to 63",
    ]
    assert not panel.stale, "the whole tensor stays the choice"
    panel.scope_combo.setCurrentIndex(2)
    panel.scope_combo.activated.emit(2)
    assert panel.stale
    qtbot.waitUntil(lambda: not panel.stale, timeout=COMPILE_MS)
    assert panel.remedies == expected(session, W4, Place((12, 13), (32, 64)))
    inspection.set_place(Place((3, 4), (0, 1)))
    assert panel.scope_combo.currentData().kind == PART and panel.stale
    qtbot.waitUntil(lambda: not panel.stale, timeout=COMPILE_MS)
    assert panel.remedies == expected(session, W4, Place((3, 4), (0, 32)))
    inspection.set_part(OTHER)
    assert panel.scope_combo.count() == 1 and not panel.remedies


def test_what_is_stale_is_marked_and_cannot_be_applied(
    qtbot: QtBot, panel: RemediesPanel, session: Session, inspection: Inspection
) -> None:
    measured(qtbot, panel)
    choose(panel, "asymmetric")
    inspection.set_scheme(Scheme(bits=3, group_size=64))
    assert panel.status.text() == UPDATING and panel.model.rowCount() and not panel.apply_button.isEnabled()
    panel.apply()
    assert session.recipe.rules == ()
    qtbot.waitUntil(lambda: not panel.stale, timeout=COMPILE_MS)
    assert panel.remedies == expected(session, Scheme(bits=3, group_size=64))
    chosen = panel.chosen()
    assert chosen is not None and chosen.remedy.title == "asymmetric", "the choice survives a turn of the knob"


def test_only_the_last_of_many_turns_is_measured(
    qtbot: QtBot, panel: RemediesPanel, inspection: Inspection, verbs: CountedVerbs
) -> None:
    measured(qtbot, panel)
    verbs.asked.clear()
    for bits in (2, 3, 5, 6):
        inspection.set_scheme(Scheme(bits=bits, group_size=32))
    qtbot.waitUntil(lambda: not panel.stale, timeout=COMPILE_MS)
    assert verbs.asked == [(LAYER, Scheme(bits=6, group_size=32), None)]
    inspection.set_scheme(Scheme(bits=7, group_size=32))
    inspection.set_scheme(Scheme(bits=6, group_size=32))
    qtbot.wait(250)
    assert len(verbs.asked) == 1, "back where it was there is nothing to measure"


def test_nothing_is_measured_while_nobody_sees_it(
    qtbot: QtBot, panel: RemediesPanel, inspection: Inspection, verbs: CountedVerbs
) -> None:
    panel.hide()
    inspection.set_part(LAYER)
    inspection.set_scheme(Scheme(bits=3, group_size=32))
    qtbot.wait(250)
    assert verbs.asked == []
    panel.show()
    qtbot.waitUntil(lambda: not panel.stale and bool(panel.remedies), timeout=COMPILE_MS)
    assert len(verbs.asked) == 1


def test_a_tensor_that_a_run_keeps_has_nothing_to_apply(qtbot: QtBot, panel: RemediesPanel, session: Session) -> None:
    measured(qtbot, panel, "model.embed_tokens.weight")
    choose(panel, "asymmetric")
    panel.apply()
    assert session.recipe.rules == () and "leaves this tensor as it is" in panel.status.text()


def test_bad_weights_are_explained_where_the_table_would_be(qtbot: QtBot, tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors[LAYER][3, 4] = torch.nan
    session, inspection = Session(), Inspection(W4)
    session._take(open_checkpoint(write_checkpoint(tmp_path / "nan", tensors)))
    panel = RemediesPanel(session, inspection)
    qtbot.addWidget(panel)
    panel.show()
    inspection.set_part(LAYER)
    qtbot.waitUntil(lambda: "nan at row 3" in panel.table._empty.text(), timeout=COMPILE_MS)
    assert panel.remedies == () and panel.table._empty.isVisible()
    stop_all()


def test_a_point_of_the_plot_chooses_its_row_and_the_arrows_walk_by_size(qtbot: QtBot, panel: RemediesPanel) -> None:
    measured(qtbot, panel)
    plot = panel.plot
    place: QPoint = plot.mapFromScene(plot.on_screen(4))
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=place)
    chosen = panel.chosen()
    assert chosen is not None and chosen.number == 4 == plot.marked
    qtbot.keyClick(plot, Qt.Key.Key_Left)
    after = panel.chosen()
    assert after is not None and after.remedy.bytes <= chosen.remedy.bytes and after.number != 4


def test_an_empty_plot_can_be_drawn_and_the_front_is_what_nothing_beats(qtbot: QtBot) -> None:
    plot = RemedyPlot()
    qtbot.addWidget(plot)
    plot.draw([])
    plot.step(Qt.Key.Key_Left)
    assert front([(3.0, 9.0), (1.0, 5.0), (2.0, 4.0), (1.0, 6.0)]) == [(1.0, 6.0), (3.0, 9.0)]


@pytest.mark.parametrize(
    ("scheme", "place", "labels"),
    [
        (W4, Place((0, 64), (32, 64)), ["Columns 32 to 63"]),
        (W4, Place((4, 8), (0, 128)), ["Channels 4 to 7"]),
        (Scheme(strategy="channel", group_size=None), Place((4, 5), (9, 10)), ["Channel 4", "Channel 4, column 9"]),
        (W4, Place((0, 64), (0, 128)), []),
    ],
)
def test_the_parts_to_measure_are_whole_channels_and_whole_groups(
    scheme: Scheme, place: Place, labels: list[str]
) -> None:
    assert [scope.label for scope in scopes(scheme, (64, 128), place)] == ["Whole tensor", *labels]


def test_a_rule_can_keep_a_layer_and_says_so() -> None:
    info = tensor(LAYER)
    kept = with_layer_rule(Recipe(), MODULE, "keep", (MODULE,))
    assert kept.rules == (Rule(MODULE, "keep"),) and scheme_for(kept, info) is None
    assert decided_by(Recipe(), info) == "The recipe gives this layer W4 g128 sym by default"
    assert decided_by(Recipe(ignore=("*.mlp.*",)), info) == "The recipe ignores this layer: *.mlp.*"
