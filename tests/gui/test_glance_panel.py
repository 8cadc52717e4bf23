"""The Model tab: scanning, what is kept of it, and how it fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtWidgets import QApplication, QFileDialog, QWidget
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.theme import ThemeName
from qtquant_app.gui.widgets.glance_panel import GlancePanel
from tests.gui.glance_driver import KNOBS, Make, at, maker, run_to_end
from tests.gui.scan_samples import (
    FORMAT,
    Q3,
    WORST,
    ScanVerbs,
    checkpoint,
    dense,
    report_of,
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


def test_before_a_scan_the_place_says_what_to_do(make: Make) -> None:
    panel = make()
    assert panel.empty.isVisible()
    assert "Scan the model" in panel.empty.sentence.text()
    assert panel.start_button.isVisible()
    assert {panel.start_button.text(), panel.bar.scan_button.text()} == {"Scan the model", "&Scan the model"}
    assert not panel.bar.report_button.isEnabled()


def test_without_a_checkpoint_there_is_nothing_to_scan(make: Make) -> None:
    panel = make()
    panel._session.close()
    assert panel.empty.sentence.text() == "No checkpoint is open"
    assert not panel.bar.scan_button.isEnabled()
    assert not panel.start_button.isVisible()


def test_the_button_in_the_empty_place_scans_too(qtbot: QtBot, make: Make) -> None:
    panel = make()
    with qtbot.waitSignal(panel.scanner.finished):
        qtbot.keyClick(panel.start_button, KEYS.Key_Space)
    assert panel.map.map.isVisible()


def test_a_scan_fills_the_map_the_table_and_the_lines(scanned: GlancePanel, verbs: ScanVerbs) -> None:
    cells = scanned.map.map.cells
    assert cells is not None
    assert cells.depth == 30
    assert np.isfinite(cells.values[cells.kinds.index("self_attn.q_proj"), :30]).all()
    assert scanned.table.rows.rowCount() == len(dense())
    assert len(scanned.by_depth.plot.lines) == 9
    assert verbs.scans == [(DEFAULT_SCHEMES, FORMAT)]
    assert scanned._inspection.scan is scanned.digest.report  # type: ignore[union-attr]
    assert "273 tensors under 6 schemes" in scanned.bar.words.full_text()


def test_partial_results_show_while_the_scan_runs_and_stay_when_it_is_cancelled(
    qtbot: QtBot, make: Make, verbs: ScanVerbs
) -> None:
    verbs.gate.clear()
    verbs.hold = 120
    panel = make()
    panel.bar.scan_button.click()
    qtbot.waitUntil(lambda: panel.digest is not None and len(panel.digest.report.tensors) == 120, timeout=5000)
    qtbot.waitUntil(lambda: not panel.drawing)
    assert panel.bar.progress.isVisible()
    assert panel.bar.cancel_button.isVisible()
    assert "120 of 273 tensors" in panel.bar.words.full_text()
    assert not panel.bar.report_button.isEnabled()
    assert not any(chip.isEnabled() for chip in panel.bar.schemes.chips)
    cells = panel.map.map.cells
    assert cells is not None
    assert "not scanned yet" in cells.words(*cells.cell_of("model.layers.29.mlp.up_proj.weight"))  # type: ignore[misc]
    panel.bar.cancel_button.click()
    qtbot.waitUntil(lambda: not panel.scanner.running)
    assert verbs.closed.is_set()
    assert panel.bar.words.full_text().startswith("Stopped: 120 of 273 tensors")
    assert len(panel._inspection.scan.tensors) == 120  # type: ignore[union-attr]
    assert panel.bar.scan_button.isVisible()


def test_rows_fill_in_without_losing_selection_sorting_or_place(qtbot: QtBot, make: Make, verbs: ScanVerbs) -> None:
    verbs.gate.clear()
    verbs.hold = 120
    panel = make()
    panel.bar.scan_button.click()
    qtbot.waitUntil(lambda: panel.digest is not None and len(panel.digest.report.tensors) == 120, timeout=5000)
    qtbot.waitUntil(lambda: not panel.drawing)
    panel._session.select(Q3)
    panel.table.sortByColumn(2, Qt.SortOrder.AscendingOrder)
    with qtbot.waitSignal(panel.scanner.finished):
        verbs.gate.set()
    qtbot.waitUntil(lambda: not panel.drawing)
    assert panel.table.rows.name(panel.table.currentIndex().row()) == Q3
    assert panel.table.rows.name(0) == WORST
    assert panel.table.rows.sorted_column == 2


def test_each_part_is_drawn_in_a_turn_of_its_own(qtbot: QtBot, make: Make, verbs: ScanVerbs) -> None:
    panel = make()
    drawn: list[int] = []
    panel._turn.timeout.connect(lambda: drawn.append(len(panel._due)))
    run_to_end(qtbot, panel)
    assert drawn[-4:] == [2, 1, 0, 0]


def test_nothing_is_drawn_while_the_panel_is_hidden_and_others_are_told(
    qtbot: QtBot, make: Make, verbs: ScanVerbs
) -> None:
    panel = make()
    panel.hide()
    told: list[object] = []
    panel.drawn.connect(told.append)
    run_to_end(qtbot, panel)
    assert told[-1] is panel.digest
    assert panel.map.map.cells is None
    panel.show()
    qtbot.waitUntil(lambda: panel.map.map.cells is not None and not panel.drawing)
    assert panel.table.rows.rowCount() == len(dense())


def test_a_scan_in_the_cache_shows_when_the_checkpoint_opens(qtbot: QtBot, make: Make, verbs: ScanVerbs) -> None:
    verbs.cache = report_of()
    panel = make()
    qtbot.waitUntil(lambda: panel.digest is not None)
    assert panel._inspection.scan is verbs.cache
    assert panel.map.map.isVisible()
    assert panel.bar.report_button.isEnabled()
    assert verbs.scans == []


def test_another_checkpoint_takes_the_old_scan_away(qtbot: QtBot, scanned: GlancePanel, verbs: ScanVerbs) -> None:
    scanned._session._take(checkpoint(dense(2), "another"))
    assert scanned._inspection.scan is None
    assert scanned.empty.isVisible()
    assert scanned.table.rows.rowCount() == 0
    verbs.gate.clear()
    verbs.hold = 5
    scanned.bar.scan_button.click()
    scanned._session._take(checkpoint(dense(3), "a third"))
    qtbot.waitUntil(lambda: not scanned.scanner.running)
    assert scanned._inspection.scan is None
    assert scanned.empty.isVisible()


def test_a_report_from_elsewhere_is_shown_too(qtbot: QtBot, make: Make) -> None:
    panel = make()
    panel._inspection.set_scan(report_of(schemes=(KNOBS,)))
    qtbot.waitUntil(lambda: panel.digest is not None and not panel.drawing)
    assert panel.map.scheme_combo.count() == 1
    assert panel.table.rows.columns[1].title == KNOBS.label


def test_schemes_are_added_and_removed_and_looked_up(qtbot: QtBot, make: Make, verbs: ScanVerbs) -> None:
    panel = make()
    choice = panel.bar.schemes
    qtbot.keyClick(choice.add_button, KEYS.Key_Space)
    assert choice.schemes == (*DEFAULT_SCHEMES, KNOBS)
    assert not choice.add_button.isEnabled()
    qtbot.waitUntil(lambda: not panel.scanner._looks.busy)
    qtbot.keyClick(choice.chips[0], KEYS.Key_Space)
    assert choice.schemes == (*DEFAULT_SCHEMES[1:], KNOBS)
    assert verbs.looked_up[-1] == choice.schemes
    run_to_end(qtbot, panel)
    assert verbs.scans[-1][0] == choice.schemes
    choice.reset_button.click()
    assert choice.schemes == DEFAULT_SCHEMES
    panel._inspection.set_scheme(Scheme(bits=6))
    assert "W6" in choice.add_button.text()


def test_the_last_scheme_cannot_be_removed(qtbot: QtBot, make: Make) -> None:
    choice = make().bar.schemes
    choice.set_schemes([KNOBS])
    assert not choice.chips[0].isEnabled()


def test_a_scan_that_fails_says_so_beside_its_button(qtbot: QtBot, make: Make, verbs: ScanVerbs) -> None:
    verbs.error = QtQuantError("model.safetensors ends too soon", hint="download it again", code="short")
    panel = make()
    with qtbot.waitSignals([panel.scanner.failed, panel._session.message]):
        panel.bar.scan_button.click()
    assert "ends too soon" in panel.bar.words.full_text()
    assert panel.bar.scan_button.isEnabled()


def test_the_report_is_written_in_the_background(
    qtbot: QtBot, scanned: GlancePanel, verbs: ScanVerbs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = str(tmp_path / "page")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (path, ""))
    said: list[str] = []
    scanned._session.message.connect(lambda text, _: said.append(text))
    with qtbot.waitSignal(scanned.reports.result):
        scanned.bar.report_button.click()
    assert verbs.reports == [(DEFAULT_SCHEMES, FORMAT, f"{path}.html")]
    assert said[-1] == f"Saved the report as {path}.html"


@pytest.mark.parametrize("size", [(560, 500), (900, 560), (1800, 1000)])
@pytest.mark.parametrize("theme", [ThemeName.LIGHT, ThemeName.DARK])
def test_everything_fits_in_small_and_large_windows(
    qtbot: QtBot, make: Make, size: tuple[int, int], theme: ThemeName
) -> None:
    panel = make(None, theme)
    run_to_end(qtbot, panel)
    panel.resize(*size)
    qtbot.wait(20)
    assert panel.width() == size[0]
    assert panel.height() == size[1]
    for widget in (panel.map.map, panel.table, panel.by_depth.plot, panel.map.legend):
        assert panel.rect().contains(widget.rect().translated(widget.mapTo(panel, QPoint())))
        assert min(widget.width(), widget.height()) > 12


def test_every_control_is_named_and_reachable_by_keyboard(scanned: GlancePanel) -> None:
    wanted: list[QWidget] = [
        scanned.bar.scan_button,
        scanned.bar.report_button,
        *scanned.bar.schemes.chips,
        scanned.bar.schemes.add_button,
        scanned.map.measure_combo,
        scanned.map.scheme_combo,
        scanned.map.map,
        scanned.table,
        scanned.by_depth.measure_combo,
        scanned.by_depth.plot,
        scanned.by_depth.legend,
    ]
    for widget in wanted:
        assert widget.objectName()
        assert widget.accessibleName()
        assert widget.focusPolicy() & Qt.FocusPolicy.TabFocus


def test_five_thousand_tensors_are_shown_and_chosen_from(qtbot: QtBot, make: Make) -> None:
    panel = make(checkpoint(dense(555)))
    run_to_end(qtbot, panel)
    assert panel.table.rows.rowCount() == len(dense(555)) == 4998
    qtbot.mouseClick(panel.map.map.viewport(), Qt.MouseButton.LeftButton, pos=at(panel, WORST))
    assert panel._session.selection.endswith("mlp.down_proj.weight")
