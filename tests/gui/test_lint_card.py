"""The card that says whether it will load: findings as rows, and a mend as a click."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.runtimes import RUNTIMES, Finding, Severity
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.mend_all import Mended
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.lint_card import LintCard
from qtquant_app.jobs.job import Work, once
from tests.checkpoints import small_llama
from tests.gui.scripted import Script

W4 = Scheme(4, group_size=32)
MENDED = Recipe(Scheme(8))
FINDING = Finding(
    "made-up", Severity.REFUSES, "vllm", "vLLM", "1", "vLLM says <b>no</b>", ("a & b.weight", "c"), MENDED, "8 bits"
)


class Linting(Script):
    """Answers with `findings`, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.findings: tuple[Finding, ...] = ()
        self.linted: list[tuple[Any, ...]] = []
        self.mended = Mended(MENDED, (FINDING,), ())
        self.mending: list[tuple[Any, ...]] = []

    def lint(self, *choices: object) -> Work:
        self.linted.append(choices)
        return once(lambda: self.findings)

    def mend_all(self, *choices: object) -> Work:
        self.mending.append(choices)
        return once(lambda: self.mended)


def card_of(qtbot: QtBot, verbs: Verbs) -> tuple[LintCard, Session]:
    session = Session(verbs)
    card = LintCard(session)
    qtbot.addWidget(card)
    card.show()
    return card, session


def opened(qtbot: QtBot, session: Session, path: str = "anything") -> None:
    session.open(path)
    qtbot.waitUntil(lambda: session.plan is not None or session.refusal is not None, timeout=20_000)


def test_without_a_checkpoint_it_says_what_to_do(qtbot: QtBot) -> None:
    card, _ = card_of(qtbot, Linting())
    assert "Open a checkpoint" in card.state.text() and not card.rows()


def test_it_asks_for_the_ticked_readers_and_again_when_they_change(qtbot: QtBot) -> None:
    verbs = Linting()
    card, session = card_of(qtbot, verbs)
    opened(qtbot, session)
    qtbot.waitUntil(lambda: "All of them load it" in card.state.text())
    assert verbs.linted[-1][3:] == (("vllm", "transformers"), 1)
    card.boxes["vllm-cpu"].click()
    card.devices.setValue(4)
    assert verbs.linted[-1][3:] == (("vllm", "vllm-cpu", "transformers"), 4)
    card.set_runtimes(())
    assert "Tick the readers" in card.state.text()


def test_a_finding_is_a_row_whose_mend_becomes_the_recipe(qtbot: QtBot) -> None:
    verbs = Linting()
    verbs.findings = (FINDING,)
    card, session = card_of(qtbot, verbs)
    opened(qtbot, session)
    qtbot.waitUntil(lambda: len(card.rows()) == 1)
    row = card.rows()[0]
    assert row.text.text() == "vLLM says <b>no</b>" and "Refused by vLLM (1)" in row.text.accessibleName()
    assert row.mend_button is not None and "Mend made-up for vLLM" in row.mend_button.accessibleName()
    verbs.findings = ()
    row.mend_button.click()
    assert session.recipe == MENDED and session.history.undoText() == "Mend: 8 bits"
    assert not row.isEnabled()
    qtbot.waitUntil(lambda: not card.rows())


def test_what_was_found_of_an_older_recipe_can_no_longer_be_clicked(qtbot: QtBot) -> None:
    verbs = Linting()
    verbs.findings = (FINDING,)
    card, session = card_of(qtbot, verbs)
    opened(qtbot, session)
    qtbot.waitUntil(lambda: len(card.rows()) == 1)
    session.set_recipe(Recipe(Scheme(2)))
    assert not card.rows()[0].isEnabled()


def test_nothing_is_asked_while_it_does_not_show(qtbot: QtBot) -> None:
    verbs = Linting()
    card, session = card_of(qtbot, verbs)
    card.hide()
    opened(qtbot, session)
    assert not verbs.linted
    card.show()
    assert len(verbs.linted) == 1


def test_every_box_has_a_name_of_its_own(qtbot: QtBot) -> None:
    card, _ = card_of(qtbot, Linting())
    assert len({box.accessibleName() for box in card.boxes.values()}) == len(RUNTIMES)
    assert card.devices.accessibleName()


