"""The command line that the window shows gives the recipe that the window has."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.cli.calibration import calibration_of
from qtquant_app.cli.parser import parse
from qtquant_app.cli.recipe import recipe_of
from qtquant_app.core.calibration import Calibration
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.command_line import quantize_words, shell_line
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.recipes import save_recipe
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.unit.core.test_scheme_and_recipe import recipes

EMPTY = Checkpoint(Path(), Path(), "m", (), ())


@given(recipes)
def test_the_words_give_the_same_recipe(tmp_path_factory: pytest.TempPathFactory, recipe: Recipe) -> None:
    file = tmp_path_factory.getbasetemp() / "recipe of mine.json"
    save_recipe(recipe, file)
    words = quantize_words("a model", "out", recipe, str(file), "cpu")
    assert ("--recipe" in words) == bool(recipe.rules)
    options = parse(words[1:])
    found = recipe_of(options, EMPTY)
    assert (found.default, found.rules, found.format) == (recipe.default, recipe.rules, recipe.format)
    assert dict.fromkeys(found.ignore) == dict.fromkeys(recipe.ignore)
    assert (options.model, options.output, options.device) == ("a model", "out", "cpu")


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(Scheme(bits=3, group_size=32, symmetric=False, method="mse")),
        Recipe(Scheme(bits=8, strategy="channel", group_size=None, activations="int8"), ignore=("*.mlp.*",)),
        Recipe(Scheme(group_size=32), (Rule("*.down_proj", Scheme(bits=8, group_size=64)),), format="qtquant"),
        Recipe(Scheme(group_size=32), nonfinite="repair"),
    ],
)
def test_the_words_give_the_same_plan(tmp_path: Path, recipe: Recipe) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    save_recipe(recipe, tmp_path / "r.json")
    words = quantize_words(str(checkpoint.path), str(tmp_path / "out"), recipe, str(tmp_path / "r.json"))
    options = parse(words[1:])
    plan = make_plan(checkpoint, recipe_of(options, EMPTY), device=options.device, seed=options.seed)
    again = make_plan(checkpoint, recipe)  # at another moment of this process, which has grown or shrunk a little
    assert replace(plan, peak_ram_bytes=0) == replace(again, peak_ram_bytes=0)


def test_patterns_that_begin_like_options_are_no_options() -> None:
    recipe = Recipe(ignore=("-x.*", "a b"))
    assert recipe_of(parse(quantize_words("m", "o", recipe)[1:]), EMPTY) == recipe


def test_rules_ask_for_a_file() -> None:
    with pytest.raises(ValueError, match="recipe file"):
        quantize_words("m", "o", Recipe(rules=(Rule("a", "keep"),)))


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_the_line_can_be_pasted_into_a_shell() -> None:
    words = quantize_words("it's here", "o", Recipe(ignore=("*.a$",)))
    assert tuple(shlex.split(shell_line(words))) == words


def test_a_statistics_file_is_named_and_read_back() -> None:
    words = quantize_words("m", "o", Recipe(), statistics="/files/i m.gguf")
    assert words[-2:] == ("--importance", "/files/i m.gguf")
    assert parse(words[1:]).importance == "/files/i m.gguf"


@settings(max_examples=20)  # each makes the parser anew
@given(
    st.sampled_from(["default", "random", "/my texts/a.txt", "-odd.txt", "hub:org/name:en"]),
    st.integers(1, 4096),
    st.integers(1, 4096),
    st.booleans(),
)
def test_calibration_samples_are_said_and_read_back(source: str, samples: int, length: int, chat: bool) -> None:
    wanted = Calibration(source, samples, length, chat)
    options = parse(quantize_words("m", "o", Recipe(), calibration=wanted)[1:])
    assert (calibration_of(options) or Calibration()) == wanted


def test_samples_as_they_would_be_anyway_go_unsaid() -> None:
    assert quantize_words("m", "o", Recipe(), calibration=Calibration()) == quantize_words("m", "o", Recipe())
