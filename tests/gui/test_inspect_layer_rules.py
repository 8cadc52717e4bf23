"""A scheme for one layer, as a rule of the recipe."""

from __future__ import annotations

from qtquant_app.core.checkpoint import Kind
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.gui.layer_rules import ignoring_pattern, scheme_for, with_layer_rule
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
