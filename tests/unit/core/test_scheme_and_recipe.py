"""Schemes, recipes and patterns: what they take, and what they refuse in a sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.errors import UsageError
from qtquant_app.core.patterns import matches
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme

schemes = st.one_of(
    st.builds(
        Scheme,
        bits=st.integers(2, 8),
        group_size=st.integers(1, 512),
        symmetric=st.booleans(),
        method=st.sampled_from(["rtn", "mse"]),
    ),
    st.builds(Scheme, bits=st.integers(2, 8), strategy=st.sampled_from(["channel", "tensor"]), group_size=st.none()),
    st.just(Scheme(bits=8, strategy="channel", group_size=None, activations="int8")),
)
rules = st.builds(Rule, pattern=st.sampled_from(["*.mlp.*", "re:.*q_proj"]), scheme=st.one_of(schemes, st.just("keep")))
recipes = st.builds(
    Recipe,
    default=schemes,
    rules=st.lists(rules).map(tuple),
    ignore=st.lists(st.sampled_from(["lm_head", "*.gate"])).map(tuple),
    format=st.sampled_from(["compressed-tensors", "qtquant"]),
)


@given(schemes)
def test_a_scheme_survives_json(scheme: Scheme) -> None:
    assert Scheme.from_json(json.loads(json.dumps(scheme.to_json()))) == scheme


@given(recipes)
def test_a_recipe_survives_json_alone_or_inside_a_record(recipe: Recipe) -> None:
    assert Recipe.loads(recipe.dumps()) == recipe
    assert Recipe.loads(json.dumps({"recipe": recipe.to_json(), "other": 1})) == recipe


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"bits": 9}, "9 bits"),
        ({"bits": True}, "True bits"),
        ({"bits": 4.0}, "4.0 bits"),
        ({"group_size": 0}, "group size 0"),
        ({"strategy": "row"}, "'row'"),
        ({"strategy": "channel", "group_size": 8}, "takes no group size"),
        ({"symmetric": 1}, "true or false"),
        ({"type": "float", "bits": 6}, "floating-point"),
        ({"activations": "int8"}, "int8 activations"),
        ({"colour": "red"}, "no key 'colour'"),
    ],
)
def test_what_is_no_scheme_is_refused_naming_the_part(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        Scheme.from_json(parts)
    assert says in caught.value.message and caught.value.exit_status == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        '{"version": 2}',
        '{"default": 3}',
        '{"rules": {}}',
        '{"rules": [{"pattern": "a"}]}',
        '{"rules": [{"pattern": "", "scheme": "keep"}]}',
        '{"ignore": [3]}',
        '{"ignore": ["re:("]}',
        '{"format": 3}',
        '{"bits": 4}',
    ],
)
def test_what_is_no_recipe_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Recipe.loads(text)


@given(st.text(max_size=60))
def test_any_text_is_a_recipe_or_is_refused(text: str) -> None:
    try:
        Recipe.loads(text)
    except UsageError as error:
        assert error.message


def test_a_rule_that_names_only_what_differs_takes_the_rest_from_the_default() -> None:
    recipe = Recipe.from_json(
        {"default": {"bits": 3, "group_size": 64}, "rules": [{"pattern": "a", "scheme": {"bits": 8}}]}
    )
    assert recipe.rules[0].scheme == replace(recipe.default, bits=8)


def test_a_glob_covers_the_whole_name_and_a_regular_expression_starts_at_its_start() -> None:
    assert matches("*.mlp.*", "model.layers.0.mlp.up_proj")
    assert not matches("mlp", "model.layers.0.mlp")
    assert matches("re:.*layers\\.[01]\\.", "model.layers.1.mlp.up_proj")
    assert not matches("re:layers", "model.layers.1")
