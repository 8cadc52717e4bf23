"""In the window a low coverage has a frame, a sign and a sentence of its own, before the run and after it."""

from __future__ import annotations

from dataclasses import replace

from pytestqt.qtbot import QtBot

from qtquant_app.core.coverage import LOW_COVERAGE
from qtquant_app.core.plan import PlanWarning
from qtquant_app.core.report import Coverage
from qtquant_app.gui.widgets.coverage_panel import TITLE
from qtquant_app.gui.widgets.gives_card import GivesCard
from qtquant_app.gui.widgets.outcome_card import OutcomeCard
from qtquant_app.gui.widgets.text import Text
from tests.gui.inspect_samples import checkpoint, plan_for
from tests.gui.scripted import report_of

TEXT = "only 12.3 % of the parameters of linear layers and experts are quantized"


def test_the_plan_card_puts_it_above_the_figures(qtbot: QtBot) -> None:
    card = GivesCard()
    qtbot.addWidget(card)
    card.show()
    plan = plan_for(checkpoint())
    card.set_plan(replace(plan, warnings=(PlanWarning("other", "mind this"), PlanWarning(LOW_COVERAGE, TEXT))))
    assert card.coverage.isVisible() and card.coverage.text() == TEXT.capitalize()
    assert TEXT in card.coverage.accessibleName()
    assert TITLE in {label.text() for label in card.coverage.findChildren(Text)}
    assert card.coverage.y() < card.facts.y()
    assert len(card.warnings()) == 2
    card.set_plan(replace(plan, warnings=()))
    assert not card.coverage.isVisible() and not card.warnings()
    assert card.facts.text("Coverage").endswith("% of the parameters of linear layers and experts")


def test_the_outcome_says_how_much_was_quantized_and_warns_where_it_is_little(qtbot: QtBot) -> None:
    card = OutcomeCard()
    qtbot.addWidget(card)
    card.show()
    report = report_of(plan_for(checkpoint()), "out")
    card.set_report(replace(report, coverage=Coverage(3, 9, 12.34)))
    assert card.warning.isVisible() and "12.3 %" in card.warning.text()
    assert card.coverage.text() == "Quantized: 12.3 % of the parameters of linear layers and experts"
    card.set_report(replace(report, coverage=Coverage(3, 9, 95.0)))
    assert not card.warning.isVisible() and "95.0 %" in card.coverage.text()
    card.set_report(None)
    assert not card.warning.isVisible() and not card.coverage.isVisible()
