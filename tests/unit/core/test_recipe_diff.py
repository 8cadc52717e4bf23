"""Two recipes beside each other, and an edit in a few words."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.recipe_diff import diff, edit_place, edit_text
from qtquant_app.core.scheme import Scheme
from tests.unit.core.test_scheme_and_recipe import recipes

W8, W3 = Scheme(bits=8), Scheme(bits=3)
A, B, C = Rule("a.*", W8), Rule("b.*", "keep"), Rule("c.*", W3)


@given(recipes, recipes)
def test_two_recipes_differ_exactly_where_their_difference_has_lines(one: Recipe, other: Recipe) -> None:
    found = diff(one, other)
    assert bool(found) == (one != other)
    assert bool(found.lines()) == (one != other)


@given(recipes, recipes)
def test_every_edit_has_a_name(one: Recipe, other: Recipe) -> None:
    assert edit_text(one, other)
    assert isinstance(edit_place(one, other), str)


def test_each_kind_of_difference_has_a_line_of_its_own() -> None:
    before = Recipe(W8, (A, B, C), ("x",), "compressed-tensors")
    after = Recipe(W3, (C, replace(A, scheme="keep"), Rule("d", W3)), ("y",), "qtquant")
    assert diff(before, after).lines() == (
        ("default", "W8 g128 sym \u2192 W3 g128 sym"),
        ("format", "compressed-tensors \u2192 qtquant"),
        ("rule added", "d: W3 g128 sym"),
        ("rule removed", "b.*: keep"),
        ("rule changed", "a.*: W8 g128 sym \u2192 keep"),
        ("rule moved", "a.*") if diff(before, after).moved[0].pattern == "a.*" else ("rule moved", "c.*"),
        ("ignored", "y"),
        ("ignored no more", "x"),
    )


def test_a_rule_that_moves_is_told_alone() -> None:
    assert diff(Recipe(rules=(A, B, C)), Recipe(rules=(B, C, A))).lines() == (("rule moved", "a.*"),)


@pytest.mark.parametrize(
    ("after", "text", "place"),
    [
        (Recipe(replace(Scheme(), bits=3)), "bits 4 \u2192 3", "default.bits"),
        (Recipe(replace(Scheme(), group_size=32)), "group size 128 \u2192 32", "default.group_size"),
        (Recipe(replace(Scheme(), symmetric=False)), "scheme W4 g128 asym", "default.symmetric"),
        (Recipe(rules=(A,)), "rule for a.*", ""),
        (Recipe(rules=(A, B)), "rules", ""),
        (Recipe(ignore=("x",)), "ignoring x", "ignore"),
        (Recipe(ignore=("x", "y")), "ignore patterns", "ignore"),
        (Recipe(format="qtquant"), "format qtquant", "format"),
        (Recipe(W3, (A,)), "recipe", ""),
    ],
)
def test_an_edit_is_told_in_a_few_words(after: Recipe, text: str, place: str) -> None:
    assert edit_text(Recipe(), after) == text
    assert edit_place(Recipe(), after) == place
