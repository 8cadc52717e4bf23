"""The budget planner behind the window: what is measured stays, the newest target counts, nothing falls behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytestqt.qtbot import QtBot

from qtquant_app.core.budget import Budget, Proof
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError, QtQuantError
from qtquant_app.core.events import ChunkDone, RunStarted, StageChanged, TextRead
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.target import Memory, Target
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.gui.budget_gauge import BITS, ERROR, LIKE, MEMORY, SIZE, TITLES, gauge
from qtquant_app.gui.budget_words import beside_uniform, mix_text, price_text, proof_text
from qtquant_app.gui.budgeter import Budgeter, Wish
from tests.checkpoints import small_llama
from tests.gui.budget_samples import Slow, reach

WISH = Wish((Scheme(2, group_size=32), Scheme(4, group_size=32), Scheme(8, group_size=32)))
RECIPE = Recipe(Scheme(4, group_size=32))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return open_checkpoint(str(small_llama(tmp_path / "model")))


@pytest.fixture
def verbs() -> Slow:
    return Slow()


@pytest.fixture
def budgeter(qtbot: QtBot, verbs: Slow, checkpoint: Checkpoint) -> Budgeter:
    """It has measured the small checkpoint."""
    found = Budgeter(verbs)
    measure(qtbot, found, checkpoint)
    return found


def measure(qtbot: QtBot, budgeter: Budgeter, checkpoint: Checkpoint, recipe: Recipe = RECIPE) -> None:
    with qtbot.waitSignal(budgeter.measured, timeout=30_000):
        budgeter.measure(checkpoint, recipe, WISH, "cpu")


def aim(qtbot: QtBot, budgeter: Budgeter, target: Target) -> Budget:
    with qtbot.waitSignal(budgeter.solved, timeout=30_000):
        budgeter.aim(target)
    assert budgeter.budget is not None
    return budgeter.budget


def test_the_ends_of_what_was_measured_can_be_had(qtbot: QtBot, budgeter: Budgeter) -> None:
    found = budgeter.reach
    assert found is not None
    low, high = found.bytes
    assert aim(qtbot, budgeter, Target(bytes=low)).plan.output_bytes <= low
    assert aim(qtbot, budgeter, Target(bytes=high)).error == pytest.approx(found.errors[0])
    for kind in TITLES:
        for share in (0.0, 0.37, 1.0):
            scale = gauge(kind, found, Memory(1, 1024))
            value = scale.value(share)
            mix = aim(qtbot, budgeter, scale.target(value, found, Memory(1, 1024)))
            assert mix.plan.output_bytes == pytest.approx(scale.bytes(value, found, Memory(1, 1024)), rel=0.08)


def test_of_many_targets_the_last_is_answered_and_most_are_never_looked_for(
    qtbot: QtBot, budgeter: Budgeter, verbs: Slow
) -> None:
    assert budgeter.reach is not None
    low, high = budgeter.reach.bytes
    targets = [Target(bytes=low + (high - low) * i // 40) for i in range(1, 41)]
    for target in targets:
        budgeter.aim(target)
    qtbot.waitUntil(lambda: budgeter.budget is not None and budgeter.budget.target == targets[-1], timeout=30_000)
    assert len(verbs.targets) == 2


def test_a_mix_under_way_is_shown_while_newer_targets_come(qtbot: QtBot, budgeter: Budgeter, verbs: Slow) -> None:
    assert budgeter.reach is not None
    low, high = budgeter.reach.bytes
    shown: list[Target] = []
    budgeter.solved.connect(lambda budget: shown.append(budget.target))
    verbs.solving.clear()
    first, last = Target(bytes=low), Target(bytes=high)
    budgeter.aim(first)
    budgeter.aim(last)
    assert budgeter.solving
    verbs.solving.set()
    qtbot.waitUntil(lambda: shown == [first, last], timeout=30_000)


def test_a_target_that_cannot_be_had_is_refused_and_the_next_one_is_answered(qtbot: QtBot, budgeter: Budgeter) -> None:
    with qtbot.waitSignal(budgeter.refused, timeout=30_000) as refusal:
        budgeter.aim(Target(bytes=10))
    error = refusal.args[0] if refusal.args else None
    assert isinstance(error, QtQuantError) and "does not fit" in error.message
    assert budgeter.budget is None and budgeter.reach is not None
    assert aim(qtbot, budgeter, Target(bytes=budgeter.reach.bytes[1])).assignments


def test_rules_ignores_format_and_choices_make_it_stale_and_the_default_does_not(budgeter: Budgeter) -> None:
    assert budgeter.why_stale(RECIPE, WISH) == ""
    assert budgeter.why_stale(replace(RECIPE, default=Scheme(8, group_size=32)), WISH) == ""
    for other in (
        replace(RECIPE, rules=(Rule("*.q_proj", "keep"),)),
        replace(RECIPE, ignore=("*.q_proj",)),
        replace(RECIPE, format="qtquant"),
    ):
        assert "have changed" in budgeter.why_stale(other, WISH)
    assert "may do" in budgeter.why_stale(RECIPE, replace(WISH, locked=("*.q_proj",)))


def test_the_mix_as_recipe_is_not_stale_and_measuring_again_measures_what_it_was_made_for(
    qtbot: QtBot, budgeter: Budgeter, checkpoint: Checkpoint, verbs: Slow
) -> None:
    mix = aim(qtbot, budgeter, Target(bits_per_weight=4.2)).recipe
    assert mix.rules
    assert budgeter.why_stale(mix, WISH)
    budgeter.applied(mix)
    assert budgeter.why_stale(mix, WISH) == ""
    measure(qtbot, budgeter, checkpoint, mix)
    assert verbs.wishes[-1][0] == RECIPE
    assert budgeter.reach is not None and budgeter.reach.free > 1


def test_cancelling_keeps_what_was_measured_before(
    qtbot: QtBot, budgeter: Budgeter, checkpoint: Checkpoint, verbs: Slow
) -> None:
    before = budgeter.reach
    verbs.measuring.clear()
    budgeter.measure(checkpoint, RECIPE, replace(WISH, schemes=WISH.schemes[:2]), "cpu")
    assert budgeter.measuring
    budgeter.cancel()
    qtbot.waitUntil(lambda: not budgeter.measuring, timeout=10_000)
    assert budgeter.reach is before and budgeter.why_stale(RECIPE, WISH) == ""


def test_another_checkpoint_drops_all_even_what_is_still_looked_for(
    qtbot: QtBot, budgeter: Budgeter, verbs: Slow
) -> None:
    shown: list[Budget] = []
    budgeter.solved.connect(shown.append)
    verbs.solving.clear()
    budgeter.aim(Target(bits_per_weight=4.2))
    with qtbot.waitSignal(budgeter.dropped):
        budgeter.forget()
    verbs.solving.set()
    qtbot.wait(100)
    assert budgeter.reach is None and budgeter.budget is None and not shown


def test_a_pattern_that_names_nothing_is_the_engines_refusal(qtbot: QtBot, verbs: Slow, checkpoint: Checkpoint) -> None:
    budgeter = Budgeter(verbs)
    with qtbot.waitSignal(budgeter.failed, timeout=30_000) as failure:
        budgeter.measure(checkpoint, RECIPE, replace(WISH, locked=("nothing.like.this",)), "cpu")
    assert failure.args and "nothing.like.this" in failure.args[0].message
    assert budgeter.reach is None


def test_a_check_adds_its_proof_and_a_new_target_gives_it_up(qtbot: QtBot, budgeter: Budgeter, verbs: Slow) -> None:
    budget = aim(qtbot, budgeter, Target(bits_per_weight=4.2))
    verbs.proof = Proof("a text", 1000, 0.1, budget.uniform[0], 0.2)
    with qtbot.waitSignal(budgeter.solved, timeout=10_000):
        budgeter.check()
    assert budgeter.budget is not None and budgeter.budget.proof == verbs.proof
    verbs.checking.clear()
    budgeter.check()
    assert budgeter.checking
    fresh = aim(qtbot, budgeter, Target(bits_per_weight=5.0))
    qtbot.waitUntil(lambda: not budgeter.checking, timeout=10_000)
    assert fresh.proof is None and budgeter.budget is fresh


def test_a_check_that_cannot_be_made_leaves_the_mix(qtbot: QtBot, budgeter: Budgeter, verbs: Slow) -> None:
    budget = aim(qtbot, budgeter, Target(bits_per_weight=4.2))
    verbs.fault = EvaluateError("it does not run", code="made-up")
    with qtbot.waitSignal(budgeter.check_failed, timeout=10_000):
        budgeter.check()
    assert budgeter.budget is budget


def test_the_words_say_where_the_mix_wins_and_where_it_does_not(qtbot: QtBot, budgeter: Budgeter) -> None:
    budget = aim(qtbot, budgeter, Target(bits_per_weight=5.0))
    nearest = budget.nearest_uniform()
    assert nearest is not None and nearest.label in beside_uniform(budget)
    assert "less error" in beside_uniform(budget) and "bits per weight" in mix_text(budget)
    assert "no better" in beside_uniform(replace(budget, error=nearest.error))
    assert "No single scheme" in beside_uniform(replace(budget, uniform=()))
    assert "would remove" in price_text(budget) and "not make it" in price_text(replace(budget, price=0.0))
    better = replace(budget, proof=Proof("a text", 1000, 0.1, nearest, 0.2))
    worse = replace(budget, proof=Proof("a text", 1000, 0.2, nearest, 0.1))
    assert proof_text(budget) == ""
    assert better.proof is not None and worse.proof is not None
    assert better.proof.sentence[1:] in proof_text(better) and "50% better" in proof_text(better)
    assert worse.proof.sentence[1:] in proof_text(worse) and "no better" in proof_text(worse)
    read = replace(budget, calibrated=True)
    for words in (mix_text(read), beside_uniform(read), price_text(read)):
        assert "nats a token" in words
    assert "predicted KL divergence" in mix_text(read) and "nats" not in mix_text(budget) + price_text(budget)


def test_progress_counts_tensors_then_tokens_of_the_text(qtbot: QtBot, checkpoint: Checkpoint, verbs: Slow) -> None:
    budgeter = Budgeter(verbs)
    said: list[tuple[float, str]] = []
    budgeter.progressed.connect(lambda done, words: said.append((done, words)))
    for event in (RunStarted(9, 100), ChunkDone("a", 50)):
        budgeter._weighs.batch.emit([event])
    assert said[-1][0] == 0.5
    for event in (StageChanged("calibrate"), TextRead(256, 1024), TextRead(512, 1024)):
        budgeter._weighs.batch.emit([event])
    assert said[-1][0] == 0.5 and "512 of 1,024 tokens" in said[-1][1] and "left" in said[-1][1]
    budgeter._weighs.batch.emit([RunStarted(9, 100), ChunkDone("a", 25)])
    assert said[-1][0] == 0.25


@given(st.floats(0, 1))
def test_a_size_and_the_error_there_are_two_ways_to_say_the_same(share: float) -> None:
    found = reach()
    low, high = found.bytes
    size = low + share * (high - low)
    assert found.bytes_for(found.error_at(size)) == pytest.approx(size, rel=1e-6)
    assert found.bytes_at(found.bits_at(size)) == pytest.approx(size, rel=1e-9)


@given(st.sampled_from([SIZE, BITS, MEMORY, ERROR, LIKE]), st.floats(0, 1), st.integers(1, 1 << 20))
def test_slider_field_and_plot_agree_about_every_value(kind: str, share: float, context: int) -> None:
    found, room = reach(), Memory(1, context)
    scale = gauge(kind, found, room)
    value = scale.value(share)
    assert scale.low <= value <= scale.high
    step = 1 if kind == LIKE else 0.01
    assert abs(scale.share(value) - share) <= step
    again = scale.value_of(scale.bytes(value, found, room), found, room)
    assert scale.share(again) == pytest.approx(scale.share(value), abs=0.01)
