"""A result tried in a runtime from the window: which are offered, how it goes, what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import replace

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QStandardItemModel
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import UsageError
from qtquant_app.core.events import Event, TextRead
from qtquant_app.core.runtime_report import RuntimeReport
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.runtime_card import RuntimeCard
from tests.gui.scripted import Script, runtime_report


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def card(qtbot: QtBot, verbs: Script) -> RuntimeCard:
    made = RuntimeCard(Session(verbs))
    qtbot.addWidget(made)
    made.resize(560, 320)
    made.show()
    return made


def ready(qtbot: QtBot, card: RuntimeCard) -> None:
    card.show_result("/results/one", "/models/base", "compressed-tensors")
    qtbot.waitUntil(lambda: card.runtime_combo.count() == 2)


def enabled(card: RuntimeCard) -> list[bool]:
    model = card.runtime_combo.model()
    assert isinstance(model, QStandardItemModel)
    return [model.item(row).isEnabled() for row in range(model.rowCount())]


def test_nothing_can_be_tried_without_a_result_and_its_original(qtbot: QtBot, card: RuntimeCard) -> None:
    assert not card.try_button.isEnabled()
    card.show_result("/results/one", "", "gguf")
    qtbot.waitUntil(lambda: card.runtime_combo.count() == 2)
    assert not card.try_button.isEnabled()
    assert "Open the original" in card.state.text()


def test_runtimes_that_are_not_here_are_greyed_with_how_to_get_them(qtbot: QtBot, card: RuntimeCard) -> None:
    ready(qtbot, card)
    assert enabled(card) == [False, True]
    assert card.runtime_combo.currentText() == "transformers 5.23.0"
    assert "pip install llama-cpp-python" in card.runtime_combo.itemData(0, Qt.ItemDataRole.ToolTipRole)
    assert "llama.cpp (pip install llama-cpp-python)" in card.missing.text()


def test_another_python_may_have_any_of_them(qtbot: QtBot, card: RuntimeCard, verbs: Script) -> None:
    ready(qtbot, card)
    card.python_field.set_path("/venvs/llama/bin/python")
    assert enabled(card) == [True, True]
    assert card.missing.isHidden()
    card.runtime_combo.setCurrentIndex(0)
    with qtbot.waitSignal(card.checked):
        card.try_button.click()
    assert verbs.tried == [("/results/one", "/models/base", "llama.cpp", "/venvs/llama/bin/python")]
    card.python_field.set_path("")
    assert card.runtime_combo.currentData() == "transformers"


def test_what_came_of_it_shows_and_can_be_copied(qtbot: QtBot, card: RuntimeCard, verbs: Script) -> None:
    ready(qtbot, card)
    with qtbot.waitSignal(card.checked):
        qtbot.mouseClick(card.try_button, Qt.MouseButton.LeftButton)
    assert verbs.tried == [("/results/one", "/models/base", "transformers", None)]
    assert card.verdict.text().startswith("\u2713")
    assert "computes the model that was written" in card.verdict.text()
    assert "same continuation: 16 of 16 tokens" in card.figures.text()
    assert card.progress_bar.isHidden()
    card.copy_button.click()
    copied = QGuiApplication.clipboard().text()
    assert "computes the model that was written" in copied and "400 MB" in copied


def test_a_runtime_that_computes_something_else_is_said_in_words(
    qtbot: QtBot, card: RuntimeCard, verbs: Script
) -> None:
    verbs.runtime_report = runtime_report(0.5)
    ready(qtbot, card)
    with qtbot.waitSignal(card.checked):
        card.start()
    assert card.verdict.text().startswith("\u2715")
    assert "something else" in card.verdict.text()


def test_a_runtime_that_does_not_load_it_says_why(qtbot: QtBot, card: RuntimeCard, verbs: Script) -> None:
    verbs.runtime_report = replace(runtime_report(), loaded=False, difference=None, error="ValueError: <b>no</b>")
    ready(qtbot, card)
    with qtbot.waitSignal(card.checked):
        card.start()
    assert "does not load it: ValueError: <b>no</b>" in card.verdict.text()
    assert card.verdict.textFormat() == Qt.TextFormat.PlainText


def test_a_failure_is_handed_on_and_it_can_be_tried_again(qtbot: QtBot, card: RuntimeCard, verbs: Script) -> None:
    verbs.runtime_error = UsageError("python cannot be started", code="python")
    ready(qtbot, card)
    with qtbot.waitSignal(card.failed) as failed:
        card.start()
    assert failed.args == [verbs.runtime_error]
    assert "see the message" in card.state.text()
    assert card.try_button.isEnabled()


def test_stopping_closes_the_check(qtbot: QtBot, card: RuntimeCard, verbs: Script) -> None:
    started, stopped = threading.Event(), threading.Event()

    def endless() -> Generator[Event, None, RuntimeReport]:
        started.set()
        try:
            while True:
                stopped.wait(0.005)
                yield TextRead(0, 48)
        except GeneratorExit:
            stopped.set()
            raise

    verbs.check_in_runtime = lambda *_: endless  # type: ignore[method-assign]
    ready(qtbot, card)
    card.start()
    qtbot.waitUntil(started.is_set)
    assert card.progress_bar.isVisible()
    qtbot.mouseClick(card.stop_button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not card.busy)
    assert stopped.is_set()
    assert card.try_button.isVisible() and card.verdict.isHidden()


def test_another_result_forgets_what_came_of_the_one_before(qtbot: QtBot, card: RuntimeCard) -> None:
    ready(qtbot, card)
    with qtbot.waitSignal(card.checked):
        card.start()
    card.show_result("/results/two", "/models/base", "compressed-tensors")
    assert card.verdict.isHidden() and card.figures.isHidden()
    assert card.report is None
