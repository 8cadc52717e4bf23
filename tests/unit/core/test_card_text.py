"""A card's text: YAML that says what it should, Markdown in which foreign words mean nothing, and a seal that tells of changes."""

from __future__ import annotations

import re
from html import unescape

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from qtquant_app.core.card import Base, Card, Licence, SchemeShare
from qtquant_app.core.card_text import card_text, edited
from qtquant_app.core.escaping import shortened, visible
from qtquant_app.core.evaluated import Evaluated, evaluations_of
from qtquant_app.core.front_matter import front_matter, scalar
from qtquant_app.core.markdown import cell, fenced, named, table
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import ErrorSums, TensorReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_words import scheme_words
from qtquant_app.core.snippets import snippets
from tests.hostile import EVIL

TEXTS = st.text() | st.text(alphabet="-:#[]{}&*!|>'\"%@`,? \n\t~<0=yesnoull.\\1e_ab/")
ERRORS = ErrorSums(100, 1.0, 50.0, 50.0, 0.5)


def card(text: str) -> Card:
    """A card in which everything that others may have named is called `text`."""
    scheme = Scheme(group_size=32)
    return Card(
        repo="",
        base=Base(text, "", "", Licence((text,), text, text), text),
        format=text,
        program=text,
        architecture=text,
        shares=(SchemeShare(scheme.label, text, 4, 1, 100, 60), SchemeShare(text, text, 8, 1, 10, 10)),
        kept=1,
        kept_bytes=2,
        coverage_percent=100.0,
        source_bytes=200,
        output_bytes=60,
        bits_per_weight=4.5,
        errors=ERRORS,
        worst=(TensorReport(text, scheme, 60, ERRORS),),
        evaluations=(Evaluated(text, 10, 1.0, 2.0, None, None, 0.5, text),),
        snippets=snippets("gguf", text),
        runtimes=(),
        recipe=Recipe(scheme, (Rule(f"*.a{text}".replace("**", "*"), "keep"),)),
        command=("qtquant", "quantize", text),
        versions={text: text},
        seed=0,
        verified="full",
        sha256={text: text},
        licence_files=(text,),
        picture="error-map.png",
        warnings=(text,),
    )


@given(st.dictionaries(st.sampled_from(["license", "tags"]), TEXTS | st.lists(TEXTS, max_size=3), max_size=2))
@settings(suppress_health_check=[HealthCheck.too_slow])
@example({"tags": ["no", "1e3", "2026-01-01", "null", "a: b", "- x", "---", "\u2028", "\x85", "\U0001f600"]})
def test_a_head_reads_back_as_what_it_says(values: dict[str, str | list[str]]) -> None:
    made = front_matter(values)
    found = yaml.safe_load(made.removeprefix("---\n").removesuffix("---"))
    shown = {name: visible(v) if isinstance(v, str) else [visible(one) for one in v] for name, v in values.items() if v}
    assert (found or {}) == shown
    assert made.count("\n---") == 1 and made.startswith("---\n")


def test_ordinary_words_stay_plain() -> None:
    assert [scalar(text) for text in ("apache-2.0", "org/name-1.0", "int4_w")] == [
        "apache-2.0",
        "org/name-1.0",
        "int4_w",
    ]
    assert scalar("4-bit") == '"4-bit"' and scalar("No") == '"No"'


@given(TEXTS)
@example(EVIL)
@example("www.a.b")
@example("1. one")
@example("1) one")
@example(":smile:")
def test_a_cell_reads_as_its_text_and_means_nothing(text: str) -> None:
    made = cell(text)
    assert unescape(made) in (visible(shortened(text, 200)), "\N{NO-BREAK SPACE}")
    assert not set(made.replace("&#", "")) & set("<>[]`*_|\\!~$@/{}") and "\n" not in made
    assert not re.match(r"[-+=#]|\d+[.)](\s|$)", made) and "www." not in made.lower()


