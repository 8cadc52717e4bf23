"""A recipe: a default scheme, ordered rules, and what to leave alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from qtquant_app.core.errors import UsageError
from qtquant_app.core.json_reader import Items, outlined
from qtquant_app.core.json_text import shown
from qtquant_app.core.patterns import compiled
from qtquant_app.core.scheme import Scheme

VERSION = 1
MOST_PATTERNS = 4_096
"""Rules and ignore patterns, in all."""

NonFinitePolicy = Literal["refuse", "keep", "repair"]
"""What becomes of a tensor that holds weights that are not finite: the run ends there, or it is carried over as it is, or those
weights are replaced: what is not a number by 0, an infinity by the largest finite weight of its row on its side of the order."""

POLICIES: tuple[NonFinitePolicy, ...] = ("refuse", "keep", "repair")


@dataclass(frozen=True, slots=True)
class Rule:
    """For modules that `pattern` names: this scheme, or "keep" as they are. The first matching rule wins."""

    pattern: str
    scheme: Scheme | Literal["keep"]

    def to_json(self) -> dict[str, Any]:
        return {"pattern": self.pattern, "scheme": "keep" if self.scheme == "keep" else self.scheme.to_json()}


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which scheme each tensor gets, without naming a checkpoint: it can be applied to any."""

    default: Scheme = field(default_factory=Scheme)
    rules: tuple[Rule, ...] = ()
    ignore: tuple[str, ...] = ()
    format: str = "compressed-tensors"
    nonfinite: NonFinitePolicy = "refuse"

    def to_json(self) -> dict[str, Any]:
        document = {
            "version": VERSION,
            "default": self.default.to_json(),
            "rules": [rule.to_json() for rule in self.rules],
            "ignore": list(self.ignore),
            "format": self.format,
        }
        return document if self.nonfinite == "refuse" else document | {"nonfinite": self.nonfinite}

    def dumps(self) -> str:
        return json.dumps(self.to_json(), indent=2) + "\n"

    @classmethod
    def from_json(cls, data: object) -> Recipe:
        """Reads a recipe as CONTRACT's JSON describes it. Raises UsageError naming the part at fault."""
        if not isinstance(data, Mapping):
            raise _bad("a recipe must be a JSON object")
        unknown = sorted(
            str(key) for key in set(data) - {"version", "default", "rules", "ignore", "format", "nonfinite"}
        )
        if unknown:
            raise _bad(f"a recipe has no key {shown(unknown[0])}")
        if data.get("version", VERSION) != VERSION:
            raise _bad(f"the recipe is version {shown(data['version'])}, and this program reads version {VERSION}")
        default = Scheme.from_json(data.get("default", {}))
        name = data.get("format", "compressed-tensors")
        if not isinstance(name, str):
            raise _bad(f"format must be a name, not {shown(name)}")
        policy = data.get("nonfinite", "refuse")
        if policy not in POLICIES:
            raise _bad(f"nonfinite must be one of {', '.join(POLICIES)}, not {policy!r}")
        if len(_list(data, "rules")) + len(_list(data, "ignore")) > MOST_PATTERNS:
            raise _bad(f"the recipe has more than {MOST_PATTERNS:,} patterns")
        rules = tuple(_rule(item, default) for item in _list(data, "rules"))
        ignore = tuple(_pattern(item) for item in _list(data, "ignore"))
        return cls(default, rules, ignore, name, policy)

    @classmethod
    def loads(cls, text: str | bytes) -> Recipe:
        """Reads a recipe, or the recipe inside a `qtquant.json`, from JSON text."""
        try:
            data = outlined(text)
            if isinstance(data, Mapping) and isinstance(data.get("recipe"), Mapping):
                data = data["recipe"]
            return cls.from_json(data)
        except ValueError as error:
            raise _bad(f"the recipe is not JSON: {error}") from None


def _list(data: Mapping[str, Any], key: str) -> Sequence[object]:
    value = data.get(key, [])
    if not isinstance(value, (list, Items)):
        raise _bad(f"{key} must be a list, not {type(value).__name__}")
    return value


def _pattern(item: object) -> str:
    if not isinstance(item, str):
        raise _bad(f"a pattern must be a string, not {shown(item)}")
    compiled(item)
    return item


def _rule(item: object, default: Scheme) -> Rule:
    if not isinstance(item, Mapping) or set(item) != {"pattern", "scheme"}:
        raise _bad(f"a rule must be an object with a pattern and a scheme, not {shown(item)}")
    scheme = item["scheme"]
    return Rule(_pattern(item["pattern"]), "keep" if scheme == "keep" else Scheme.from_json(scheme, default))


def _bad(message: str) -> UsageError:
    return UsageError(message, hint="`qtquant plan MODEL -o recipe.json` writes one to start from", code="recipe")
