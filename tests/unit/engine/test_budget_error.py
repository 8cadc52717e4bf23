"""The prediction that a budget goes by."""

from __future__ import annotations

from math import inf

import pytest

from qtquant_app.core.checkpoint import Kind, TensorInfo
from qtquant_app.core.report import ErrorSums
from qtquant_app.engine.budget_error import FIRST, LAST, places, predicted


def tensor(name: str) -> TensorInfo:
    return TensorInfo(name, "BF16", (4, 4), "model.safetensors", 0, 32, Kind.LINEAR)


def test_no_error_predicts_none_and_more_of_it_predicts_more() -> None:
    found = [predicted(ErrorSums(16, square, 2.0, 2.0, 0.1), 1.0) for square in (0.0, 0.1, 0.2)]
    assert found[0] == 0 and found[0] < found[1] and found[2] > 2 * found[1]
    assert predicted(ErrorSums(16, 0.1, 2.0, 2.0, 0.1), 3.0) == pytest.approx(3 * found[1])


def test_the_scale_of_the_weights_does_not_matter() -> None:
    one, other = ErrorSums(16, 0.1, 2.0, 2.0, 0.1), ErrorSums(16, 10.0, 200.0, 200.0, 1.0)
    assert predicted(one, 1.0) == pytest.approx(predicted(other, 1.0))


def test_sums_that_overflow_predict_an_infinite_error() -> None:
    assert predicted(ErrorSums(16, 0.1, 0.0, 0.1, 0.1), 1.0) == inf


def test_the_ends_of_each_stack_weigh_more() -> None:
    names = [f"model.layers.{i}.mlp.down_proj.weight" for i in range(20)]
    names += [f"vision.blocks.{i}.fc1.weight" for i in range(12)]
    found = places(tensor(name) for name in (*names, "proj.weight"))
    assert found["proj.weight"] == 1
    assert found[names[0]] == pytest.approx(1 + FIRST, rel=1e-3) and found[names[20]] == pytest.approx(
        1 + FIRST, rel=1e-3
    )
    assert found[names[19]] == pytest.approx(1 + LAST, rel=1e-3) and found[names[31]] == pytest.approx(
        1 + LAST, rel=1e-3
    )
    assert found[names[10]] == pytest.approx(1, rel=1e-3)
