"""Recipes on disk."""

from __future__ import annotations

from pathlib import Path

from qtquant_app.core.errors import UsageError, WriteError
from qtquant_app.core.recipe import Recipe
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.hub import fetch, hub_id
from qtquant_app.engine.output import RECORD
from qtquant_app.engine.whole_file import write_file

_MAX_BYTES = 500_000_000
"""Of a result's qtquant.json, which names every tensor several times."""


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a file, which may be a result's qtquant.json, in a result's folder, or of a result on the Hub.

    A Hub id, `org/name[@revision]`, is fetched; a name that is a path here is the path. Raises UsageError naming the file,
    SourceError naming the repository.
    """
    if "\0" in str(path):
        raise UsageError(f"{str(path)!r} is no path", hint="check the path", code="recipe")
    file = Path(path)
    try:
        file = _file(path)
        return Recipe.loads(read_bounded(file, _MAX_BYTES))
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no path"
        hint = "give a recipe written by `qtquant plan -o`"
        raise UsageError(f"{file} cannot be read: {reason}", hint=hint, code="recipe") from None
    except UsageError as error:
        raise UsageError(f"{file}: {error.message}", hint=error.hint, code=error.code) from None


def _file(path: str | Path) -> Path:
    file = Path(path)
    if file.is_dir():
        return file / RECORD
    place = hub_id(str(path)) if file.suffix != ".json" else None
    return fetch(place, RECORD) if place else file


def save_recipe(recipe: Recipe, file: Path) -> None:
    """Writes the recipe in one step: the file is the old one or the new one, never half of it."""
    try:
        write_file(file, recipe.dumps())
    except OSError as error:
        raise WriteError(
            f"{file} cannot be written: {error.strerror}", hint="choose another place", code="write"
        ) from None
