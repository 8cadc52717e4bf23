"""Recipes on disk."""

from __future__ import annotations

from pathlib import Path

from qtquant_app.core.errors import UsageError, WriteError
from qtquant_app.core.recipe import Recipe
from qtquant_app.engine.output import RECORD
from qtquant_app.engine.source import cached_on_hub


def read_recipe(path: str | Path) -> Recipe:
    """The recipe in a file, which may be a result's qtquant.json, or in a result's folder or Hub id (in the local cache).

    Raises UsageError naming the file.
    """
    file = _file(path)
    try:
        return Recipe.loads(file.read_bytes())
    except OSError as error:
        raise UsageError(
            f"{file} cannot be read: {error.strerror}", hint="give a recipe written by `qtquant plan -o`", code="recipe"
        ) from None
    except UsageError as error:
        raise UsageError(f"{file}: {error.message}", hint=error.hint, code=error.code) from None


def _file(path: str | Path) -> Path:
    file = Path(path)
    if file.is_dir():
        return file / RECORD
    if not file.exists() and file.suffix != ".json":
        cached = cached_on_hub(str(path))
        if cached is not None:
            return cached / RECORD
    return file


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