@given(TEXTS | st.from_regex(r"[\w./-]+", fullmatch=True))
@example("a`b")
def test_a_name_is_code_or_escaped(text: str) -> None:
    made = named(text)
    assert made == cell(text) or (made == f"`{text}`" and re.fullmatch(r"[\w./-]+", text, re.ASCII))


@given(TEXTS | st.text(alphabet="`~\n a"))
def test_nothing_gets_out_of_its_fences(text: str) -> None:
    opening, *inside, closing = fenced(text, "python").split("\n")
    fence = opening.removesuffix("python")
    assert closing == fence and set(fence) == {"`"} and len(fence) >= 3
    assert not any(line.strip().startswith(fence) for line in inside)


def test_a_table_has_the_columns_it_was_given() -> None:
    made = table(("a", "b|c"), [("x|y", "1")], right=(1,), names=True).split("\n")
    assert [line.count("|") for line in made] == [3, 3, 3] and made[1] == "| --- | ---: |"


@given(TEXTS)
@example(EVIL)
@example("</code><script>alert(1)</script>\n\n# Heading\n\n[a](javascript:b)\n```\n| a |\n|-|")
@settings(max_examples=40)
def test_whatever_things_are_called_a_card_has_its_own_headings_and_no_element(text: str) -> None:
    made = card_text(card(text))
    assert not edited(made)
    body = re.sub(r"^(`{3,})[^\n]*\n.*?\n\1$", "", made.split("\n---\n", 1)[1], flags=re.DOTALL | re.MULTILINE)
    headings = [line for line in body.split("\n") if line.startswith("#")]
    assert len(headings) == 8 and sum(line.startswith("## ") for line in headings) == 6
    assert re.findall(r"<[^>]*", body) == re.findall(r"<!-- qtquant card \w{64} --", body)
    assert yaml.safe_load(made.split("\n---\n")[0]) is not None


def test_a_card_is_known_as_edited_from_its_first_changed_letter() -> None:
    made = card_text(card("small"))
    assert not edited(made) and not edited(made + "\n")
    assert edited(made.replace("small", "smaller", 1)) and edited("# Mine\n") and edited("")
    assert edited(made.replace("<!-- qtquant", "\nMore words.\n<!-- qtquant"))


def test_a_base_on_the_hub_is_a_link_and_any_other_a_text() -> None:
    text = card_text(card("small"))
    assert "](https://huggingface.co" not in text


@pytest.mark.parametrize(
    ("scheme", "words"),
    [
        (
            Scheme(),
            "4-bit integers, symmetric, a scale for each group of 128 input columns, rounded to the nearest code",
        ),
        (
            Scheme(bits=8, type="float", strategy="channel", group_size=None),
            "8-bit floats (FP8 E4M3), a scale for each",
        ),
        (Scheme.of_layout("Q4_K"), "Q4_K blocks of 256 weights"),
        (Scheme.of_layout("llama.cpp:Q4_K_M"), "llama.cpp's mixture Q4_K_M"),
        (Scheme(method="awq+gptq"), "with AWQ, with GPTQ"),
        (Scheme(method="of-the-future"), "by the method of-the-future"),
        (
            Scheme(bits=8, strategy="channel", group_size=None, activations="int8"),
            "inputs of layers rounded to 8-bit integers",
        ),
        (Scheme(bits=4, type="float", group_size=16), "4-bit floats (NVFP4)"),
    ],
)
def test_a_scheme_is_said_in_words(scheme: Scheme, words: str) -> None:
    assert words in scheme_words(scheme)


def test_a_long_list_of_evaluations_ends_somewhere() -> None:
    one = {"text": "a", "tokens": 1, "base": {"perplexity": 1.5}, "quantized": {"perplexity": float("inf")}}
    found = evaluations_of({"evaluations": [one] * 1000})
    assert len(found) == 20 and found[0].base_perplexity == 1.5 and found[0].perplexity is None