@pytest.mark.parametrize(
    "recipe",
    [Recipe(W4, (Rule("*.q_proj", Scheme(8, group_size=32)),)), Recipe(Scheme(4, group_size=48))],
    ids=["fused", "refused"],
)
def test_the_engine_finds_and_mends(qtbot: QtBot, tmp_path: Path, recipe: Recipe) -> None:
    card, session = card_of(qtbot, Verbs())
    session.set_recipe(recipe)
    opened(qtbot, session, str(small_llama(tmp_path / "m")))
    qtbot.waitUntil(lambda: len(card.rows()) == 1, timeout=20_000)
    button = card.rows()[0].mend_button
    assert button is not None
    button.click()
    qtbot.waitUntil(lambda: "All of them load it" in card.state.text(), timeout=20_000)


def with_findings(qtbot: QtBot, verbs: Linting, *findings: Finding) -> tuple[LintCard, Session]:
    verbs.findings = findings
    card, session = card_of(qtbot, verbs)
    opened(qtbot, session)
    qtbot.waitUntil(lambda: len(card.rows()) == len(findings))
    return card, session


def test_all_is_mended_in_one_step(qtbot: QtBot) -> None:
    verbs = Linting()
    card, session = with_findings(qtbot, verbs, FINDING)
    card.devices.setValue(2)
    qtbot.waitUntil(lambda: card.mend_button.isEnabled() and len(verbs.linted) > 1)
    before, steps = session.recipe, session.history.count()
    card.mend_button.click()
    assert not card.mend_button.isEnabled()
    qtbot.waitUntil(lambda: session.recipe == MENDED)
    assert verbs.mending[0][1:] == (before, ("vllm", "transformers"), 2, "auto")
    assert session.history.count() == steps + 1 and session.history.undoText() == "1 mend"
    session.history.undo()
    assert session.recipe == before


@pytest.mark.parametrize("severity", [Severity.NEEDS, Severity.NOTE])
def test_what_loads_is_not_among_what_is_mended_all_at_once(qtbot: QtBot, severity: Severity) -> None:
    loads = Finding("made-up", severity, "vllm", "vLLM", "1", "mind", (), MENDED, "8 bits")
    card, _ = with_findings(qtbot, Linting(), loads)
    assert not card.mend_button.isEnabled() and card.rows()[0].mend_button is not None


def test_where_nothing_mends_for_all_it_is_said(qtbot: QtBot) -> None:
    verbs = Linting()
    card, session = with_findings(qtbot, verbs, FINDING)
    verbs.mended = Mended(session.recipe, (), (FINDING,))
    with qtbot.waitSignal(session.message, check_params_cb=lambda text, _: "Nothing mends this" in text):
        card.mend_button.click()
    qtbot.waitUntil(card.mend_button.isEnabled)


def test_a_mend_that_comes_too_late_is_not_taken(qtbot: QtBot) -> None:
    card, session = with_findings(qtbot, Linting(), FINDING)
    with qtbot.waitSignal(session.message, check_params_cb=lambda text, _: "changed meanwhile" in text):
        card.mend_button.click()
        session.set_recipe(Recipe(Scheme(2)))
    assert session.recipe == Recipe(Scheme(2))


def test_the_readers_and_the_devices_are_remembered(qtbot: QtBot, settings: Settings) -> None:
    first = LintCard(Session(Linting()), settings)
    qtbot.addWidget(first)
    assert first.runtimes == ("vllm", "transformers")
    first.set_runtimes(("qtquant",))
    first.devices.setValue(8)
    settings.sync()
    second = LintCard(Session(Linting()), Settings())
    qtbot.addWidget(second)
    assert second.runtimes == ("qtquant",) and second.devices.value() == 8
    first.set_runtimes(())
    settings.set("lint/devices", "many")
    third = LintCard(Session(Linting()), settings)
    qtbot.addWidget(third)
    assert third.runtimes == () and third.devices.value() == 1


def test_the_engine_mends_all(qtbot: QtBot, tmp_path: Path) -> None:
    card, session = card_of(qtbot, Verbs())
    session.set_recipe(Recipe(Scheme(4, group_size=48), (Rule("*.q_proj", Scheme(8, group_size=32)),)))
    opened(qtbot, session, str(small_llama(tmp_path / "m")))
    qtbot.waitUntil(card.mend_button.isEnabled, timeout=20_000)
    card.mend_button.click()
    qtbot.waitUntil(lambda: "All of them load it" in card.state.text(), timeout=20_000)
    assert session.history.undoText() == "2 mends"
