"""The YAML at the head of a model card: lines that no text in them can turn into anything else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from qtquant_app.core.escaping import visible

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?:[./-][A-Za-z0-9_]+)*")
_WORDS = frozenset({"y", "n", "yes", "no", "true", "false", "on", "off", "null"})
"""What YAML takes for something else than a text."""


def front_matter(values: Mapping[str, str | Sequence[str]]) -> str:
    """`values` between two lines of dashes; what is empty is left out."""
    lines = ["---"]
    for name, value in values.items():
        if isinstance(value, str):
            lines += [f"{name}: {scalar(value)}"] if value else []
        elif value:
            lines += [f"{name}:", *(f"- {scalar(item)}" for item in value)]
    return "\n".join([*lines, "---"])


def scalar(text: str) -> str:
    """A text as YAML: plain where nobody could take it for something else, else in quotes as JSON has them, which YAML reads."""
    shown = visible(text)
    plain = _PLAIN.fullmatch(shown) is not None and shown.lower() not in _WORDS
    return shown if plain else json.dumps(shown, ensure_ascii=False)
