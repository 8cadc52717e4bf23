"""What the window remembers between starts. What is read back may be spoilt, and then counts as unset."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings

from qtquant_app.core.errors import QtQuantError
from qtquant_app.core.recipe import Recipe

RECENT_LIMIT = 10


class Settings:
    """Window state, recent checkpoints and last choices, in the user's settings file (an INI file everywhere)."""

    def __init__(self, file: Path | None = None) -> None:
        """`file` takes the place of the user's settings file."""
        if file is not None:
            self._store = QSettings(str(file), QSettings.Format.IniFormat)
        else:
            self._store = QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "QtQuant", "QtQuant")

    @property
    def file(self) -> Path:
        return Path(self._store.fileName())

    def bytes(self, key: str) -> QByteArray:
        value = self._store.value(key)
        return value if isinstance(value, QByteArray) else QByteArray()

    def text(self, key: str, default: str = "") -> str:
        value = self._store.value(key)
        return value if isinstance(value, str) else default

    def number(self, key: str, default: int = 0) -> int:
        try:
            return int(self.text(key, str(default)))
        except ValueError:
            return default

    def set(self, key: str, value: str | int | QByteArray) -> None:
        self._store.setValue(key, str(value) if isinstance(value, int) else value)

    def recent(self) -> list[str]:
        """Checkpoints opened lately, newest first."""
        value = self._store.value("recent")
        items = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        return [item for item in items if isinstance(item, str) and item][:RECENT_LIMIT]

    def add_recent(self, path: str) -> list[str]:
        """Puts `path` first; returns the list as it is then."""
        items = [path, *(item for item in self.recent() if item != path)][:RECENT_LIMIT]
        self._store.setValue("recent", items)
        return items

    def forget_recent(self) -> None:
        self._store.remove("recent")

    def recipe(self) -> Recipe:
        """The recipe last chosen, less its rules and ignore patterns: those belong to one model."""
        try:
            kept = Recipe.loads(self.text("recipe", "{}"))
        except QtQuantError:
            return Recipe()
        return Recipe(default=kept.default, format=kept.format)

    def set_recipe(self, recipe: Recipe) -> None:
        self._store.setValue("recipe", recipe.dumps())

    def sync(self) -> None:
        self._store.sync()
