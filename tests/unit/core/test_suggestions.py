"""What is offered for a pattern that matches nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.patterns import matches
from qtquant_app.core.suggestions import nearest
from tests.unit.core.test_pattern_writing import LLAMA


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("*.up_prj", "*.up_proj"),
        ("*.gate", "*.gate_proj"),
        ("*.attn.*", "*.self_attn.*"),
        ("mlp", "*.mlp.*"),
        ("lm_hed", "lm_head"),
        ("layers.3.mlp.down_proj", "model.layers.3.mlp.down_proj"),
        ("model.layers.40.*", "model.layers.31.*"),
        ("model.layers.40.mlp.down_proj", "model.layers.31.mlp.down_proj"),
        (r"re:.*\.doen_proj$", "*.down_proj"),
    ],
)
def test_the_nearest_name_comes_first(pattern: str, first: str) -> None:
    assert nearest(pattern, LLAMA)[0] == first


def test_what_is_near_nothing_gets_no_suggestion() -> None:
    assert nearest("zzz", LLAMA) == ()
    assert nearest("*.mlp.*", []) == ()


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30))
def test_whatever_is_offered_matches_something(pattern: str) -> None:
    offered = nearest(pattern, [*LLAMA, "odd[1].w*", "w2.0"])
    assert all(any(matches(offer, module) for module in [*LLAMA, "odd[1].w*", "w2.0"]) for offer in offered)
    assert len(offered) <= 3
