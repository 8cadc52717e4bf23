"""Patterns written for a choice of modules: they match exactly that, and read as somebody would write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.pattern_writing import pattern_for
from qtquant_app.core.patterns import matches

LINEARS = "self_attn.q_proj self_attn.k_proj self_attn.v_proj self_attn.o_proj mlp.gate_proj mlp.up_proj mlp.down_proj".split()
LLAMA = ["lm_head", *(f"model.layers.{block}.{linear}" for block in range(32) for linear in LINEARS)]
EXPERTS = [
    f"model.layers.{block}.mlp.experts.{expert}.{linear}"
    for block in range(12)
    for expert in range(16)
    for linear in ("up_proj", "down_proj")
]


def _in_blocks(*blocks: int, ending: str = "") -> list[str]:
    return [module for module in LLAMA[1:] if int(module.split(".")[2]) in blocks and module.endswith(ending)]


@pytest.mark.parametrize(
    ("chosen", "pattern"),
    [
        ([m for m in LLAMA if m.endswith("down_proj")], "*.down_proj"),
        ([m for m in LLAMA if ".mlp." in m], "*.mlp.*"),
        (LLAMA[1:], "model.layers.*"),
        (LLAMA, "*"),
        (["lm_head"], "lm_head"),
        (_in_blocks(3), "model.layers.3.*"),
        (_in_blocks(0, 1, 2, 3), "model.layers.[0-3].*"),
        (_in_blocks(0, 1, 2, 3, ending="mlp.down_proj"), "model.layers.[0-3].mlp.down_proj"),
        (_in_blocks(*range(3, 12), ending="down_proj"), r"re:model\.layers\.([3-9]|1[01])\.mlp\.down_proj$"),
        (_in_blocks(0, 1, 30, 31), r"re:model\.layers\.([01]|3[01])\..*"),
        (
            [m for m in LLAMA if m.endswith(("gate_proj", "up_proj"))],
            r"re:.*\.(gate_proj|up_proj)$",
        ),
        (
            ["lm_head", *(m for m in LLAMA if m.endswith("down_proj"))],
            r"re:(lm_head|model\.layers\.\d+\.mlp\.down_proj)$",
        ),
    ],
)
def test_what_is_chosen_is_named_as_somebody_would_write_it(chosen: list[str], pattern: str) -> None:
    assert pattern_for(chosen, LLAMA) == pattern
    assert [module for module in LLAMA if matches(pattern, module)] == [m for m in LLAMA if m in set(chosen)]


def test_experts_are_named_by_their_block_or_their_number() -> None:
    assert pattern_for([m for m in EXPERTS if ".layers.3." in m], EXPERTS) == "model.layers.3.mlp.experts.*"
    assert pattern_for([m for m in EXPERTS if ".experts.3." in m], EXPERTS) == "*.experts.3.*"
    up = [m for m in EXPERTS if ".layers.3." in m and m.endswith("up_proj")]
    assert pattern_for(up, EXPERTS) == "model.layers.3.mlp.experts.*.up_proj"


@given(st.sets(st.sampled_from(LLAMA), min_size=1))
def test_any_choice_of_a_model_is_matched_exactly(chosen: set[str]) -> None:
    pattern = pattern_for(chosen, LLAMA)
    assert {module for module in LLAMA if matches(pattern, module)} == chosen


parts = st.one_of(
    st.integers(0, 130).map(str), st.sampled_from(["a", "mlp", "b_1", "o[x]", "q*", "r?", "-", "", "\u00e9\n", "re:a"])
)
names = st.lists(parts, min_size=1, max_size=4).map(".".join)


@given(st.data())
def test_any_choice_of_any_names_is_matched_exactly(data: st.DataObject) -> None:
    modules = data.draw(st.lists(names, min_size=1, max_size=24, unique=True))
    chosen = set(data.draw(st.lists(st.sampled_from(modules), min_size=1, unique=True)))
    pattern = pattern_for(chosen, modules)
    assert {module for module in modules if matches(pattern, module)} == chosen


@given(st.sets(st.integers(0, 1200), min_size=1, max_size=60))
def test_ranges_of_blocks_are_matched_exactly(blocks: set[int]) -> None:
    modules = [f"h.{block}.mlp.c_fc" for block in range(1201)] + [f"h.{block}.mlp.c_proj" for block in range(1201)]
    chosen = {f"h.{block}.mlp.c_fc" for block in blocks}
    pattern = pattern_for(chosen, modules)
    assert {module for module in modules if matches(pattern, module)} == chosen


def test_nothing_chosen_has_no_pattern() -> None:
    with pytest.raises(ValueError, match="needs a module"):
        pattern_for([], LLAMA)
