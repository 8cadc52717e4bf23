"""Expressions that Python's matcher takes years over: matched in linear time to the same answer, or refused in a sentence."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.errors import UsageError
from qtquant_app.core.linear_match import LinearMatcher, NotRegularError, ambiguity
from qtquant_app.core.patterns import compiled, matches

PARTS = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\.", "^", "$", r"\Z", r"\A"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?", "+?"])).map(
            lambda pair: f"({pair[0]}){pair[1]}"
        ),
        inner.map(lambda part: f"(?i:{part})"),
    ),
    max_leaves=6,
)
NAMES = st.text(alphabet="abA.\n", max_size=7)


@given(PARTS, NAMES)
def test_the_linear_matcher_says_what_pythons_does(expression: str, name: str) -> None:
    assert LinearMatcher(expression).match(name) == (re.match(expression, name) is not None)
    assert LinearMatcher(expression, anywhere=True).match(name) == (re.search(expression, name) is not None)


@given(PARTS, NAMES)
def test_a_pattern_matches_as_pythons_expression_does(expression: str, name: str) -> None:
    assert matches(f"re:{expression}", name) == (re.match(expression, name) is not None)
    assert bool(compiled(f"re:{expression}").search(name)) == (re.search(expression, name) is not None)


@pytest.mark.parametrize(
    "expression", ["(a+)+b", "(a|a)*b$", "(a|ab|b)*c", "(.*)*x", "(?i:(A+)+B)", ".*.*.*.*.*.*.*x", "(a|b)*a(a|b){25}x"]
)
def test_what_would_take_years_is_answered(expression: str) -> None:
    assert not matches(f"re:{expression}", "a" * 5_000 + "!")
    assert not compiled(f"re:{expression}").search("a" * 5_000 + "!")


@pytest.mark.parametrize(
    "expression", [r"(.+)+\1x", "(?=(a+)+b)a", "(a{1,100}){1,100}b", "(?>a+)+b", "(?:(?:){10000}){10000}"]
)
def test_what_cannot_be_answered_is_refused_at_once(expression: str) -> None:
    with pytest.raises(UsageError, match="could take for ever"):
        compiled(f"re:{expression}")


@pytest.mark.parametrize("expression", ["a{99999999999}", "(" * 5_000 + ")" * 5_000, "[", "\\"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match="is not a regular expression"):
        compiled(f"re:{expression}")


def test_a_pattern_without_end_is_refused() -> None:
    with pytest.raises(UsageError, match="characters long") as refused:
        compiled("a" * 1_000_000)
    assert len(str(refused.value)) < 500


def test_a_name_that_outdoes_an_expression_with_a_reference_is_refused() -> None:
    pattern = compiled(r"re:(?!.*x).*a.*b.*c\b")
    assert not pattern.match("model.layers.0")
    with pytest.raises(UsageError, match="could take for ever"):
        pattern.match("abc" * 5_000)


def test_usual_patterns_are_left_to_pythons_matcher() -> None:
    assert ambiguity(r"lm_head|model\.layers\.(?:1|2)\.mlp") == 0
    assert ambiguity(r".*\.(q|k)_proj$") == 1
    assert ambiguity("(a+)+") == float("inf")


def test_a_lookaround_has_no_automaton() -> None:
    with pytest.raises(NotRegularError):
        LinearMatcher("(?!a)b")
