"""The recipe that the words of a command line ask for."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import UsageError
from qtquant_app.core.fitting import decided, fitted, with_first
from qtquant_app.core.matrix import find
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_rule
from qtquant_app.core.usual import suited, usual
from qtquant_app.engine.presets import find as find_preset
from qtquant_app.engine.recipes import read_recipe

_PARTS = ("bits", "type", "strategy", "group_size", "symmetric", "method", "activations", "layout")


def scheme_of(options: Namespace, base: Scheme | None = None) -> Scheme:
    """The scheme that the options spell, over `base`.

    Activations of 8 bits imply 8-bit weights per channel, the one pairing readers know, unless the words say otherwise.
    """
    given: dict[str, Any] = {part: getattr(options, part) for part in _PARTS if getattr(options, part) is not None}
    if given.get("activations") == "int8":
        given = {"bits": 8, "strategy": "channel", "symmetric": True, **given}
    elif given.get("activations") == "fp8":
        given = {"bits": 8, "type": "float", **given}
    return Scheme.from_json(given, base or Scheme())


def scheme_for_layer(options: Namespace, checkpoint: Checkpoint) -> Scheme:
    """The scheme that the options spell for --layer, over what --preset gives that layer."""
    if not options.preset:
        return scheme_of(options)
    recipe = fitted(find_preset(options.preset).recipe, checkpoint)
    tensor = checkpoint.by_name.get(find(checkpoint, options.layer).source)
    own = decided(recipe, tensor) if tensor is not None and tensor.quantizable else None
    return scheme_of(options, own or recipe.default)


def recipe_of(options: Namespace, checkpoint: Checkpoint) -> Recipe:
    """The recipe of --recipe or --preset, if any, with what the other options change in it.

    The rules of --rule come first, in their order: the first that matches decides, and what is typed is meant.
    """
    recipe = _start(options, checkpoint)
    changed = replace(
        recipe,
        default=_default(options, recipe),
        ignore=(*recipe.ignore, *(p for p in options.ignore if p not in recipe.ignore)),
        format=options.format or recipe.format,
        nonfinite=options.on_nonfinite or recipe.nonfinite,
    )
    return with_first(changed, [parse_rule(text) for text in options.rule], checkpoint)


def _default(options: Namespace, recipe: Recipe) -> Scheme:
    """The default scheme. Where no more than bits is asked of a GGUF file, it is a mixture of about so many."""
    scheme = scheme_of(options, recipe.default)
    given = {part for part in _PARTS if getattr(options, part) is not None}
    whole = options.preset or options.recipe
    return suited(scheme, "gguf") if not whole and recipe.format == "gguf" and given <= {"bits"} else scheme


def _start(options: Namespace, checkpoint: Checkpoint) -> Recipe:
    if options.preset and options.recipe:
        raise UsageError("--preset and --recipe are both whole recipes", hint="give one of them", code="usage")
    if options.preset:
        return fitted(find_preset(options.preset).recipe, checkpoint)
    if options.recipe:
        return read_recipe(options.recipe)
    format = options.format or Recipe().format
    return Recipe(usual(format), format=format)
