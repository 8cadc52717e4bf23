"""The evaluation of a result: started, watched, stopped, and what it found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QFileDialog, QTextEdit
from pytestqt.qtbot import QtBot

from qtquant_app.core.continuation import continuation
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.evaluated import Evaluated
from qtquant_app.core.evaluation import OutputAgreement, Speed
from qtquant_app.core.quantities import NOTHING
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.evaluation_card import BASE, KL, PERPLEXITY, SAME, EvaluationCard
from tests.gui.scripted import Script, evaluation


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


def test_what_the_record_says_already_is_there_at_once(card: EvaluationCard) -> None:
    known = Evaluated("a text", 98, 11.32, 11.5, 0.0123, 0.0004, 0.9561)
    card.show_result("/results/one", "", known=known)
    assert card.facts.isVisible() and card.facts.text(KL) == "0.0123 \u00b1 0.0004 nats a token"
    assert "Evaluated before: 98 tokens of a text." in card.state.text() and "Open the original" in card.state.text()
    card.show_result("/results/two", "/models/base")
    assert card.facts.isHidden() and "Runs both" in card.state.text()


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
    card.choice.text_button.menu().actions()[0].trigger()
    assert "prose.txt" in card.choice.text_label.full_text()
    card.show_result("/results/one", "/models/base")
    with qtbot.waitSignal(card.evaluated):
        card.start()
    assert verbs.evaluated[-1] == ("/results/one", "/models/base", file)


def test_no_file_chosen_keeps_the_text(card: EvaluationCard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *words: ("", ""))
    card.choice.choose_file()
    assert "language reference" in card.choice.text_label.full_text()


def test_a_folder_of_pictures_is_read_instead_and_given_up_for_what_is_built_in(
    qtbot: QtBot, card: EvaluationCard, verbs: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *words: "/pictures")
    _file, folder, built_in = card.choice.text_button.menu().actions()
    folder.trigger()
    assert card.choice.text == "/pictures"
    built_in.trigger()
    assert card.choice.text == "" and "language reference" in card.choice.text_label.full_text()


def test_both_go_on_with_the_prompts_and_what_differs_is_underlined(
    qtbot: QtBot, card: EvaluationCard, verbs: Script
) -> None:
    said = continuation("Once <b>upon", [1, 2, 3], [1, 7, 3], [" a", " time", " ago"], [" a", " <i>day", " ago"])
    program = continuation("def f():\n", [1, 2], [1, 2], ["    return", "\n\tx"], ["    return", "\n\tx"])
    timed = Speed("cpu", "float32", 120.0, 10.2, 140.0, 18.4)
    verbs.evaluation = replace(evaluation(), continuations=(said, program), speed=timed)
    card.show_result("/results/one", "/models/base", "qtquant")
    card.choice.prompts_edit.setPlainText("Once <b>upon\n\n  And then ")
    card.choice.speed_check.click()
    with qtbot.waitSignal(card.evaluated):
        card.start()
    assert verbs.prompted == [(("Once <b>upon", "And then"), True)]
    assert "140 when reading (the original 120), 18.4 when writing (10.2)." in card.state.text()
    page = card.continuations.page
    text = page.toPlainText()
    assert "Once <b>upon" in text and "2 of 3 tokens the same, the first to differ is number 2" in text
    assert "    return\n    x" in text and "\N{REPLACEMENT CHARACTER}" not in text
    assert {word: underlined(page, word) for word in (" time", " <i>day", " ago", " a")} == {
        " time": True,
        " <i>day": True,
        " ago": False,
        " a": False,
    }


def test_only_results_that_run_here_can_be_timed(card: EvaluationCard) -> None:
    card.show_result("/results/one", "/models/base", "gguf")
    assert card.choice.speed_check.isHidden() and not card.choice.speed
    card.show_result("/results/one", "/models/base", "qtquant")
    assert not card.choice.speed_check.isHidden()


def test_a_model_without_words_shows_how_far_each_output_is(qtbot: QtBot, card: EvaluationCard, verbs: Script) -> None:
    outputs = (OutputAgreement("last_hidden_state", 0.9991, 0.042), OutputAgreement("logits", 0.99, 0.05, 0.875, 0.01))
    none: dict[str, None] = dict.fromkeys(("perplexity", "base_perplexity", "kl", "kl_interval", "kl_p99"))
    verbs.evaluation = replace(evaluation(), kind="images", top1_agreement=None, outputs=outputs, **none)
    card.show_result("/results/one", "/models/base")
    with qtbot.waitSignal(card.evaluated):
        card.start()
    assert [card.facts.text(name) for name in (PERPLEXITY, KL, SAME)] == [NOTHING] * 3
    model = card.outputs_model
    shown = [[model.index(row, at).data() for at in range(5)] for row in range(2)]
    assert shown[0] == ["last_hidden_state", "0.999100", "4.20 %", NOTHING, NOTHING]
    assert shown[1] == ["logits", "0.990000", "5.00 %", "87.50 %", "0.01"]
    assert card.outputs_table.isVisible() and "98 images of" in card.state.text()


def underlined(page: QTextEdit, word: str) -> bool:
    """Whether all letters of the first place where `word` stands in an answer are underlined."""
    cursor = page.document().find(word, page.toPlainText().index("Original"))
    assert cursor.hasSelection()
    return cursor.charFormat().fontUnderline()


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
