"""The words of the command line that do what the window would do."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.usual import usual


def quantize_words(
    model: str,
    output: str,
    recipe: Recipe,
    recipe_file: str = "",
    device: str = "auto",
    statistics: str = "",
    calibration: Calibration | None = None,
) -> tuple[str, ...]:
    """`qtquant quantize` for `recipe`: with plain options where they can say all of it, else with `--recipe recipe_file`.

    A recipe with rules needs `recipe_file`; ValueError without. `statistics` is the file that says which columns matter,
    `calibration` says which samples methods look at.
    """
    if recipe.rules and not recipe_file:
        raise ValueError("rules need a recipe file")
    words = ["qtquant", "quantize", model, "-o", output]
    words += ["--recipe", recipe_file] if recipe.rules else recipe_options(recipe)
    words += ["--importance", statistics] if statistics else []
    words += [] if calibration is None else calibration_options(calibration)
    return (*words, *(["--device", device] if device != "auto" else []))


def recipe_options(recipe: Recipe) -> list[str]:
    """The options for a recipe without rules; what is as it would be anyway goes unsaid."""
    words = scheme_options(recipe.default, usual(recipe.format))
    for pattern in recipe.ignore:
        words += [f"--ignore={pattern}"] if pattern.startswith("-") else ["--ignore", pattern]
    if recipe.nonfinite != Recipe().nonfinite:
        words += ["--on-nonfinite", recipe.nonfinite]
    return [*words, "--format", recipe.format] if recipe.format != Recipe().format else words


def scheme_options(scheme: Scheme, base: Scheme | None = None) -> list[str]:
    """The options that make `scheme` of `base`, the one that no options give."""
    base = base or Scheme()
    method = ["--method", scheme.method] if scheme.method != base.method else []
    if scheme.layout is not None:
        return [*(["--layout", scheme.layout] if scheme.layout != base.layout else []), *method]
    all_of_it, words = base.layout is not None, []
    if scheme.activations != base.activations:  # which imply widths and scales: what follows says them all the same
        words += ["--activations", scheme.activations]
    if all_of_it or scheme.bits != base.bits:
        words += ["--bits", str(scheme.bits)]
    if scheme.type != base.type:
        words += ["--type", scheme.type]
    if scheme.strategy != base.strategy:
        words += ["--strategy", scheme.strategy]
    elif all_of_it or scheme.group_size != base.group_size:
        words += ["--group-size", str(scheme.group_size)]
    if scheme.symmetric != base.symmetric:
        words.append("--symmetric" if scheme.symmetric else "--asymmetric")
    return [*words, *method]


def calibration_options(calibration: Calibration) -> list[str]:
    """The options that choose these samples; what is as it would be anyway goes unsaid."""
    usual, words, source = Calibration(), [], calibration.source
    if source != usual.source:
        words += [f"--calibration={source}"] if source.startswith("-") else ["--calibration", source]
    if calibration.samples != usual.samples:
        words += ["--samples", str(calibration.samples)]
    if calibration.length != usual.length:
        words += ["--seqlen", str(calibration.length)]
    words += [] if calibration.own is None else ["--own-samples", str(calibration.own)]
    words += ["--chat"] if calibration.chat else []
    return [*words, *(["--seed", str(calibration.seed)] if calibration.seed != usual.seed else [])]


def shell_line(words: Sequence[str]) -> str:
    """The words as they are typed into this system's shell."""
    return subprocess.list2cmdline(words) if sys.platform == "win32" else shlex.join(words)
