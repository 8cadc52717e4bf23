"""Cuts a text into windows of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.text import Text

if TYPE_CHECKING:
    from torch import Tensor

LEAST_TOKENS = 32
"""Of a window."""
_WIDTHS = (8, 7, 6, 5, 4, 3)
"""Characters a token that a slice is made with: the first is more than a token takes in any tokenizer's own language, and what is
over is cut off; the others are for texts that are too short for as many windows of that."""


def windows(tokenizer: Any, text: Text, count: int, length: int, *, label: str = "the model") -> list[Tensor]:
    """At most `count` windows of `length` token ids, [length] int64, spread over `text`, none overlapping.

    Each begins as the tokenizer begins a text. A text too short for one gives a single shorter one. Raises EvaluateError where
    it has fewer than 32 tokens.
    """

    def ids(part: str) -> Tensor:
        found: Tensor = tokenizer(part, return_tensors="pt", verbose=False)["input_ids"][0][:length]
        return found

    return windows_by(ids, text, count, length, label=label)


def windows_by(ids: Callable[[str], Tensor], text: Text, count: int, length: int, *, label: str) -> list[Tensor]:
    """As `windows`; `ids` makes at most `length` of a part of the text."""
    best: list[Tensor] = []
    for width in _WIDTHS:
        found = _cut(ids, text, count, length, width * length)
        best = found if len(found) > len(best) else best
        if len(best) >= count or len(text.content) >= count * width * length:
            break
    if not best:
        least = min(LEAST_TOKENS, length)
        raise too_short(f"{text.name} is too short: {label} needs {least} tokens or more")
    return best


def _cut(ids: Callable[[str], Tensor], text: Text, count: int, length: int, characters: int) -> list[Tensor]:
    found: list[Tensor] = []
    for part in text.slices(count, characters):
        made = ids(part)
        if len(made) == length or (not found and len(made) >= LEAST_TOKENS):
            found.append(made)
    return _alike(found)


def _alike(found: Sequence[Tensor]) -> list[Tensor]:
    longest = max(map(len, found), default=0)
    return [ids for ids in found if len(ids) == longest]


def too_short(message: str) -> EvaluateError:
    """What is raised for a text that gives no window."""
    return EvaluateError(message, hint="give a longer text in the model's language", code="text")
