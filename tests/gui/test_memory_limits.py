"""Ceilings on memory, set in the window: the plan is made with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from qtquant_app.core.errors import PlanError
from qtquant_app.core.limits import Limits
from qtquant_app.core.plan import Plan
from qtquant_app.gui.session import Session
from qtquant_app.gui.widgets.memory_limits import MemoryLimits
from tests.checkpoints import small_llama


@pytest.fixture
def limits(qtbot: QtBot) -> MemoryLimits:
    made = MemoryLimits()
    qtbot.addWidget(made)
    made.show()
    return made


def test_at_first_there_is_no_limit(limits: MemoryLimits) -> None:
    assert limits.limits == Limits()
    assert limits.memory_spin.text() == "no limit"


def test_gigabytes_become_bytes(qtbot: QtBot, limits: MemoryLimits) -> None:
    with qtbot.waitSignal(limits.limits_changed) as changed:
        limits.memory_spin.setValue(1.5)
    assert changed.args == [Limits(1_500_000_000)]
    limits.device_spin.setValue(8)
    assert limits.limits == Limits(1_500_000_000, 8_000_000_000)


def test_the_processor_has_no_memory_of_its_own(qtbot: QtBot, limits: MemoryLimits) -> None:
    limits.device_spin.setValue(8)
    with qtbot.waitSignal(limits.limits_changed) as changed:
        limits.set_device("cpu")
    assert changed.args == [Limits()]
    assert not limits.device_spin.isEnabled()
    limits.set_device("cuda")
    assert limits.limits == Limits(None, 8_000_000_000)


def test_showing_limits_is_no_change(qtbot: QtBot, limits: MemoryLimits) -> None:
    with qtbot.assertNotEmitted(limits.limits_changed):
        limits.set_limits(Limits(2_000_000_000, None))
    assert limits.memory_spin.value() == 2.0


def test_a_plan_is_made_with_the_ceiling_and_refused_under_one_too_low(qtbot: QtBot, tmp_path: Path) -> None:
    session = Session()
    made = lambda outcome: isinstance(outcome, (Plan, PlanError))  # noqa: E731
    with qtbot.waitSignal(session.plan_changed, timeout=20_000, check_params_cb=made):
        session.open(str(small_llama(tmp_path / "m")))
    session.set_default_scheme(session.recipe.default.__class__(group_size=32))
    with qtbot.waitSignal(session.plan_changed, timeout=20_000, check_params_cb=made):
        session.set_limits(Limits(64_000_000_000, 9_000_000_000))
    assert session.plan is not None
    assert (session.plan.max_memory, session.plan.max_device_memory) == (64_000_000_000, 9_000_000_000)
    with qtbot.waitSignal(session.plan_changed, timeout=20_000, check_params_cb=made):
        session.set_limits(Limits(1_000_000))
    assert session.plan is None
    assert session.refusal is not None and session.refusal.code == "memory"
