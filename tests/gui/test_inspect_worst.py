"""The list of what loses the most."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import Place
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.plots.error_view import ErrorView
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.table import Table
from qtquant_app.gui.widgets.worst_panel import LOSSLESS, NO_CHECKPOINT, NOTHING_CHOSEN, WorstPanel
from qtquant_app.jobs.job import stop_all
from tests.gui.inspect_samples import LAYER, ScriptedVerbs, checkpoint, synthetic, weights

SCHEME = Scheme(group_size=64)


@pytest.fixture
def session(qtbot: QtBot) -> Iterator[Session]:
    yield Session(ScriptedVerbs())
    stop_all()


@pytest.fixture
def inspection() -> Inspection:
    return Inspection(SCHEME)


@pytest.fixture
def panel(qtbot: QtBot, session: Session, inspection: Inspection) -> WorstPanel:
    found = WorstPanel(session, inspection)
    qtbot.addWidget(found)
    found.resize(420, 400)
    found.show()
    return found


def planted() -> np.ndarray:
    found = weights(300, 1024)
    found[123, 777] = 1e4
    return found


def cells(table: Table, row: int) -> list[str]:
    model = table.model()
    return [model.index(row, column).data() for column in range(model.columnCount())]


def test_a_planted_outlier_is_first_in_both_lists(panel: WorstPanel, inspection: Inspection) -> None:
    preview = synthetic(LAYER, SCHEME, planted())
    inspection.set_part(LAYER)
    inspection.set_preview(preview)
    assert panel.channel_model.rowCount() == panel.group_model.rowCount() == 32
    channel, share, relative, peak, sqnr = cells(panel.channels, 0)
    assert channel == "123"
    assert relative.endswith(" %")
    assert sqnr.endswith(" dB")
    assert share == "100 %"
    assert peak == f"{preview.errors.max_error:.4g}"
    assert cells(panel.groups, 0)[:2] == ["123", "768 to 831"]


def test_channels_are_ranked_by_their_squared_error(panel: WorstPanel, inspection: Inspection) -> None:
    preview = synthetic(LAYER, SCHEME, weights(300, 1024))
    inspection.set_preview(preview)
    shown = [panel.channel_model.row(row).channel for row in range(32)]
    assert shown == np.argsort(-preview.channel_square_error, kind="stable")[:32].tolist()


def test_a_click_pins_the_place_on_the_map(qtbot: QtBot, panel: WorstPanel, inspection: Inspection) -> None:
    view = ErrorView()
    qtbot.addWidget(view)
    view.resize(600, 500)
    view.show()
    inspection.place_changed.connect(view.show_place)
    view.place_changed.connect(inspection.set_place)
    preview = synthetic(LAYER, SCHEME, planted(), (2, 4))
    view.draw(preview)
    inspection.set_preview(preview)
    table = panel.groups
    place = table.visualRect(table.model().index(0, 0)).center()
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert inspection.place == view.map.pinned == Place((123, 124), (768, 832))
    left, right, top, bottom = view.map.visible
    assert left <= 768 < 832 <= right
    assert right - left < 1024
    assert top <= 123 < bottom
    view.map.setRange(xRange=(0, 60), yRange=(0, 60), padding=0)
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert view.map.visible == pytest.approx((left, right, top, bottom))


def test_enter_goes_to_the_channel_in_the_current_row(qtbot: QtBot, panel: WorstPanel, inspection: Inspection) -> None:
    inspection.set_preview(synthetic(LAYER, SCHEME, weights(300, 1024)))
    panel.channels.setCurrentIndex(panel.channel_model.index(1, 0))
    qtbot.keyClick(panel.channels, Qt.Key.Key_Return)
    row = panel.channel_model.row(1).channel
    assert inspection.place == Place((row, row + 1), (0, 1024))


def test_a_click_on_a_sorted_list_goes_to_what_it_shows(
    qtbot: QtBot, panel: WorstPanel, inspection: Inspection
) -> None:
    inspection.set_preview(synthetic(LAYER, SCHEME, weights(300, 1024)))
    panel.channels.sortByColumn(0, Qt.SortOrder.AscendingOrder)
    row = int(cells(panel.channels, 0)[0])
    panel.channels.clicked.emit(panel.channel_model.index(0, 0))
    assert inspection.place == Place((row, row + 1), (0, 1024))


def test_the_list_stays_until_the_next_preview_of_the_same_tensor(panel: WorstPanel, inspection: Inspection) -> None:
    inspection.set_part(LAYER)
    inspection.set_preview(synthetic(LAYER, SCHEME, weights()))
    inspection.set_preview(None)
    assert panel.channel_model.rowCount() == 32
    inspection.set_part("another")
    assert panel.channel_model.rowCount() == 0


def test_an_empty_list_says_what_to_do(panel: WorstPanel, session: Session, inspection: Inspection) -> None:
    assert panel.channels._empty.text() == NO_CHECKPOINT
    session._take(checkpoint())
    assert panel.channels._empty.text() == NOTHING_CHOSEN
    inspection.set_preview(synthetic(LAYER, Scheme(bits=8), np.zeros((8, 64), np.float32)))
    assert panel.groups._empty.text() == LOSSLESS
