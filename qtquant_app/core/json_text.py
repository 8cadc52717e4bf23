"""Reads JSON that anyone may have written: one kind of error, a bounded depth, and only text that can be written again."""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable
from typing import Any

_LONG = 1_000_000
"""Characters from which values are counted before they are made: each of `[[],[],[], …` takes twenty times its text."""

MAX_DEPTH = 100
"""Levels of lists and objects: what is read is walked, shown and written again by functions that call themselves."""

_SHOWN = reprlib.Repr()
_SHOWN.maxlevel, _SHOWN.maxstring, _SHOWN.maxother, _SHOWN.maxlong = 2, 200, 200, 40


def parse_json(text: str | bytes, **options: Any) -> Any:
    """The document in `text`; bytes are UTF-8, or UTF-16 and UTF-32 as JSON tells them apart. `options` are those of `json.loads`.

    Raises ValueError, a few words long, where it is no JSON, deeper than `MAX_DEPTH`, or holds half a character (a lone
    surrogate, which Python's reader lets through and no file can hold).
    """
    if isinstance(text, bytes):
        text = decoded(text)
    if len(text) > _LONG and text.count(",") + text.count("[") + text.count("{") > len(text) // 5:
        raise ValueError("it holds more values than text")
    value = made(text, **options)
    _check_depth(value)
    return value


def made(text: str, **options: Any) -> Any:
    """As `parse_json`, for text that is known to be neither deep nor long."""
    try:
        value = json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        raise ValueError("it holds a number of too many digits" if "digits" in str(error) else str(error)) from None
    if "\\u" in text:
        _check_text(value)
    return value


def shown(value: object) -> str:
    """`repr(value)` for a sentence: short, whatever `value` is and however deep."""
    if isinstance(value, str):
        return repr(value if len(value) <= 200 else f"{value[:200]}\N{HORIZONTAL ELLIPSIS}")
    if isinstance(value, int):
        return repr(value) if value.bit_length() < 130 else "a number of many digits"
    return _SHOWN.repr(value)


def decoded(text: bytes) -> str:
    """The text, in what JSON may be in. Raises ValueError strictly, where json.loads would let surrogates pass."""
    try:
        return text[3:].decode() if text.startswith(b"\xef\xbb\xbf") else text.decode(json.detect_encoding(text))
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no text in {error.encoding.upper()}") from None


def _check_depth(value: object) -> None:
    level, depth = [value], 0
    while level := [item for item in level if isinstance(item, (dict, list))]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        level = [child for item in level for child in _children(item)]


def _children(item: dict[str, Any] | list[Any]) -> Iterable[Any]:
    return item.values() if isinstance(item, dict) else item


def _check_text(value: object) -> None:
    """Raises ValueError where a string, a key among them, holds a lone surrogate."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            try:
                item.encode()
            except UnicodeEncodeError:
                raise ValueError("it holds half a character, a lone surrogate") from None
        elif isinstance(item, dict):
            left += item
            left += item.values()
        elif isinstance(item, list):
            left += item
