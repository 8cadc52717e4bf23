"""Floating-point schemes and block layouts: what goes together, and how they are written and read again."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.cli.parser import parse
from qtquant_app.cli.recipe import scheme_of
from qtquant_app.core.command_line import scheme_options
from qtquant_app.core.errors import UsageError
from qtquant_app.core.layouts import LAYOUTS, MIXTURE, MIXTURES, base, names
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label

KINDS = [
    Scheme.from_json({"type": "float", "bits": 8}),
    Scheme.from_json({"type": "float", "bits": 8, "strategy": "tensor", "activations": "fp8"}),
    Scheme.from_json({"type": "float", "bits": 8, "strategy": "block"}),
    Scheme.from_json({"type": "float", "bits": 4}),
    Scheme.from_json({"type": "float", "bits": 4, "group_size": 16, "method": "mse"}),
    *(Scheme.of_layout(name) for name in names()),
    Scheme.of_layout("Q4_K", "mse"),
    Scheme(8, strategy="channel", group_size=None, activations="int8"),
    Scheme(3, group_size=64, symmetric=False),
]


@given(st.sampled_from(KINDS))
def test_a_scheme_is_the_same_after_json(scheme: Scheme) -> None:
    assert Scheme.from_json(json.loads(json.dumps(scheme.to_json()))) == scheme


@given(st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_a_whole_scheme_over_another_is_itself(scheme: Scheme, other: Scheme) -> None:
    assert Scheme.from_json({"layout": None} | scheme.to_json(), other) == scheme


@given(st.sampled_from(KINDS))
def test_the_options_that_spell_a_scheme_make_it(scheme: Scheme) -> None:
    words = ["quantize", "m", "-o", "out", *scheme_options(scheme)]
    assert scheme_of(parse(words)) == scheme, shlex.join(words)


@given(st.sampled_from(KINDS))
def test_a_label_reads_back(scheme: Scheme) -> None:
    twin = scheme.layout is not None and scheme.layout.removeprefix(MIXTURE) in LAYOUTS
    assert parse_label(scheme.label).label == scheme.label
    assert twin or parse_label(scheme.label.lower()) == scheme


def test_a_layout_fixes_the_rest() -> None:
    scheme = Scheme.from_json({"layout": "Q6_K"})
    assert (scheme.bits, scheme.group_size, scheme.symmetric, scheme.strategy) == (6, 16, True, "group")
    assert Scheme.from_json({"bits": 8}, scheme).layout is None
    assert Scheme.from_json({"method": "mse"}, scheme).layout == "Q6_K"
    assert "layout" not in Scheme().to_json()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"layout": "Q4_K", "bits": 5}, "fixes bits"),
        ({"layout": "Q9_K"}, "no layout"),
        ({"layout": 4}, "no layout"),
        ({"type": "float", "bits": 6}, "4 or 8 bits"),
        ({"type": "float", "bits": 4, "group_size": 64}, "groups of 16"),
        ({"type": "float", "bits": 8, "strategy": "group", "group_size": 128}, "per tensor, channel or block"),
        ({"type": "float", "bits": 8, "symmetric": False}, "symmetric"),
        ({"type": "float", "bits": 8, "strategy": "block", "group_size": 64}, "64 by 64"),
        ({"strategy": "block"}, "square blocks"),
        ({"activations": "fp8"}, "fp8 activations need"),
        ({"type": "float", "bits": 8, "activations": "int8"}, "int8 activations need"),
    ],
)
def test_parts_that_contradict_each_other_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Scheme.from_json(values)


def test_blocks_are_as_long_as_their_bits_say() -> None:
    assert {name: layout.bits_per_weight for name, layout in LAYOUTS.items()} == {
        "F16": 16.0,
        "BF16": 16.0,
        "Q4_0": 4.5,
        "Q4_1": 5.0,
        "Q5_0": 5.5,
        "Q5_1": 6.0,
        "Q8_0": 8.5,
        "Q2_K": 2.625,
        "Q3_K": 3.4375,
        "Q4_K": 4.5,
        "Q5_K": 5.5,
        "Q6_K": 6.5625,
    }
    assert [base(MIXTURE + name).name for name in ("Q4_K_M", "Q3_K_L", "Q8_0")] == ["Q4_K", "Q3_K", "Q8_0"]
    assert set(MIXTURES.values()) == set(LAYOUTS)
    with pytest.raises(ValueError, match="no multiple of the 256"):
        LAYOUTS["Q4_K"].row_bytes(576)
