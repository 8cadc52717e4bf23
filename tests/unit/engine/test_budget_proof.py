"""Whether a mix is better than one scheme for all: said from what was run, and acted on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qtquant_app.core.errors import EvaluateError, PlanError
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.target import Target
from qtquant_app.engine import budget_weighing
from qtquant_app.engine.allocation import Choices
from qtquant_app.engine.budget import Measured, solve, weigh
from qtquant_app.engine.budget_proof import check
from qtquant_app.engine.sensitivity import Sensitivity
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN
from tests.driving import result

LABELS = ("W2 g32 asym mse", "W3 g64 asym mse", "W4 g64 asym mse", "W6 g64 asym")
SCHEMES = tuple(map(parse_label, LABELS))
TARGET = Target(bits_per_weight=3.5)


def measured(calibration: str = BUILT_IN) -> Measured:
    return result(
        weigh(open_checkpoint("sample"), Recipe(), schemes=SCHEMES, calibration=calibration, device="cpu", cache=False)
    )


@pytest.fixture(scope="module")
def known() -> Measured:
    return measured()


def misjudged(found: Measured) -> Measured:
    """The same, where what gates and widens an MLP is thought to bear anything."""
    sets = []
    for one in found.sets:
        factor = 1e-4 if any("gate_proj" in module for module in one.modules) else 1.0
        errors = [factor * error for error in one.choices.errors]
        sets.append(replace(one, choices=Choices(one.choices.bytes, errors)))
    return replace(found, sets=tuple(sets), _plans={})


def test_a_mix_that_is_better_keeps_its_recipe(known: Measured) -> None:
    mix = solve(known, TARGET)
    proven = result(check(known, mix))
    assert proven.proof is not None
    assert proven.proof.better
    assert proven.proof.kl < proven.proof.uniform_kl
    assert proven.proof.uniform.label == "W3 g64 asym mse"
    assert proven.proof.tokens == 2048
    assert proven.recipe == mix.recipe
    assert "better than W3 g64 asym mse for all" in proven.proof.sentence


def test_a_mix_that_is_no_better_gives_way_to_one_scheme_for_all(known: Measured) -> None:
    wrong = misjudged(known)
    mix = solve(wrong, TARGET)
    proven = result(check(wrong, mix))
    assert proven.proof is not None
    assert not proven.proof.better
    assert {tensor.scheme for tensor in proven.plan.quantized} == {parse_label(proven.proof.uniform.label)}
    assert proven.recipe != mix.recipe
    assert proven.plan.bits_per_weight <= 3.5
    assert "which is kept" in proven.proof.sentence


def test_calibrated_errors_are_nats_that_more_bits_lower(known: Measured) -> None:
    assert known.calibrated
    for found in known.sets:
        errors = found.choices.errors
        assert sorted(errors, reverse=True) == list(errors)
    assert not measured("").calibrated


def test_where_no_uniform_scheme_fits_there_is_nothing_to_check_against(known: Measured) -> None:
    lone = Target(bits_per_weight=2.6)
    only = replace(known, treatments=(SCHEMES[1],))
    with pytest.raises(PlanError, match="if all tensors got it"):
        result(check(only, solve(known, lone)))


def test_layers_that_cannot_be_watched_take_what_is_usual(monkeypatch: pytest.MonkeyPatch, known: Measured) -> None:
    watched = budget_weighing.sensitivities
    hidden = "model.layers.1.mlp.down_proj"

    def partly(*words: object, **more: object):  # type: ignore[no-untyped-def]
        found: dict[str, Sensitivity] = yield from watched(*words, **more)  # type: ignore[arg-type]
        return {module: one for module, one in found.items() if module != hidden}

    monkeypatch.setattr(budget_weighing, "sensitivities", partly)
    for one, before in zip(measured().sets, known.sets, strict=True):
        if hidden in one.modules:
            assert one.choices.errors != before.choices.errors
            assert one.choices.errors[-1] == pytest.approx(before.choices.errors[-1], rel=3)
        else:
            assert one.choices.errors == before.choices.errors


def test_a_model_of_which_nothing_can_be_watched_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*words: object, **more: object):  # type: ignore[no-untyped-def]
        yield from ()
        return {}

    monkeypatch.setattr(budget_weighing, "sensitivities", nothing)
    with pytest.raises(EvaluateError, match="none of the layers"):
        measured()
