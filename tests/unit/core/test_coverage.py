"""What share of a model a plan quantizes, and when that is too little to pass unnoticed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.coverage import (
    LEAST_PERCENT,
    coverage_text,
    coverage_warnings,
    linear_coverage,
    low_coverage_of,
    low_coverage_text,
)
from qtquant_app.core.plan import TensorPlan
from qtquant_app.core.scheme import Scheme

W4 = Scheme(4, group_size=32)


def planned(kind: str, shape: tuple[int, ...], quantized: bool, reason: str = "why") -> TensorPlan:
    action, scheme = ("quantize", W4) if quantized else ("keep", None)
    return TensorPlan("a.weight", "a", kind, "BF16", shape, action, scheme, 0, reason, 0)  # type: ignore[arg-type]


def test_stacks_of_experts_count_with_all_their_parameters() -> None:
    found = linear_coverage([planned("linear", (10, 10), True), planned("expert", (3, 10, 10), False)])
    assert found == 25


def test_norms_embeddings_heads_and_biases_do_not_count() -> None:
    others = [planned(kind, (100, 100), False) for kind in ("embedding", "head", "conv", "other", "norm")]
    assert linear_coverage([planned("linear", (2, 2), True), planned("linear", (9,), False), *others]) == 100


def test_a_model_without_linear_layers_lacks_nothing() -> None:
    assert linear_coverage([]) == 100 and not coverage_warnings([])


@given(st.floats(0, 100))
def test_the_text_never_says_more_than_there_is(percent: float) -> None:
    said = float(coverage_text(percent).split(" ")[0])
    assert said <= percent < said + 0.1 + 1e-9
    assert bool(low_coverage_text(percent)) == (percent < LEAST_PERCENT)


def test_the_warning_names_what_keeps_most_of_the_rest_from_it() -> None:
    tensors = [
        planned("linear", (10, 10), True),
        planned("expert", (4, 10, 10), False, "experts that lie together"),
        planned("linear", (10, 10), False, "ignored by *"),
    ]
    (warning,) = coverage_warnings(tensors)
    assert warning.code == "low-coverage" and "only 16.6 %" in warning.text
    assert warning.text.endswith("experts that lie together") and low_coverage_of([warning]) == warning.text


def test_a_plan_that_is_to_quantize_nothing_is_not_warned_of() -> None:
    assert not coverage_warnings([planned("linear", (10, 10), False)])
