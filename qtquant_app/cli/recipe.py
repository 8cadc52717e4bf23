"""The recipe that the words of a command line ask for."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.recipes import read_recipe

_PARTS = ("bits", "type", "strategy", "group_size", "symmetric", "method", "activations")


def scheme_of(options: Namespace, base: Scheme | None = None) -> Scheme:
    """The scheme that the options spell, over `base`.

    Activations of 8 bits imply 8-bit weights per channel, the one pairing readers know, unless the words say otherwise.
    """
    given: dict[str, Any] = {part: getattr(options, part) for part in _PARTS if getattr(options, part) is not None}
    if given.get("activations") == "int8":
        given = {"bits": 8, "strategy": "channel", "symmetric": True, **given}
    return Scheme.from_json(given, base or Scheme())


def recipe_of(options: Namespace) -> Recipe:
    """The recipe of --recipe, if any, with what the other options change in it."""
    recipe = read_recipe(options.recipe) if options.recipe else Recipe()
    return replace(
        recipe,
        default=scheme_of(options, recipe.default),
        ignore=(*recipe.ignore, *(p for p in options.ignore if p not in recipe.ignore)),
        format=options.format or recipe.format,
    )
