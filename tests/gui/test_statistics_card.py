"""Column statistics in the window: attached to what is open, used by plan and previews, taken off again."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from qtquant_app.core.checkpoint import Checkpoint, Statistics
from qtquant_app.core.errors import EvaluateError, SourceError
from qtquant_app.core.plan import Plan
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.gather_statistics import gather_statistics
from qtquant_app.gui.pages.inspect import InspectPage
from qtquant_app.gui.pages.recipe import RecipePage
from qtquant_app.gui.session import Session
from qtquant_app.gui.settings import Settings
from qtquant_app.gui.verbs import Verbs
from qtquant_app.gui.widgets.statistics_card import StatisticsCard
from qtquant_app.jobs.job import Work
from tests.checkpoints import small_llama
from tests.gui.scripted import Script, script
from tests.unit.engine.test_importance import statistics_file

short_gathering = partial(gather_statistics, windows=2, seqlen=64)


class Weigher(Script):
    """Attaches statistics of one weight, or refuses them; remembers what plans and previews were asked of."""

    def __init__(self) -> None:
        super().__init__()
        self.error: SourceError | None = None
        self.attached: list[str] = []
        self.previewed: list[Checkpoint] = []

    def with_statistics(self, checkpoint: Checkpoint, path: str) -> Work:
        self.attached.append(path)
        if self.error is not None:
            return script([], error=self.error)
        return script([], replace(checkpoint, statistics=Statistics(path, "ab", {"a": np.ones(3)})))

    def preview(self, checkpoint: Checkpoint, *choices: object, **more: object) -> Work:  # type: ignore[override]
        self.previewed.append(checkpoint)
        return super().preview(checkpoint, *choices, **more)  # type: ignore[arg-type]


@pytest.fixture
def verbs() -> Weigher:
    return Weigher()


@pytest.fixture
def session(verbs: Weigher) -> Session:
    return Session(verbs)


@pytest.fixture
def page(qtbot: QtBot, session: Session, settings: Settings) -> RecipePage:
    made = RecipePage(session, settings)
    qtbot.addWidget(made)
    made.resize(1000, 640)
    made.show()
    return made


def opened(qtbot: QtBot, session: Session, path: str = "sample") -> None:
    with qtbot.waitSignal(session.checkpoint_changed, timeout=20_000):
        session.open(path)


def test_without_a_checkpoint_it_says_what_to_do_first(page: RecipePage) -> None:
    card = page.statistics_card
    assert not card.choose_button.isEnabled() and not card.make_button.isEnabled()
    assert card.remove_button.isHidden()
    assert "Open a checkpoint" in card.state.text()


def test_a_chosen_file_is_attached_named_and_can_be_taken_off(
    qtbot: QtBot, page: RecipePage, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(qtbot, session)
    card = page.statistics_card
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: ("/files/imatrix.gguf", ""))
    with qtbot.waitSignal(session.statistics_changed):
        card.choose_button.click()
    qtbot.waitUntil(lambda: "imatrix.gguf says which columns matter in 1 of" in card.state.text())
    assert "--importance /files/imatrix.gguf" in page.command.code.toPlainText()
    assert card.remove_button.isVisible()
    card.remove_button.click()
    assert session.checkpoint is not None
    assert session.checkpoint.statistics.path == ""
    assert "count alike" in card.state.text()
    assert "--importance" not in page.command.code.toPlainText()


def test_a_file_of_another_model_is_refused_beside_the_button_and_changes_nothing(
    qtbot: QtBot, page: RecipePage, session: Session, verbs: Weigher
) -> None:
    opened(qtbot, session)
    before = session.checkpoint
    verbs.error = SourceError("x says nothing of the layers", hint="give this model's", code="importance")
    with qtbot.waitSignal(session.statistics_failed):
        session.set_statistics("/files/x.gguf")
    card = page.statistics_card
    qtbot.waitUntil(card.choose_button.isEnabled)
    assert card.error_panel.isVisibleTo(card)
    assert "says nothing" in card.error_panel.text()
    assert session.checkpoint is before


def test_another_checkpoint_forgets_the_statistics(qtbot: QtBot, page: RecipePage, session: Session) -> None:
    opened(qtbot, session)
    with qtbot.waitSignal(session.statistics_changed):
        session.set_statistics("/files/x.gguf")
    opened(qtbot, session, "other")
    assert page.statistics_card.remove_button.isHidden()
    assert session.checkpoint is not None and not session.checkpoint.statistics.path


def test_statistics_make_the_plan_and_the_picture_anew(qtbot: QtBot, session: Session, verbs: Weigher) -> None:
    looked = InspectPage(session)
    qtbot.addWidget(looked)
    opened(qtbot, session)
    qtbot.waitUntil(lambda: session.plan is not None)
    assert session.checkpoint is not None
    name = session.checkpoint.quantizable[0].name
    session.select(name)
    qtbot.waitUntil(lambda: looked.inspection.preview is not None)
    verbs.previewed.clear()
    session.set_statistics("/files/x.gguf")
    qtbot.waitUntil(lambda: bool(verbs.previewed) and session.plan is not None)
    assert session.selection == name
    assert all(seen.statistics.path == "/files/x.gguf" for seen in verbs.previewed)


def test_a_real_file_reaches_the_plan_of_a_run(qtbot: QtBot, tmp_path: Path) -> None:
    session = Session(Verbs())
    session.set_recipe(Recipe(default=Scheme(4, group_size=32)))
    opened(qtbot, session, str(small_llama(tmp_path / "m")))
    assert session.checkpoint is not None
    tensor = session.checkpoint.quantizable[0]
    file = statistics_file(tmp_path / "i.gguf", {tensor.name: (np.arange(tensor.shape[1]) + 1.0, 4)})
    with qtbot.waitSignal(session.statistics_changed):
        session.set_statistics(str(file))
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan), timeout=20_000):
        pass
    assert session.plan is not None and session.plan.statistics == str(file)
    assert list(session.checkpoint.statistics.columns) == [tensor.name]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Answers the question where a new file goes; what was proposed."""
    proposed: list[str] = []

    def answer(_parent: object, _title: str, start: str, _filter: str) -> tuple[str, str]:
        proposed.append(start)
        return "/files/made.gguf", ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", answer)
    return proposed


