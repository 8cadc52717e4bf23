"""Recipes on disk."""

from __future__ import annotations

from pathlib import Path

from qtquant_app.core.errors import UsageError, WriteError
from qtquant_app.core.recipe import Recipe


def read_recipe(file: str | Path) -> Recipe:
    """The recipe in `file`, which may be a result's qtquant.json. Raises UsageError naming the file."""
    try:
        return Recipe.loads(Path(file).read_bytes())
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="give a recipe written by `qtquant plan -o`", code="recipe"
        ) from None
    except UsageError as error:
        raise UsageError(f"{file}: {error.message}", hint=error.hint, code=error.code) from None


def save_recipe(recipe: Recipe, file: Path) -> None:
    """Writes the recipe in one step: the file is the old one or the new one, never half of it."""
    beside = file.with_name(file.name + ".new")
    try:
        beside.write_text(recipe.dumps(), encoding="utf-8")
        beside.replace(file)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise WriteError(
            f"{file} cannot be written: {error.strerror}", hint="choose another place", code="write"
        ) from None
