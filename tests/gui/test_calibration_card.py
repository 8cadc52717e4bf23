"""The samples that methods look at, in the window: chosen, shown before use, and handed to plan, job and command line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.calibration import MOST_TOKENS, Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import SourceError
from qtquant_app.core.events import Calibrated, Event
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.pages.recipe import RecipePage
from qtquant_app.gui.pages.run import RunPage
from qtquant_app.gui.runner import RunState
from qtquant_app.gui.sample_needs import sampling_methods, start_note
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.calibration_card import CalibrationCard
from qtquant_app.gui.widgets.calibration_choice import FILE, FOLDER, HUB, CalibrationChoice
from qtquant_app.jobs.job import Work, once
from tests.checkpoints import small_llama
from tests.gui.inspect_samples import plan_for
from tests.gui.scripted import Script

GPTQ = Recipe(default=Scheme(4, group_size=32, method="gptq"))


class Planner(Script):
    """Remembers which samples plans were asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.planned: list[Calibration] = []

    def plan(self, checkpoint: Checkpoint, *choices: object, **more: object) -> Work:
        recipe, calibration = choices[0], choices[-1]
        assert isinstance(recipe, Recipe) and isinstance(calibration, Calibration)
        self.planned.append(calibration)
        needed = calibration if sampling_methods(recipe) else None
        return once(lambda: replace(plan_for(checkpoint, recipe), calibration=needed))


@pytest.fixture
def verbs() -> Planner:
    return Planner()


@pytest.fixture
def session(verbs: Planner) -> Session:
    return Session(verbs)


@pytest.fixture
def page(qtbot: QtBot, session: Session, settings: Settings) -> RecipePage:
    made = RecipePage(session, settings)
    qtbot.addWidget(made)
    made.resize(1000, 640)
    made.show()
    return made


@pytest.fixture
def card(page: RecipePage) -> CalibrationCard:
    return page.calibration_card


def opened(qtbot: QtBot, session: Session, path: str = "sample") -> None:
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan), timeout=20_000):
        session.open(path)


def choose(choice: CalibrationChoice, kind: str) -> None:
    choice.source_combo.setCurrentIndex(choice.source_combo.findData(kind))


def test_the_card_opens_with_a_method_that_looks_at_samples_and_names_it(
    card: CalibrationCard, session: Session
) -> None:
    assert not card.choice.isVisible() and "No method" in card.needs.text()
    session.set_recipe(replace(GPTQ, rules=(Rule("lm_head", Scheme(8, method="awq+learned")),)))
    assert card.choice.isVisible()
    assert card.needs.text() == "GPTQ and AWQ, then Learned rounding look at these in a run."
    session.set_recipe(Recipe())
    assert not card.choice.isVisible()


def test_the_card_can_be_opened_before_a_method_needs_it_and_stays_open(
    card: CalibrationCard, session: Session
) -> None:
    card.open_button.click()
    assert card.choice.isVisible()
    session.set_recipe(Recipe(default=Scheme(3)))
    assert card.choice.isVisible()


def test_a_method_that_nobody_knows_needs_no_samples() -> None:
    unknown = Scheme(method="of-tomorrow")
    assert sampling_methods(Recipe(default=unknown)) == () and start_note([unknown]) == ""


def test_figures_of_tensors_by_themselves_say_that_no_sample_was_looked_at() -> None:
    schemes = [Scheme(), GPTQ.default, Scheme(3, method="gptq"), Scheme(method="awq+learned")]
    assert start_note(schemes) == "gptq, awq+learned without samples: what a run starts from"


def test_what_is_chosen_reaches_the_plan_and_the_command_line(
    qtbot: QtBot, page: RecipePage, card: CalibrationCard, session: Session, verbs: Planner
) -> None:
    session.set_recipe(GPTQ)
    opened(qtbot, session)
    choose(card.choice, FILE)
    assert "Choose the file" in card.state.text() and session.calibration == Calibration()
    card.choice.place.set_path("/texts/my notes.txt")
    card.choice.samples_spin.setValue(16)
    card.choice.length_spin.setValue(256)
    card.choice.own_spin.setValue(24)
    card.choice.chat_check.click()
    wanted = Calibration("/texts/my notes.txt", 16, 256, chat=True, own=24)
    assert session.calibration == wanted
    qtbot.waitUntil(lambda: verbs.planned[-1] == wanted)
    line = page.command.code.toPlainText()
    assert "--calibration '/texts/my notes.txt' --samples 16 --seqlen 256 --own-samples 24 --chat" in line
    session.set_recipe(Recipe())
    assert "--samples" not in page.command.code.toPlainText()


def test_samples_are_shown_before_they_are_used(
    qtbot: QtBot, card: CalibrationCard, session: Session, verbs: Planner
) -> None:
    session.set_recipe(GPTQ)
    assert not card.show_button.isEnabled() and "Open a checkpoint" in card.state.text()
    opened(qtbot, session)
    verbs.gate.clear()
    card.show_button.click()
    assert card.busy and card.stop_button.isVisible() and not card.show_button.isEnabled()
    verbs.gate.set()
    qtbot.waitUntil(card.view.isVisible)
    view = card.view
    assert view.counts.text() == (
        "12 samples, of 64 asked for, from the first half of notes.txt: 5,000 tokens, 300 to 512 each."
    )
    assert view.languages.text() == "Probably English (75 %), German (25 %)."
    assert view.synthetic.text().startswith("Synthetic audio")
    assert view.remarks.text() == "Refused: 3, an empty line.\nThe text is too short for 64 samples."
    assert "1.  To begin <b>with\n    input_ids 1 \u00d7 512" in view.first.toPlainText()
    assert verbs.sampled == [Calibration()]


