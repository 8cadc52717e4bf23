"""Drives the Model tab in tests."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.inspection import Inspection
from qtquant_app.gui.session import Session
from qtquant_app.gui.theme import ThemeName, apply_theme
from qtquant_app.gui.widgets.glance_panel import GlancePanel
from tests.gui.scan_samples import ScanVerbs, checkpoint

KNOBS = Scheme(bits=5)
Make = Callable[..., GlancePanel]


def maker(qtbot: QtBot, app: QApplication, verbs: ScanVerbs) -> Make:
    """Makes the panel over a session with `found` open, shown at 1100x640."""

    def panel(found: Checkpoint | None = None, theme: ThemeName = ThemeName.LIGHT) -> GlancePanel:
        apply_theme(app, theme)
        session = Session(verbs)
        session._checkpoint = found or checkpoint()
        widget = GlancePanel(session, Inspection(KNOBS))
        qtbot.addWidget(widget)
        widget.resize(1100, 640)
        widget.show()
        qtbot.waitExposed(widget)
        return widget

    return panel


def run_to_end(qtbot: QtBot, panel: GlancePanel) -> None:
    with qtbot.waitSignal(panel.scanner.finished, timeout=20_000):
        panel.bar.scan_button.click()
    qtbot.waitUntil(lambda: not panel.drawing)
    qtbot.wait(50)  # plots take their size from the layout in a later turn of the event loop


def at(panel: GlancePanel, name: str) -> QPoint:
    """Where the cell of a tensor is, in the map's viewport."""
    cells = panel.map.map.cells
    assert cells is not None
    spot = cells.cell_of(name)
    assert spot is not None
    plot = panel.map.map
    found: QPoint = plot.mapFromScene(plot.view.mapViewToScene(plot.rect_of(spot).center()))
    return found


def choose_measure(panel: GlancePanel, key: str) -> None:
    panel.map.measure_combo.setCurrentIndex(panel.map.measure_combo.findData(key))
