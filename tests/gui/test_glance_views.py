"""The Model tab: the map, the table and the lines by depth, and how they are linked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.quantities import NOTHING
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.gui.models.model_grid import OUTSIDE, grid_of, place
from qtquant_app.gui.widgets.glance_panel import GlancePanel
from tests.gui.glance_driver import Make, at, choose_measure, maker, run_to_end
from tests.gui.scan_samples import (
    DEAD,
    HEAD,
    NAN_NORM,
    Q3,
    WORST,
    ScanVerbs,
    checkpoint,
    experts,
)

KEYS = Qt.Key


@pytest.fixture
def verbs() -> Iterator[ScanVerbs]:
    found = ScanVerbs()
    yield found
    found.gate.set()


@pytest.fixture
def make(qtbot: QtBot, qapp: QApplication, verbs: ScanVerbs) -> Make:
    return maker(qtbot, qapp, verbs)


@pytest.fixture
def scanned(qtbot: QtBot, make: Make) -> GlancePanel:
    """The panel after a scan."""
    panel = make()
    run_to_end(qtbot, panel)
    return panel


def test_the_worst_tensor_has_the_strongest_colour(scanned: GlancePanel) -> None:
    cells = scanned.map.map.cells
    assert cells is not None
    assert cells.shades[cells.cell_of(WORST)] == 1.0
    weak, strong = scanned.map.legend.words
    assert weak.startswith("good: ")
    assert strong.startswith("bad: ")
    assert float(weak.split()[1]) > float(strong.split()[1])


def test_pointing_at_a_cell_reads_it_out(qtbot: QtBot, scanned: GlancePanel) -> None:
    qtbot.mouseMove(scanned.map.map.viewport(), at(scanned, DEAD))
    words = scanned.map.read_out.full_text()
    assert words.startswith(f"{DEAD}  ·  SQNR ")
    assert "under W4 g128 sym" in words
    assert words.endswith("odd: dead channels")
    assert scanned.map.map.accessibleDescription() == words


def test_a_click_on_a_cell_selects_its_tensor_everywhere(qtbot: QtBot, scanned: GlancePanel) -> None:
    qtbot.mouseClick(scanned.map.map.viewport(), Qt.MouseButton.LeftButton, pos=at(scanned, WORST))
    assert scanned._session.selection == WORST
    assert scanned.table.rows.name(scanned.table.currentIndex().row()) == WORST
    assert scanned.by_depth.plot._selected_point is not None
    assert scanned.map.map.selected_cell == scanned.map.map.cells.cell_of(WORST)  # type: ignore[union-attr]


def test_dragging_over_the_map_selects_nothing(qtbot: QtBot, scanned: GlancePanel) -> None:
    view, start = scanned.map.map.viewport(), at(scanned, WORST)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=start)
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=start + QPoint(60, 0))
    assert scanned._session.selection == ""


def test_arrow_keys_walk_from_the_selected_cell_and_enter_selects(qtbot: QtBot, scanned: GlancePanel) -> None:
    scanned._session.select(Q3)
    qtbot.keyClick(scanned.map.map, KEYS.Key_Right)
    assert scanned.map.read_out.full_text().startswith("model.layers.4.self_attn.q_proj.weight")
    assert scanned._session.selection == Q3
    qtbot.keyClick(scanned.map.map, KEYS.Key_Return)
    assert scanned._session.selection == "model.layers.4.self_attn.q_proj.weight"
    qtbot.keyClick(scanned.map.map, KEYS.Key_Left)
    qtbot.keyClick(scanned.map.map, KEYS.Key_Escape)
    assert scanned.map.map.cursor_cell is None


def test_arrow_keys_reach_what_is_outside_of_blocks(qtbot: QtBot, scanned: GlancePanel) -> None:
    for _ in range(20):
        qtbot.keyClick(scanned.map.map, KEYS.Key_Down)
    assert scanned.map.read_out.full_text().startswith(HEAD)
    qtbot.keyClick(scanned.map.map, KEYS.Key_Up)
    assert scanned.map.read_out.full_text().startswith("model.layers.29.")


def test_a_selection_elsewhere_marks_cell_row_and_point(scanned: GlancePanel) -> None:
    scanned._session.select(Q3)
    assert scanned.map.map.selected_cell is not None
    assert scanned.map.read_out.full_text().startswith(Q3)
    assert scanned.table.rows.name(scanned.table.currentIndex().row()) == Q3
    assert scanned.by_depth.read_out.full_text().startswith("self_attn.q_proj  ·  block 3")


def test_going_to_a_row_selects_its_tensor(qtbot: QtBot, scanned: GlancePanel) -> None:
    scanned.table.setCurrentIndex(scanned.table.rows.index(5, 0))
    assert scanned._session.selection == scanned.table.rows.name(5)
    qtbot.keyClick(scanned.table, KEYS.Key_Down)
    assert scanned._session.selection == scanned.table.rows.name(6)


def test_every_column_sorts_and_what_has_no_figure_stays_last(scanned: GlancePanel) -> None:
    scanned._session.select(Q3)
    model = scanned.table.rows
    for column in range(model.columnCount()):
        for order in (Qt.SortOrder.AscendingOrder, Qt.SortOrder.DescendingOrder):
            scanned.table.sortByColumn(column, order)
            if 1 <= column <= len(DEFAULT_SCHEMES):
                assert model.index(model.rowCount() - 1, column).data() == NOTHING
    scanned.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    assert model.name(0) == WORST
    assert model.name(scanned.table.currentIndex().row()) == Q3
    scanned.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    names = [model.name(row) for row in range(model.rowCount())]
    assert names.index("model.layers.2.mlp.up_proj.weight") < names.index("model.layers.10.mlp.up_proj.weight")


def test_figures_are_tinted_the_worse_the_stronger(scanned: GlancePanel) -> None:
    model = scanned.table.rows
    row = model.row_of(WORST)
    assert row is not None
    shades = [
        model.index(row, column).data(Qt.ItemDataRole.BackgroundRole).lightnessF()
        for column in range(1, 1 + len(DEFAULT_SCHEMES))
    ]
    assert shades[-1] == min(shades)
    assert model.index(row, 0).data(Qt.ItemDataRole.BackgroundRole) is None
    assert model.index(row, 1).data().endswith(" dB")


def test_another_scheme_and_another_measure_change_map_and_legend(scanned: GlancePanel) -> None:
    before = scanned.map.legend.words
    scanned.map.scheme_combo.setCurrentIndex(5)
    assert scanned.map.legend.words != before
    choose_measure(scanned, "relative")
    assert scanned.map.legend.words[1].startswith("large: ")
    choose_measure(scanned, "std")
    assert not scanned.map.scheme_combo.isVisible()
    assert "input_layernorm" in scanned.map.map.cells.kinds  # type: ignore[union-attr]


def test_odd_tensors_carry_a_mark_also_where_they_have_no_figure(scanned: GlancePanel) -> None:
    cells = scanned.map.map.cells
    assert cells is not None
    assert sorted(scanned.map.map.odd_cells) == sorted(
        spot for name in (DEAD, NAN_NORM) if (spot := cells.cell_of(name)) is not None
    )
    assert len(scanned.map.map._odd.getData()[0]) == 2
    spot = cells.cell_of(NAN_NORM)
    assert spot is not None
    assert "no figure" in cells.words(*spot)
    assert "odd: NaN or infinite" in cells.words(*spot)
    row = scanned.table.rows.row_of(NAN_NORM)
    assert row is not None
    texts = [scanned.table.rows.index(row, column).data() for column in range(scanned.table.rows.columnCount())]
    assert "▲ NaN or infinite" in texts


def test_experts_share_a_cell_and_the_worst_stands_for_it(qtbot: QtBot, make: Make) -> None:
    panel = make(checkpoint(experts()))
    run_to_end(qtbot, panel)
    cells = panel.map.map.cells
    assert cells is not None
    name = "model.layers.1.mlp.experts.3.gate_proj.weight"
    spot = cells.cell_of(name)
    assert spot is not None
    assert cells.kinds[spot[0]] == "mlp.experts.*.gate_proj"
    assert "the worst of 8 tensors" in cells.words(*spot)
    every = panel.digest.figures["sqnr"][:, 1]  # type: ignore[union-attr]
    mine = [
        every[i] for i, other in enumerate(cells.digest.grid.names) if other.startswith(name[:27]) and "gate" in other
    ]
    assert cells.values[spot] == min(mine)
    assert cells.cell_of("model.layers.5.mlp.experts.gate_proj") is not None
    panel._session.select(name)
    assert panel.map.map.selected_cell == spot


def test_lines_by_depth_are_hidden_by_their_tick_and_walked_by_keys(qtbot: QtBot, scanned: GlancePanel) -> None:
    side = scanned.by_depth
    side.legend.item(0).setCheckState(Qt.CheckState.Unchecked)
    assert len(side.plot._curves) == 8
    side.measure_combo.setCurrentIndex(1)
    assert len(side.plot._curves) == 8
    for key in (KEYS.Key_Down, KEYS.Key_Right, KEYS.Key_Right, KEYS.Key_Up):
        qtbot.keyClick(side.plot, key)
    assert "block 2" in side.read_out.full_text()
    assert "standard deviation 0.102" in side.read_out.full_text()
    qtbot.keyClick(side.plot, KEYS.Key_Return)
    assert scanned._session.selection.startswith("model.layers.2.")


def test_pointing_at_a_line_names_it_and_a_click_selects(qtbot: QtBot, scanned: GlancePanel) -> None:
    plot = scanned.by_depth.plot
    line = plot.lines[2]
    place = plot.mapFromScene(plot.view.mapViewToScene(_point(line.depth[7] + 0.5, line.high[7])))
    qtbot.mouseMove(plot.viewport(), place)
    assert "block 7" in scanned.by_depth.read_out.full_text()
    qtbot.mouseClick(plot.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert scanned._session.selection.startswith("model.layers.7.")
    QApplication.sendEvent(plot, QEvent(QEvent.Type.Leave))


def test_map_table_and_lines_are_taken_away_as_numbers(scanned: GlancePanel) -> None:
    titles, rows = scanned.map.map.table() or ((), ())
    assert tuple(titles) == ("kind", "block", "tensor", "SQNR", "odd")
    cells = {row[2]: row for row in rows}
    assert cells[DEAD][1] == 5
    assert cells[DEAD][4] is True
    assert cells[HEAD][1] is None
    assert scanned.map.map.caption.endswith("made up, SQNR under W4 g128 sym")
    _, points = scanned.by_depth.plot.table() or ((), ())
    assert len(list(points)) == 9 * 30
    headings, lines = scanned.table.rows.numbers()
    assert headings[2] == "W4 g128 sym (dB)"
    worst = next(line for line in lines if line[0] == WORST)
    assert isinstance(worst[2], float)
    assert worst[-1] == "64 \u00d7 64"


def test_a_name_has_a_stack_a_depth_and_a_path() -> None:
    assert place("model.layers.12.self_attn.q_proj.weight") == ("model.layers", 12, "self_attn.q_proj")
    assert place("model.layers.0.mlp.experts.7.up_proj.bias") == ("model.layers", 0, "mlp.experts.*.up_proj.bias")
    assert place("lm_head.weight") == ("", OUTSIDE, "lm_head")
    assert place("features.3.weight") == ("features", 3, "weight")


def test_stacks_of_blocks_have_rows_of_their_own_named_by_what_differs() -> None:
    grid = grid_of(
        ["model.encoder.layers.0.fc.weight", "model.decoder.layers.0.fc.weight", "model.decoder.layers.1.fc.weight"]
    )
    assert grid.kinds == ("decoder: fc", "encoder: fc")
    assert grid.depth == 2
    assert grid.row.tolist() == [1, 0, 0]


def test_a_model_without_blocks_and_one_without_tensors_have_a_grid() -> None:
    assert grid_of(["a.weight", "b.weight"]).depth == 0
    assert grid_of([]).kinds == ()


def _point(x: float, y: float) -> QPointF:
    return QPointF(float(x), float(y))
