"""What the Run page says of a run before it and after it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.plan import Plan
from qtquant_app.core.report import Forecast, RunReport
from qtquant_app.gui.pages.run import RunPage
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.widgets.outcome_card import OutcomeCard
from qtquant_app.jobs.job import Work, once
from tests.gui.inspect_samples import checkpoint, plan_for
from tests.gui.scripted import Script, report_of

SAID = Forecast(123_456_789, 124_000_000, 200_000_000, 0, 2.0)


class Probing(Script):
    """Measures that every run takes 77 seconds, and counts how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.probes: list[str] = []

    def probe(self, checkpoint: Checkpoint, plan: Plan, output: str) -> Work:
        self.probes.append(output)
        return once(lambda: replace(plan, seconds_estimate=77.0))


def measured() -> RunReport:
    report = report_of(plan_for(checkpoint()), "out")
    return replace(report, peak_ram_bytes=190_000_000, disk_bytes=124_000_000, predicted=SAID)


def shown(card: OutcomeCard) -> list[list[str]]:
    model = card.model
    return [[model.index(row, column).data() for column in range(4)] for row in range(model.rowCount())]


@pytest.fixture
def verbs() -> Probing:
    return Probing()


@pytest.fixture
def page(qtbot: QtBot, verbs: Probing, settings: Settings, tmp_path: Path) -> RunPage:
    settings.set("output/parent", str(tmp_path))
    session = Session(verbs)
    made = RunPage(session, settings)
    made._keep = session  # type: ignore[attr-defined]
    qtbot.addWidget(made)
    made.resize(1100, 640)
    return made


def opened(qtbot: QtBot, page: RunPage) -> RunPage:
    with qtbot.waitSignal(page._session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan)):
        page._session.open("made up")
    qtbot.waitUntil(page.start_button.isEnabled)
    return page


def test_the_card_is_empty_until_a_run_ends_and_then_holds_both_sides(qtbot: QtBot) -> None:
    card = OutcomeCard()
    qtbot.addWidget(card)
    assert shown(card) == [] and card.objectName() == "outcomeCard"
    card.set_report(measured())
    assert shown(card) == [
        ["Weights, index and config", "123 MB", "123 MB", "exact"],
        ["Disk", "124 MB", "124 MB", "exact"],
        ["Peak memory", "200 MB", "190 MB", "\u221210.0 MB, \u22125 %"],
        ["Time", "2.0 s", "1.5 s", "\u22120.5 s, \u221225 %"],
    ]
    card.set_report(None)
    assert shown(card) == []


def test_a_device_that_was_used_has_a_line_of_its_own(qtbot: QtBot) -> None:
    card = OutcomeCard()
    qtbot.addWidget(card)
    card.set_report(replace(measured(), peak_device_bytes=900, predicted=replace(SAID, peak_device_bytes=1000)))
    assert shown(card)[3] == ["Peak memory of the device", "1.00 kB", "900 B", "\u2212100 B, \u221210 %"]


def test_a_run_fills_the_card_and_the_next_one_empties_it(qtbot: QtBot, page: RunPage, verbs: Probing) -> None:
    page.show()
    opened(qtbot, page)
    runner = page._session.runner
    runner.finished.emit(measured())
    assert len(shown(page.outcome_card)) == 4
    verbs.gate.clear()
    qtbot.mouseClick(page.start_button, Qt.MouseButton.LeftButton)
    assert shown(page.outcome_card) == []
    verbs.gate.set()
    qtbot.waitUntil(lambda: not runner.state.active)


def test_the_machine_is_measured_once_when_the_page_is_seen_and_the_plan_takes_it_over(
    qtbot: QtBot, page: RunPage, verbs: Probing
) -> None:
    opened(qtbot, page)
    assert verbs.probes == []
    page.show()
    qtbot.waitUntil(lambda: page._session.plan is not None and page._session.plan.seconds_estimate == 77.0)
    assert "1 min 17 s" in page.progress_text.text()
    page.hide()
    page.show()
    assert len(verbs.probes) == 1 and verbs.probes[0] == page.output_field.path
