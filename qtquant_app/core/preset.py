"""A preset: a recipe with a name, and for whom it is, where its results load, and what it costs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_reader import outlined
from qtquant_app.core.json_text import shown
from qtquant_app.core.recipe import Recipe

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a preset may be called: a word for a command line, and for a file on every system."""

_KEYS = ("name", "title", "for", "runtimes", "cost", "bits_per_weight", "recipe")


@dataclass(frozen=True, slots=True)
class Preset:
    """One entry of `qtquant presets`. Patterns of its recipe may hold `{first}` and `{last}`: see `core.fitting`."""

    name: str
    title: str
    audience: str
    """For whom it is, as a sentence."""
    runtimes: tuple[str, ...]
    """Names out of `core.runtimes`."""
    cost: str
    """What is paid for it, in words."""
    bits_per_weight: float | None
    """What a weight typically takes, scales included; None where nobody has said."""
    recipe: Recipe
    own: bool = False
    """Whether the user made it."""

    @property
    def needs_checkpoint(self) -> bool:
        """Whether its patterns have to be fitted to a checkpoint."""
        return bool(self.recipe.rules or self.recipe.ignore)

    def to_json(self) -> dict[str, Any]:
        """The preset as its file holds it."""
        return {
            "name": self.name,
            "title": self.title,
            "for": self.audience,
            "runtimes": list(self.runtimes),
            "cost": self.cost,
            "bits_per_weight": self.bits_per_weight,
            "recipe": self.recipe.to_json(),
        }

    @classmethod
    def from_json(cls, data: object, *, own: bool = False) -> Preset:
        """Reads a preset's file. Raises UsageError naming the key at fault."""
        if not isinstance(data, Mapping):
            raise _bad("a preset must be a JSON object")
        unknown = sorted(str(key) for key in set(data) - set(_KEYS))
        if unknown:
            raise _bad(f"a preset has no key {shown(unknown[0])}")
        if "recipe" not in data:
            raise _bad("a preset needs a recipe")
        name = _text(data, "name")
        if not NAME.fullmatch(name):
            raise _bad(
                f"{shown(name)} cannot be a preset's name: it takes letters of a to z, 0 to 9, dots, dashes and underscores"
            )
        return cls(
            name=name,
            title=_text(data, "title"),
            audience=_text(data, "for", ""),
            runtimes=_names(data),
            cost=_text(data, "cost", ""),
            bits_per_weight=_number(data),
            recipe=Recipe.from_json(data["recipe"]),
            own=own,
        )

    @classmethod
    def loads(cls, text: str | bytes, *, own: bool = False) -> Preset:
        """Reads a preset from JSON text. Raises UsageError."""
        try:
            return cls.from_json(outlined(text), own=own)
        except ValueError as error:
            raise _bad(f"the preset is not JSON: {error}") from None

    def dumps(self) -> str:
        return json.dumps(self.to_json(), indent=2, ensure_ascii=False) + "\n"


def name_for(title: str) -> str:
    """A name made from a title. Raises UsageError where no letter or digit of it can be used."""
    words = "-".join(re.findall(r"[a-z0-9]+", title.lower()))[:60].strip("-")
    if not words:
        raise _bad(f"{shown(title)} holds no letter from a to z and no digit to make a name of")
    return words


def _text(data: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str) or (default is None and not value.strip()):
        raise _bad(f"{key} must be a text, not {shown(value)}")
    return value


def _names(data: Mapping[str, Any]) -> tuple[str, ...]:
    value = data.get("runtimes", [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _bad(f"runtimes must be a list of names, not {shown(value)}")
    return tuple(value)


def _number(data: Mapping[str, Any]) -> float | None:
    value = data.get("bits_per_weight")
    if value is None:
        return None
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 32:
        raise _bad(f"bits_per_weight must be a number of bits, not {shown(value)}")
    return float(value)


def _bad(message: str) -> UsageError:
    return UsageError(message, hint="`qtquant presets --json` shows what the built-in ones are like", code="preset")
