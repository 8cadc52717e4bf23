"""The evaluation of a result: started, watched, stopped, and what it found."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import EvaluateError
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.evaluation_card import BASE, KL, PERPLEXITY, SAME, EvaluationCard
from tests.gui.scripted import Script


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def card(qtbot: QtBot, verbs: Script) -> EvaluationCard:
    made = EvaluationCard(Session(verbs))
    qtbot.addWidget(made)
    made.resize(480, 260)
    made.show()
    return made


def test_nothing_can_be_evaluated_before_there_is_a_result(card: EvaluationCard) -> None:
    assert not card.evaluate_button.isEnabled()
    assert card.facts.isHidden()
    card.show_result("/results/one", "")
    assert not card.evaluate_button.isEnabled()
    assert "Open the original" in card.state.text()


def test_an_evaluation_shows_what_it_found(qtbot: QtBot, card: EvaluationCard, verbs: Script) -> None:
    card.show_result("/results/one", "/models/base")
    with qtbot.waitSignal(card.evaluated):
        qtbot.mouseClick(card.evaluate_button, Qt.MouseButton.LeftButton)
    assert verbs.evaluated == [("/results/one", "/models/base", "")]
    assert card.facts.isVisible()
    assert card.facts.text(PERPLEXITY) == "11.5"
    assert card.facts.text(BASE) == "11.32"
    assert card.facts.text(KL) == "0.0123 \u00b1 0.0004 nats a token"
    assert card.facts.text(SAME) == "95.61 %"
    assert "98 tokens of the second half of a text" in card.state.text()
    assert card.progress_bar.isHidden()
    assert card.evaluate_button.isVisible()


def test_another_result_forgets_what_was_found(qtbot: QtBot, card: EvaluationCard) -> None:
    card.show_result("/results/one", "/models/base")
    with qtbot.waitSignal(card.evaluated):
        card.start()
    card.show_result("/results/two", "/models/base")
    assert card.facts.isHidden()
    assert card.facts.text(PERPLEXITY) == ""


def test_a_text_of_the_users_is_read_instead(
    qtbot: QtBot, card: EvaluationCard, verbs: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = str(tmp_path / "prose.txt")
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *words: (file, ""))
    qtbot.mouseClick(card.text_button, Qt.MouseButton.LeftButton)
    assert "prose.txt" in card.text_label.full_text()
    card.show_result("/results/one", "/models/base")
    with qtbot.waitSignal(card.evaluated):
        card.start()
    assert verbs.evaluated[-1] == ("/results/one", "/models/base", file)


def test_no_file_chosen_keeps_the_text(card: EvaluationCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *words: ("", ""))
    card.choose_text()
    assert "language reference" in card.text_label.full_text()


def test_a_failure_is_handed_on_and_said(qtbot: QtBot, card: EvaluationCard, verbs: Script) -> None:
    verbs.evaluation_error = EvaluateError("it has no tokenizer", code="model")
    card.show_result("/results/one", "/models/base")
    with qtbot.waitSignal(card.failed) as failed:
        card.start()
    assert failed.args == [verbs.evaluation_error]
    assert "see the message" in card.state.text()
    assert card.evaluate_button.isEnabled()


def test_stopping_leaves_it_ready_again(qtbot: QtBot, card: EvaluationCard) -> None:
    card.show_result("/results/one", "/models/base")
    with qtbot.assertNotEmitted(card.evaluated, wait=200):
        card.start()
        assert card.stop_button.isVisible()
        qtbot.mouseClick(card.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not card.busy)
    assert card.evaluate_button.isVisible()
    assert card.facts.isHidden()