def test_other_samples_or_another_checkpoint_forget_what_was_shown(
    qtbot: QtBot, card: CalibrationCard, session: Session
) -> None:
    session.set_recipe(GPTQ)
    opened(qtbot, session)
    for change in (lambda: card.choice.samples_spin.setValue(8), lambda: opened(qtbot, session, "other")):
        card.show_button.click()
        qtbot.waitUntil(card.view.isVisible)
        change()
        assert card.view.isHidden() and card.show_button.isEnabled()


def test_samples_that_cannot_be_read_say_why_in_the_card(
    qtbot: QtBot, card: CalibrationCard, session: Session, verbs: Planner
) -> None:
    verbs.samples_error = SourceError("notes.txt is empty", hint="give another", code="text")
    session.set_recipe(GPTQ)
    opened(qtbot, session)
    card.show_button.click()
    qtbot.waitUntil(lambda: "notes.txt is empty" in card.error_panel.text().lower())
    assert card.view.isHidden() and card.show_button.isEnabled()


def test_reading_the_samples_can_be_given_up(
    qtbot: QtBot, card: CalibrationCard, session: Session, verbs: Planner
) -> None:
    session.set_recipe(GPTQ)
    opened(qtbot, session)
    verbs.gate.clear()
    card.show_button.click()
    card.stop_button.click()
    qtbot.waitUntil(lambda: not card.busy)
    assert card.view.isHidden() and card.show_button.isEnabled() and "Look at the samples" in card.state.text()


@pytest.mark.parametrize(
    ("kind", "typed", "source"),
    [
        (FOLDER, "/pictures", "/pictures"),
        (HUB, "org/name:en:train", "hub:org/name:en:train"),
        (HUB, "hub:org/name", "hub:org/name"),
    ],
)
def test_a_folder_and_a_data_set_are_named_as_the_engine_reads_them(
    card: CalibrationCard, session: Session, kind: str, typed: str, source: str
) -> None:
    card.open_button.click()
    choose(card.choice, kind)
    card.choice.place.set_path(typed)
    assert session.calibration.source == source


def test_a_file_can_be_chosen_in_a_dialog(
    card: CalibrationCard, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/texts/a.jsonl", ""))
    card.open_button.click()
    choose(card.choice, FILE)
    assert card.choice.place.file_button.isVisible() and not card.choice.place.folder_button.isVisible()
    card.choice.place.file_button.click()
    assert session.calibration.source == "/texts/a.jsonl"


@given(
    st.sampled_from(["default", "random", "/a/b.txt", "/folder", "hub:org/name:split"]),
    st.integers(1, 1 << 16),
    st.integers(1, 1 << 24),
    st.booleans(),
    st.integers(0, 1 << 16),
)
def test_whatever_can_be_chosen_is_a_calibration_that_can_be_shown_again(
    qapp: object, source: str, samples: int, length: int, chat: bool, own: int
) -> None:
    choice = CalibrationChoice()
    wanted = Calibration(source, samples, min(length, MOST_TOKENS // max(samples, own)), chat, own=own)
    choice.set_calibration(wanted)
    assert choice.calibration == wanted
    choice.samples_spin.setValue(1 << 16)  # fewer tokens give way, so that the product stays what memory holds
    found = choice.calibration
    assert found is not None and found.samples * found.length <= MOST_TOKENS


class Small(Verbs):
    """The engine, its jobs kept apart."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.jobs_folder = folder


def test_a_calibrated_run_is_watched_paused_cancelled_and_gone_on_with(
    qtbot: QtBot, settings: Settings, tmp_path: Path
) -> None:
    settings.set("output/parent", str(tmp_path))
    session = Session(Small(tmp_path / "jobs"))
    session.set_device("cpu")
    page = RunPage(session, settings)
    qtbot.addWidget(page)
    page.show()
    session.set_recipe(replace(GPTQ, format="qtquant"))
    session.set_calibration(Calibration("random", samples=4, length=16))
    opened(qtbot, session, str(small_llama(tmp_path / "m", blocks=3)))
    assert session.plan is not None and session.plan.calibration == session.calibration
    assert "calibrating with 4 samples included" in page.progress_text.text()
    seen: list[Event] = []
    paused: list[str] = []

    def pause_in_the_second_block(events: list[Event]) -> None:
        seen.extend(events)
        at = [event for event in events if isinstance(event, Calibrated) and "layers.1" in event.text]
        if at and not paused:
            paused.append(at[-1].text)
            session.runner.pause()

    session.runner.batch.connect(pause_in_the_second_block)
    page.output_field.set_path(str(tmp_path / "out"))
    qtbot.waitUntil(page.start_button.isEnabled)
    page.start_button.click()
    qtbot.waitUntil(lambda: session.runner.state in (RunState.PAUSED, RunState.DONE), timeout=60_000)
    job = session.queue.records[0]
    assert job.options.calibration == session.calibration
    if session.runner.state is RunState.PAUSED:
        assert "calibrating model.layers.1" in page.progress_text.text()
        assert 0 < page.progress_bar.value() < page.progress_bar.maximum()
        page.cancel_button.click()
        qtbot.waitUntil(lambda: session.runner.state is RunState.CANCELLED, timeout=20_000)
        qtbot.waitUntil(page.start_button.isEnabled)
        assert page.output_field.resume
        page.start_button.click()
        qtbot.waitUntil(lambda: session.runner.state is RunState.DONE, timeout=60_000)
    log = page.log.toPlainText()
    assert "calibrating model.layers.0" in log and "calibrating model.layers.2" in log
    assert (tmp_path / "out" / "qtquant.json").exists()
