"""A scheme for one layer, as a rule of the recipe."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.layer_rules import (
    add_rule,
    ignoring_pattern,
    scheme_for,
    why_no_rule_for,
    with_layer_rule,
    with_rule,
)
from tests.gui.inspect_samples import tensor

MODULES = ("model.layers.0.mlp.up_proj", "model.layers.1.mlp.up_proj", "odd[1].proj")
W8, W3 = Scheme(bits=8), Scheme(bits=3)


def test_the_rule_is_appended_where_nothing_takes_the_layer_away() -> None:
    recipe = with_layer_rule(Recipe(rules=(Rule("*.self_attn.*", W3),)), MODULES[0], W8, MODULES)
    assert recipe.rules == (Rule("*.self_attn.*", W3), Rule(MODULES[0], W8))
    assert scheme_for(recipe, tensor(f"{MODULES[0]}.weight")) == W8


def test_the_rule_comes_before_a_wider_one() -> None:
    recipe = with_layer_rule(Recipe(rules=(Rule("*.mlp.*", "keep"),)), MODULES[0], W8, MODULES)
    assert [rule.pattern for rule in recipe.rules] == [MODULES[0], "*.mlp.*"]


def test_an_older_rule_for_the_same_layer_gives_way() -> None:
    recipe = with_layer_rule(Recipe(rules=(Rule("*.layers.0.mlp.*", W3),)), MODULES[0], W8, MODULES)
    assert recipe.rules == (Rule(MODULES[0], W8),)


def test_brackets_in_a_name_mean_themselves() -> None:
    recipe = with_layer_rule(Recipe(), MODULES[2], W8, MODULES)
    assert scheme_for(recipe, tensor(f"{MODULES[2]}.weight")) == W8


def test_a_head_is_kept_unless_a_rule_names_it() -> None:
    head = tensor("lm_head.weight", kind=Kind.HEAD)
    assert scheme_for(Recipe(), head) is None
    assert scheme_for(with_layer_rule(Recipe(), "lm_head", W8, ("lm_head",)), head) == W8


def test_the_ignore_pattern_that_keeps_a_layer_is_named() -> None:
    recipe = Recipe(ignore=("*.mlp.*",))
    assert ignoring_pattern(recipe, MODULES[0]) == "*.mlp.*"
    assert ignoring_pattern(recipe, MODULES[2]) is None


LLAMA = [f"model.layers.{block}.{name}" for block in range(12) for name in ("self_attn.q_proj", "mlp.up_proj")]


def test_many_layers_become_one_rule_that_can_be_read() -> None:
    ups = [module for module in LLAMA if module.endswith("up_proj")]
    assert with_rule(Recipe(), ups, W8, LLAMA).rules == (Rule("*.up_proj", W8),)
    assert with_rule(Recipe(), LLAMA[:8], "keep", LLAMA).rules == (Rule("model.layers.[0-3].*", "keep"),)


@given(st.lists(st.tuples(st.sets(st.sampled_from(LLAMA), min_size=1), st.sampled_from([W8, W3, "keep"])), max_size=6))
def test_each_new_rule_wins_where_it_was_meant_and_nowhere_else(steps: list[tuple[set[str], Any]]) -> None:
    recipe, wanted = Recipe(), dict[str, Any]()
    for chosen, scheme in steps:
        recipe = with_rule(recipe, chosen, scheme, LLAMA)
        wanted.update(dict.fromkeys(chosen, scheme))
        given = {module: scheme_for(recipe, tensor(f"{module}.weight")) or "keep" for module in LLAMA}
        assert given == {module: wanted.get(module, recipe.default) for module in LLAMA}
        used = {next((at for at, r in enumerate(recipe.rules) if matches(r.pattern, m)), None) for m in LLAMA}
        assert used - {None} == set(range(len(recipe.rules)))


def test_a_rule_for_many_does_nothing_only_where_it_does_nothing_for_any() -> None:
    recipe = with_rule(Recipe(), LLAMA[:2], W8, LLAMA)
    tensors = [tensor(f"{module}.weight") for module in LLAMA[:3]]
    assert why_no_rule_for(recipe, tensors[:2], W8) == "The recipe does so already"
    assert why_no_rule_for(recipe, tensors, W8) == ""
    assert why_no_rule_for(recipe, (), W8) == "Select a layer first"


def test_a_written_rule_stands_last_where_it_can_apply_there() -> None:
    recipe = add_rule(Recipe(rules=(Rule("*.up_proj", W8),)), Rule("*.layers.0.*", W3), LLAMA)
    assert [rule.pattern for rule in recipe.rules] == ["*.up_proj", "*.layers.0.*"]
    recipe = add_rule(recipe, Rule("*.0.mlp.up_proj", "keep"), LLAMA)
    assert [rule.pattern for rule in recipe.rules] == ["*.0.mlp.up_proj", "*.up_proj", "*.layers.0.*"]
