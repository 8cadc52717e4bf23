"""What a format is usually written with, and that the words of a command line say every scheme under every format."""

from __future__ import annotations

from argparse import Namespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.cli.parser import parse
from qtquant_app.cli.recipe import recipe_of
from qtquant_app.core.command_line import recipe_options
from qtquant_app.core.layouts import names
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.usual import suited, usual
from qtquant_app.engine.source import open_checkpoint

FORMATS = ("compressed-tensors", "gguf", "awq", "gptq", "mlx", "qtquant")

PLAIN = st.builds(
    lambda bits, size, symmetric, method: Scheme(bits, group_size=size, symmetric=symmetric, method=method),
    st.integers(2, 8),
    st.sampled_from([16, 32, 64, 128]),
    st.booleans(),
    st.sampled_from(["rtn", "mse"]),
)
SCHEMES = st.one_of(
    PLAIN,
    st.sampled_from(names()).map(Scheme.of_layout),
    st.sampled_from([("channel", None), ("tensor", None)]).map(lambda s: Scheme(8, strategy=s[0], group_size=s[1])),
    st.sampled_from(
        [{"bits": 8}, {"bits": 8, "strategy": "block"}, {"bits": 4}, {"bits": 8, "activations": "fp8"}]
    ).map(lambda values: Scheme.from_json({"type": "float", **values})),
)


@given(SCHEMES, st.sampled_from(FORMATS))
def test_what_suits_a_format_suits_it(scheme: Scheme, format: str) -> None:
    found = suited(scheme, format)
    assert suited(found, format) == found
    assert suited(usual(format), format) == usual(format)


def test_other_codes_become_the_nearest_that_a_format_holds() -> None:
    assert suited(Scheme(4), "gguf").label == "Q4_K_M"
    assert suited(Scheme.of_layout("Q4_K"), "gguf").label == "Q4_K"
    assert suited(Scheme(8), "awq").label == "W4 g128 asym"
    assert suited(Scheme(5), "gptq").label == "W4 g128 sym"
    assert suited(Scheme(3, symmetric=False), "gptq").label == "W3 g128 asym"
    assert suited(Scheme(4, group_size=256), "mlx").label == "W4 g64 asym"
    assert suited(Scheme.of_layout("llama.cpp:Q6_K"), "compressed-tensors").label == "W6 g128 sym"
    assert suited(Scheme(3), "qtquant").label == "W4 g128 sym"


@given(SCHEMES, st.sampled_from(FORMATS))
def test_the_words_for_a_recipe_make_it(scheme: Scheme, format: str) -> None:
    recipe = Recipe(scheme, format=format)
    assert _read(["quantize", "sample", "-o", "out", *recipe_options(recipe)]) == recipe


@pytest.mark.parametrize(
    ("words", "label"),
    [
        ([], "Q4_K_M"),
        (["--bits", "3"], "Q3_K_M"),
        (["--bits", "8"], "Q8_0"),
        (["--bits", "4", "--group-size", "32", "--symmetric"], "W4 g32 sym"),
        (["--layout", "Q5_K"], "Q5_K"),
    ],
)
def test_a_gguf_file_is_a_mixture_where_no_more_than_bits_is_said(words: list[str], label: str) -> None:
    assert _read(["plan", "sample", "--format", "gguf", *words]).default.label == label


def _read(words: list[str]) -> Recipe:
    options: Namespace = parse(words)
    return recipe_of(options, open_checkpoint("sample"))
