"""The one run: its states and what may follow what."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import QtQuantError, WriteError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.gui.runner import Runner, RunState
from tests.gui.inspect_samples import checkpoint, plan_for
from tests.gui.scripted import Script


@pytest.fixture
def verbs() -> Script:
    return Script()


@pytest.fixture
def runner(verbs: Script, qtbot: QtBot) -> Runner:
    return Runner(verbs)


@pytest.fixture
def plan() -> Plan:
    return plan_for(checkpoint(4))


def states(runner: Runner) -> list[RunState]:
    seen: list[RunState] = []
    runner.state_changed.connect(seen.append)
    return seen


def test_a_run_goes_from_running_to_done(qtbot: QtBot, runner: Runner, plan: Plan) -> None:
    seen = states(runner)
    with qtbot.waitSignal(runner.finished):
        runner.start(plan, RunOptions("out"))
    assert seen == [RunState.RUNNING, RunState.DONE]
    assert runner.progress.fraction == 1.0
    assert runner.progress.verified == len(plan.quantized)


def test_pause_holds_and_resume_goes_on(qtbot: QtBot, runner: Runner, plan: Plan, verbs: Script) -> None:
    verbs.gate.clear()
    seen = states(runner)
    runner.start(plan, RunOptions("out"))
    qtbot.waitUntil(lambda: runner.progress.bytes_done > 0)
    runner.pause()
    runner.pause()
    verbs.gate.set()
    qtbot.wait(150)
    assert runner.state is RunState.PAUSED
    with qtbot.waitSignal(runner.finished):
        runner.resume()
    assert seen == [RunState.RUNNING, RunState.PAUSED, RunState.RUNNING, RunState.DONE]


def test_cancel_closes_the_engine_and_ends_cancelled(qtbot: QtBot, runner: Runner, plan: Plan, verbs: Script) -> None:
    verbs.gate.clear()
    runner.start(plan, RunOptions("out"))
    qtbot.waitUntil(lambda: runner.progress.bytes_done > 0)
    runner.cancel()
    assert runner.state is RunState.CANCELLING
    qtbot.waitUntil(lambda: runner.state is RunState.CANCELLED, timeout=1000)
    assert verbs.closed.is_set()


def test_a_failure_keeps_its_error(qtbot: QtBot, runner: Runner, plan: Plan, verbs: Script) -> None:
    verbs.run_error = WriteError("the disk is full", code="disk-full")
    with qtbot.waitSignal(runner.failed):
        runner.start(plan, RunOptions("out"))
    assert (runner.state, runner.error) == (RunState.FAILED, verbs.run_error)


def test_a_foreign_exception_is_a_failure_with_a_code(qtbot: QtBot, runner: Runner, plan: Plan, verbs: Script) -> None:
    verbs.run_error = ZeroDivisionError("by chance")
    with qtbot.waitSignal(runner.failed) as signal:
        runner.start(plan, RunOptions("out"))
    assert isinstance(signal.args[0], QtQuantError)
    assert signal.args[0].code == "internal"


def test_a_second_start_while_one_is_active_does_nothing(
    qtbot: QtBot, runner: Runner, plan: Plan, verbs: Script
) -> None:
    verbs.gate.clear()
    runner.start(plan, RunOptions("first"))
    runner.start(plan, RunOptions("second"))
    verbs.gate.set()
    with qtbot.waitSignal(runner.finished):
        pass
    assert [options.output for options in verbs.options] == ["first"]


def test_what_is_asked_of_an_idle_runner_is_ignored(runner: Runner) -> None:
    runner.pause()
    runner.resume()
    runner.cancel()
    assert runner.state is RunState.IDLE
