"""Recipes from files, folders, the Hub and the clipboard, and to files; read and written in a worker."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QObject, Signal

from qtquant_app.core.recipe import Recipe
from qtquant_app.jobs.aside import aside
from qtquant_app.jobs.job import once
from qtquant_app.jobs.latest import Latest

RECORD = "qtquant.json"


class RecipeFiles(QObject):
    """Answers each request with one of its signals; a newer one takes the place of an older."""

    read = Signal(object, str, bool)
    """Recipe, where it is from, and whether it is to be applied at once."""
    saved = Signal(object, str)
    """Recipe, and the file that it is in."""
    failed = Signal(object)
    """QtQuantError"""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._latest = Latest(self)
        self._latest.result.connect(lambda found: found())
        self._latest.failed.connect(self.failed)

    def open(self, path: str, *, at_once: bool = False) -> None:
        """Reads the recipe of a file, of a result's folder, or of a result on the Hub: `org/name[@revision]`."""

        def work() -> object:
            recipe = _read(path)
            return lambda: self.read.emit(recipe, path, at_once)

        self._latest.submit(aside(once(work)))

    def cancel(self) -> None:
        """Forgets the newest request."""
        self._latest.cancel()

    def parse(self, text: str, origin: str) -> None:
        """Reads the recipe that is written in `text`."""

        def work() -> object:
            recipe = Recipe.loads(text)
            return lambda: self.read.emit(recipe, origin, False)

        self._latest.submit(once(work))

    def save(self, recipe: Recipe, path: str) -> None:
        """Writes `recipe`; a name without an ending gets `.json`."""
        file = Path(path)
        file = file if file.suffix else file.with_suffix(".json")

        def work() -> object:
            _save(recipe, file)
            return lambda: self.saved.emit(recipe, str(file))

        self._latest.submit(once(work))


def holds_recipe(path: str) -> bool:
    """Whether what is dropped is a recipe rather than a checkpoint: a JSON file, or a folder that a run wrote."""
    place = Path(path)
    if place.is_dir():
        return (place / RECORD).is_file()
    return place.suffix.lower() == ".json" and not place.name.endswith(".index.json")


def _read(path: str) -> Recipe:
    from qtquant_app.engine.recipes import read_recipe

    return read_recipe(path)


def _save(recipe: Recipe, file: Path) -> None:
    from qtquant_app.engine.recipes import save_recipe

    save_recipe(recipe, file)
