"""Takes a JSON object apart by key and kind, so that what comes out is of the type it says, whoever wrote the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtquant_app.core.json_reader import Items
from qtquant_app.core.json_text import shown

_LARGEST = 1 << 63


class Fields:
    """The entries of an object. Every method raises ValueError naming the key where the entry is missing or of another kind."""

    def __init__(self, data: object) -> None:
        if not isinstance(data, Mapping):
            raise ValueError(f"{shown(data)} is no object")
        self._data = data

    def any(self, key: str) -> Any:
        if key not in self._data:
            raise ValueError(f"{key} is missing")
        return self._data[key]

    def text(self, key: str) -> str:
        value = self.any(key)
        if not isinstance(value, str):
            raise self._bad(key, "a text")
        return value

    def text_or(self, key: str, default: str = "") -> str:
        """A text that may be missing."""
        return self.text(key) if key in self._data else default

    def count(self, key: str) -> int:
        """A whole number from 0 that fits 63 bits."""
        value = self.any(key)
        if not _is_count(value):
            raise self._bad(key, "a count")
        return int(value)

    def optional_count(self, key: str) -> int | None:
        return None if self._data.get(key) is None else self.count(key)

    def number(self, key: str) -> float:
        """Any number, infinity and not-a-number among them."""
        value = self.any(key)
        if type(value) is not float and not (type(value) is int and abs(value) < _LARGEST):
            raise self._bad(key, "a number")
        return float(value)

    def one_of(self, key: str, words: tuple[str, ...]) -> Any:
        """One of `words`."""
        value = self.any(key)
        if value not in words:
            raise self._bad(key, f"one of {', '.join(words)}")
        return words[words.index(value)]

    def items(self, key: str, most: int | None = None) -> Sequence[Any]:
        value = self.any(key)
        if not isinstance(value, (list, Items)):
            raise self._bad(key, "a list")
        if most is not None and len(value) > most:
            raise ValueError(f"{key} holds more than {most:,} items")
        return value

    def sizes(self, key: str) -> tuple[int, ...]:
        """A shape."""
        value = self.items(key)
        if len(value) > 64 or not all(map(_is_count, value)):
            raise self._bad(key, "a list of sizes")
        return tuple(value)

    def texts(self, key: str) -> dict[str, str]:
        """An object whose values are texts."""
        value = self.any(key)
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self._bad(key, "an object of texts")
        return value

    def counts(self, key: str) -> dict[str, int]:
        """An object whose values are counts."""
        value = self.any(key)
        if not isinstance(value, dict) or not all(map(_is_count, value.values())):
            raise self._bad(key, "an object of counts")
        return value

    def _bad(self, key: str, what: str) -> ValueError:
        return ValueError(f"{key} must be {what}, not {shown(self._data[key])}")


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < _LARGEST
