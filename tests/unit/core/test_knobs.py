"""Whatever the knobs say, it is a scheme that can exist, and one that shows as it was chosen."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.knobs import KINDS, Knobs, knobs_of, layout_titles, scheme_of, with_activations
from qtquant_app.core.layouts import names
from qtquant_app.core.scheme import Scheme

KNOBS = st.builds(
    Knobs,
    kind=st.sampled_from([kind for kind, _ in KINDS]),
    bits=st.integers(2, 8),
    strategy=st.sampled_from(["tensor", "channel", "group", "block"]),
    group_size=st.integers(1, 512),
    symmetric=st.booleans(),
    method=st.sampled_from(["rtn", "mse"]),
    layout=st.sampled_from(names()),
)


@given(KNOBS, KNOBS)
def test_any_position_is_a_scheme_and_is_shown_as_it_is(knobs: Knobs, before: Knobs) -> None:
    scheme = scheme_of(knobs, scheme_of(before, Scheme()))
    assert scheme.method == knobs.method
    assert scheme_of(knobs_of(scheme), scheme) == scheme


@given(KNOBS, st.sampled_from(["int8", "fp8"]))
def test_rounded_activations_bring_the_weights_that_go_with_them(knobs: Knobs, wanted: str) -> None:
    free = scheme_of(knobs, Scheme())
    rounded = with_activations(free, wanted, free)  # type: ignore[arg-type]
    assert rounded.activations == wanted and rounded.bits == 8
    assert with_activations(rounded, "none", free) == free


@pytest.mark.parametrize("turned", ["bits", "strategy"])
def test_of_bits_and_groups_of_floating_point_codes_the_one_turned_last_decides(turned: str) -> None:
    eight = Scheme.from_json({"type": "float", "bits": 8})
    changed = {"bits": {"bits": 4}, "strategy": {"strategy": "group"}}[turned]
    assert scheme_of(replace(knobs_of(eight), **changed), eight).bits == 4
    four = Scheme.from_json({"type": "float", "bits": 4})
    changed = {"bits": {"bits": 8}, "strategy": {"strategy": "tensor"}}[turned]
    assert scheme_of(replace(knobs_of(four), **changed), four).bits == 8


def test_every_layout_offered_exists() -> None:
    assert {name for name, _ in layout_titles()} <= set(names())
