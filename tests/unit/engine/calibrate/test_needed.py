"""Which samples a plan looks at, and how many of them the model writes itself where nobody says."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from qtquant_app.core.calibration import RANDOM, Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.calibrate.needed import OWN_SHARE, calibration_of
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from tests.end2end import tiny_models
from tests.unit.engine.walk.nets import saved

RECIPE = Recipe(default=Scheme(4, group_size=32, method="gptq"), format="qtquant")
LEARNED = replace(RECIPE, default=replace(RECIPE.default, method="awq+learned"))


@pytest.fixture(scope="module")
def sample() -> Checkpoint:
    return open_checkpoint("sample")


def planned(checkpoint: Checkpoint, recipe: Recipe, asked: Calibration | None) -> Calibration:
    found = make_plan(checkpoint, recipe, device="cpu", calibration=asked).calibration
    assert found is not None
    return found


@pytest.mark.parametrize("asked", [None, Calibration(samples=10), Calibration(samples=3, length=24, chat=True)])
def test_where_codes_are_learned_the_model_writes_half_as_many_more(
    sample: Checkpoint, asked: Calibration | None
) -> None:
    wanted = asked or Calibration()
    assert planned(sample, LEARNED, asked) == replace(wanted, own=round(OWN_SHARE * wanted.samples))
    mixed = replace(RECIPE, rules=(Rule("*layers.0*", LEARNED.default),))
    assert planned(sample, mixed, asked).own == round(OWN_SHARE * wanted.samples)


@pytest.mark.parametrize("own", [0, 5])
def test_what_is_said_holds(sample: Checkpoint, own: int) -> None:
    asked = Calibration(samples=8, own=own)
    assert planned(sample, LEARNED, asked) == asked
    assert planned(sample, RECIPE, asked) == asked


def test_other_methods_and_numbers_by_chance_have_none(sample: Checkpoint) -> None:
    assert not planned(sample, RECIPE, None).own
    assert not planned(sample, LEARNED, Calibration(RANDOM)).own


def test_a_model_that_is_too_large_or_writes_nothing_has_none(sample: Checkpoint, tmp_path: Path) -> None:
    tensors, enough = make_plan(sample, LEARNED, device="cpu").tensors, 8 * sample.parameters
    for room, own in ((enough, 96), (enough - 1, 0)):
        found = calibration_of(sample, tensors, None, 0, partial(int, room))
        assert found is not None and found.own == own
    assert not planned(saved(tiny_models.vit(), tmp_path / "vit"), LEARNED, None).own


def test_what_the_model_writes_counts_in_memory_and_time(sample: Checkpoint) -> None:
    without, beside = (make_plan(sample, LEARNED, device="cpu", calibration=Calibration(own=own)) for own in (0, 96))
    assert beside.seconds_estimate > without.seconds_estimate
    assert beside.peak_ram_bytes > without.peak_ram_bytes
