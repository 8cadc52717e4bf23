"""The words of the command line that do what the window would do."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme


def quantize_words(
    model: str, output: str, recipe: Recipe, recipe_file: str = "", device: str = "auto"
) -> tuple[str, ...]:
    """`qtquant quantize` for `recipe`: with plain options where they can say all of it, else with `--recipe recipe_file`.

    A recipe with rules needs `recipe_file`; ValueError without.
    """
    if recipe.rules and not recipe_file:
        raise ValueError("rules need a recipe file")
    words = ["qtquant", "quantize", model, "-o", output]
    words += ["--recipe", recipe_file] if recipe.rules else recipe_options(recipe)
    return (*words, *(["--device", device] if device != "auto" else []))


def recipe_options(recipe: Recipe) -> list[str]:
    """The options for a recipe without rules; what is as it would be anyway goes unsaid."""
    words = scheme_options(recipe.default)
    for pattern in recipe.ignore:
        words += [f"--ignore={pattern}"] if pattern.startswith("-") else ["--ignore", pattern]
    if recipe.nonfinite != Recipe().nonfinite:
        words += ["--on-nonfinite", recipe.nonfinite]
    return [*words, "--format", recipe.format] if recipe.format != Recipe().format else words


def scheme_options(scheme: Scheme) -> list[str]:
    """The options that make `scheme` of the one that no options give."""
    usual, words = Scheme(), []
    if scheme.layout is not None:
        words = ["--layout", scheme.layout]
        return [*words, "--method", scheme.method] if scheme.method != usual.method else words
    if scheme.activations != usual.activations:  # which imply widths and scales: what follows says them all the same
        words += ["--activations", scheme.activations]
    if scheme.bits != usual.bits:
        words += ["--bits", str(scheme.bits)]
    if scheme.type != usual.type:
        words += ["--type", scheme.type]
    if scheme.strategy != usual.strategy:
        words += ["--strategy", scheme.strategy]
    elif scheme.group_size != usual.group_size:
        words += ["--group-size", str(scheme.group_size)]
    if not scheme.symmetric:
        words.append("--asymmetric")
    return [*words, "--method", scheme.method] if scheme.method != usual.method else words


def shell_line(words: Sequence[str]) -> str:
    """The words as they are typed into this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
