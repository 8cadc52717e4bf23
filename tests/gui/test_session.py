"""The session: open, choose, plan."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import PlanError, QtQuantError, SourceError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.session import Session, error_detail
from qtquant_app.jobs.job import internal
from tests.gui.scripted import CATALOG, Script


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def session(verbs: Script, qtbot: QtBot) -> Session:
    return Session(verbs)


def opened(qtbot: QtBot, session: Session) -> Plan:
    with qtbot.waitSignal(session.plan_changed, check_params_cb=lambda plan: isinstance(plan, Plan)):
        session.open("made up")
    assert session.plan is not None
    return session.plan


def test_opening_gives_a_checkpoint_and_then_a_plan(qtbot: QtBot, session: Session) -> None:
    said: list[str] = []
    session.opening_changed.connect(said.append)
    plan = opened(qtbot, session)
    assert said == ["made up", ""]
    assert session.checkpoint is not None
    assert plan.recipe == session.recipe


def test_a_checkpoint_that_cannot_be_opened_leaves_the_one_before(
    qtbot: QtBot, session: Session, verbs: Script
) -> None:
    opened(qtbot, session)
    before = session.checkpoint
    verbs.open_error = SourceError("nothing there", hint="look elsewhere")
    messages: list[tuple[str, str]] = []
    session.message.connect(lambda text, detail: messages.append((text, detail)))
    with qtbot.waitSignal(session.open_failed):
        session.open("nowhere")
    assert session.checkpoint is before
    assert messages == [("nothing there", "look elsewhere\ncode: error")]


def test_many_changes_in_a_row_are_planned_once(qtbot: QtBot, session: Session) -> None:
    opened(qtbot, session)
    plans: list[object] = []
    session.plan_changed.connect(plans.append)
    for bits in (2, 3, 5, 6, 8):
        session.set_default_scheme(replace(session.recipe.default, bits=bits))
        assert session.plan is None
    qtbot.waitUntil(lambda: bool(plans))
    qtbot.wait(300)
    assert [plan.recipe.default.bits for plan in plans] == [8]  # type: ignore[attr-defined]


def test_a_refused_plan_is_an_error_and_not_a_plan(qtbot: QtBot, session: Session, verbs: Script) -> None:
    verbs.plan_error = PlanError("does not divide", code="format-constraint")
    with qtbot.waitSignal(session.plan_changed) as signal:
        session.open("made up")
    assert signal.args == [verbs.plan_error]
    assert (session.plan, session.refusal) == (None, verbs.plan_error)
    verbs.plan_error = None
    with qtbot.waitSignal(session.plan_changed):
        session.set_default_scheme(Scheme(bits=8))
    assert session.refusal is None


def test_the_same_recipe_again_changes_nothing(qtbot: QtBot, session: Session) -> None:
    opened(qtbot, session)
    with qtbot.assertNotEmitted(session.recipe_changed):
        session.set_recipe(Recipe())
    assert session.plan is not None


def test_another_device_is_planned_anew(qtbot: QtBot, session: Session) -> None:
    opened(qtbot, session)
    with qtbot.waitSignal(session.plan_changed):
        session.set_device("cpu")


def test_a_selection_is_said_once_and_forgotten_with_the_checkpoint(qtbot: QtBot, session: Session) -> None:
    opened(qtbot, session)
    said: list[str] = []
    session.selection_changed.connect(said.append)
    session.select("a")
    session.select("a")
    session.close()
    assert said == ["a", ""]
    assert session.checkpoint is None
    assert session.plan is None


def test_the_catalog_is_read_in_the_background(qtbot: QtBot, session: Session) -> None:
    with qtbot.waitSignal(session.catalog_changed):
        session.load_catalog()
    assert session.catalog == CATALOG


def test_a_run_reports_its_tensors_and_its_end(qtbot: QtBot, session: Session) -> None:
    plan = opened(qtbot, session)
    reports: list[object] = []
    session.tensor_reported.connect(reports.extend)
    with qtbot.waitSignal(session.run_finished):
        session.runner.start(plan, RunOptions("out"))
    assert len(reports) == 2 * len(plan.quantized)
    assert session.report is not None
    assert session.report.output == "out"


def test_the_detail_of_an_error_holds_hint_code_and_traceback() -> None:
    try:
        raise ValueError("deep down")
    except ValueError as error:
        wrapped = internal(error)
    detail = error_detail(wrapped)
    assert "code: internal" in detail
    assert "ValueError: deep down" in detail
    assert "Traceback" in detail
    assert error_detail(QtQuantError("plain")) == "code: error"