def test_statistics_are_made_of_what_is_open_and_attached(
    qtbot: QtBot, page: RecipePage, session: Session, verbs: Weigher, asked: list[str]
) -> None:
    opened(qtbot, session)
    card, source = page.statistics_card, session.checkpoint
    said: list[str] = []
    session.message.connect(lambda text, _detail: said.append(text))
    session.set_device("cpu")
    verbs.gate.clear()
    card.make_button.click()
    qtbot.waitUntil(lambda: "512 of 1,024 tokens read" in card.maker.state.text())
    assert (card.maker.progress_bar.value(), card.maker.progress_bar.maximum()) == (512, 1024)
    assert card.maker.isVisibleTo(card)
    assert not card.make_button.isEnabled() and not card.choose_button.isEnabled()
    assert Path(asked[0]).name == "made up-imatrix.gguf"
    with qtbot.waitSignal(session.statistics_changed):
        verbs.gate.set()
    assert verbs.gathered == [(source, "/files/made.gguf", "cpu")]
    assert "Saved /files/made.gguf: 7 layers, 1,024 tokens read" in said
    qtbot.waitUntil(card.make_button.isEnabled)
    assert "made.gguf says which columns matter" in card.state.text()
    assert not card.maker.isVisibleTo(card)


def test_stopped_making_attaches_nothing(
    qtbot: QtBot, page: RecipePage, session: Session, verbs: Weigher, asked: list[str]
) -> None:
    opened(qtbot, session)
    card = page.statistics_card
    verbs.gate.clear()
    card.make_button.click()
    qtbot.waitUntil(lambda: "tokens read" in card.maker.state.text())
    card.maker.stop_button.click()
    qtbot.waitUntil(card.make_button.isEnabled)
    verbs.gate.set()
    assert not card.maker.isVisibleTo(card)
    assert verbs.attached == []
    assert session.checkpoint is not None and not session.checkpoint.statistics.path


def test_a_model_that_cannot_be_run_says_so_in_the_card(
    qtbot: QtBot, page: RecipePage, session: Session, verbs: Weigher, asked: list[str]
) -> None:
    opened(qtbot, session)
    card = page.statistics_card
    verbs.gathering_error = EvaluateError("x has no tokenizer, so no text can be read with it", code="model")
    card.make_button.click()
    qtbot.waitUntil(lambda: "no tokenizer" in card.error_panel.text())
    assert card.error_panel.isVisibleTo(card)
    assert card.make_button.isEnabled() and not card.maker.isVisibleTo(card)
    assert verbs.attached == []


def test_another_checkpoint_gives_up_the_statistics_of_the_one_before(
    qtbot: QtBot, page: RecipePage, session: Session, verbs: Weigher, asked: list[str]
) -> None:
    opened(qtbot, session)
    verbs.gate.clear()
    page.statistics_card.make_button.click()
    qtbot.waitUntil(lambda: "tokens read" in page.statistics_card.maker.state.text())
    opened(qtbot, session, "other")
    qtbot.waitUntil(lambda: not page.statistics_card.maker.busy)
    assert verbs.attached == []
    assert page.statistics_card.make_button.isEnabled()


def test_no_file_named_makes_nothing(
    qtbot: QtBot, page: RecipePage, session: Session, verbs: Weigher, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(qtbot, session)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: ("", ""))
    page.statistics_card.make_button.click()
    assert verbs.gathered == [] and not page.statistics_card.maker.busy


def test_the_sample_model_makes_statistics_of_its_own(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qtquant_app.engine.gather_statistics.gather_statistics", short_gathering)
    session = Session(Verbs())
    card = StatisticsCard(session)
    qtbot.addWidget(card)
    opened(qtbot, session)
    file = tmp_path / "old.gguf"
    file.write_bytes(b"what the dialog has asked about")
    with qtbot.waitSignal(session.statistics_changed, timeout=60_000):
        card.maker.start(str(file))
    assert session.checkpoint is not None and session.checkpoint.statistics.path == str(file)
    assert list(tmp_path.iterdir()) == [file]
