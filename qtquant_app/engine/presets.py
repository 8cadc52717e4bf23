"""The presets there are: those of the program, and the user's own, one file each."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtquant_app.assets import resource
from qtquant_app.core.errors import QtQuantError, UsageError, WriteError
from qtquant_app.core.json_text import shown
from qtquant_app.core.preset import Preset, name_for
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.runtimes import RUNTIMES
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.whole_file import write_file
from qtquant_app.formats import find as find_format
from qtquant_app.quant.methods import check

_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Listed:
    """A preset, or a file that holds none; one with a reason cannot be used here."""

    name: str
    preset: Preset | None
    reason: str = ""

    @property
    def available(self) -> bool:
        return not self.reason

    def to_json(self) -> dict[str, Any]:
        """The row of `qtquant presets`."""
        row: dict[str, Any] = {"name": self.name, "available": self.available, "reason": self.reason}
        if self.preset is None:
            return {**row, "title": self.name, "own": True, "bits": [], "readers": []}
        recipe = self.preset.recipe
        schemes = [recipe.default, *(rule.scheme for rule in recipe.rules if not isinstance(rule.scheme, str))]
        return {
            **self.preset.to_json(),
            **row,
            "format": recipe.format,
            "bits": sorted({scheme.bits for scheme in schemes}),
            "readers": list(reader_titles(self.preset)),
            "own": self.preset.own,
        }


def user_folder() -> Path:
    """Where the user's presets are: under the folder that QTQUANT_CONFIG names, or beside the window's settings."""
    given = os.environ.get("QTQUANT_CONFIG")
    if given:
        return Path(given) / "presets"
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "QtQuant" / "presets"


def presets() -> tuple[Listed, ...]:
    """Every preset: the program's by what a weight takes, then the user's by name. A spoilt file is listed with its fault."""
    shipped = sorted(_listed(resource("presets"), own=False), key=_cost)
    taken = {entry.name for entry in shipped}
    own = [entry for entry in _listed(user_folder(), own=True) if entry.name not in taken]
    return (*shipped, *sorted(own, key=lambda entry: entry.name))


def find(name: str) -> Preset:
    """The preset called `name`, whatever its capitals. Raises UsageError naming those there are, or why this one cannot be used."""
    listed = presets()
    entry = next((entry for entry in listed if entry.name.lower() == name.lower()), None)
    if entry is None:
        names = ", ".join(entry.name for entry in listed)
        raise UsageError(f"there is no preset {name!r}", hint=f"the presets are {names}", code="preset")
    if entry.preset is None or entry.reason:
        raise UsageError(
            f"the preset {name!r} cannot be used: {entry.reason}", hint="see `qtquant presets`", code="preset"
        )
    return entry.preset


def save_preset(title: str, recipe: Recipe, runtimes: Iterable[str] = (), *, replace: bool = False) -> Preset:
    """Keeps `recipe` as a preset of the user's; its name follows from its title. The file is the old one or the new one.

    Raises UsageError where the program has a preset of that name, or the user has and `replace` is not set; WriteError.
    """
    name = name_for(title)
    clash = next((entry for entry in presets() if entry.name == name), None)
    if clash is not None and (clash.preset is None or clash.preset.own) is False:
        raise UsageError(f"{name} is a preset of the program's", hint="choose another title", code="preset-taken")
    if clash is not None and not replace:
        raise UsageError(f"there is a preset {name} already", hint="choose another title", code="preset-exists")
    preset = Preset(name, title.strip(), "", tuple(runtimes), "", None, recipe, own=True)
    file = user_folder() / f"{name}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, preset.dumps())
    except OSError as error:
        raise WriteError(
            f"{file} cannot be written: {error.strerror}", hint="save the recipe as a file instead"
        ) from None
    return preset


def delete_preset(name: str) -> None:
    """Removes a preset of the user's. Raises UsageError where there is none of that name, WriteError where it stays."""
    own = {entry.name: file for file in _files(user_folder()) if (entry := _read(file, own=True))}
    if name not in own:
        raise UsageError(f"you have no preset {name!r}", hint="see `qtquant presets`", code="preset")
    try:
        own[name].unlink()
    except OSError as error:
        raise WriteError(f"{own[name]} cannot be removed: {error.strerror}", hint="remove it by hand") from None


def reader_titles(preset: Preset) -> tuple[str, ...]:
    """What loads its results, in words; a name that this version does not know stays as it is."""
    titles = {runtime.name: runtime.title for runtime in RUNTIMES}
    return tuple(titles.get(name, name) for name in preset.runtimes)


def _listed(folder: Path, *, own: bool) -> list[Listed]:
    return [_read(file, own=own) for file in _files(folder)]


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder.glob("*.json"))
    except OSError:
        return []


def _read(file: Path, *, own: bool) -> Listed:
    try:
        preset = Preset.loads(read_bounded(file, _MAX_BYTES), own=own)
    except OSError as error:
        return Listed(file.stem, None, f"{file.name} cannot be read: {error.strerror}")
    except UsageError as error:
        return Listed(file.stem, None, f"{file.name}: {error}")
    if preset.name != file.stem:
        return Listed(file.stem, None, f"{file.name} holds a preset called {shown(preset.name)}")
    return Listed(preset.name, preset, _why_not(preset))


def _why_not(preset: Preset) -> str:
    """Why this version cannot carry it out; empty where it can."""
    recipe = preset.recipe
    try:
        format = find_format(recipe.format)
        for scheme in (recipe.default, *(rule.scheme for rule in recipe.rules)):
            if not isinstance(scheme, str):
                check(scheme)
    except QtQuantError as error:
        return error.message
    return format.reason


def _cost(entry: Listed) -> tuple[float, str]:
    bits = entry.preset.bits_per_weight if entry.preset else None
    return bits or 0.0, entry.name
