"""How two models go on with the same prompt, and where they part."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any


@dataclass(frozen=True, slots=True)
class Segment:
    """Some tokens as text, and whether the other model says the same there."""

    text: str
    same: bool

    def to_json(self) -> dict[str, Any]:
        return {"text": self.text, "same": self.same}


@dataclass(frozen=True, slots=True)
class Continuation:
    """What both say after one prompt: the likeliest token each time."""

    prompt: str
    base: tuple[Segment, ...]
    """The original, all of it in order."""
    own: tuple[Segment, ...]
    first_difference: int | None
    """The number of the first token that differs, from 0; None where none does."""
    tokens: int
    """Of the longer one."""
    same_tokens: int
    """That stand in both, in the same order, wherever."""

    def to_json(self) -> dict[str, Any]:
        return {
            "prompt": self.prompt,
            "base": [segment.to_json() for segment in self.base],
            "quantized": [segment.to_json() for segment in self.own],
            "first_difference": self.first_difference,
            "tokens": self.tokens,
            "same_tokens": self.same_tokens,
        }


def continuation(
    prompt: str, base: Sequence[int], own: Sequence[int], base_pieces: Sequence[str], own_pieces: Sequence[str]
) -> Continuation:
    """Compares token ids; the pieces are what each token adds to the text."""
    blocks = SequenceMatcher(None, base, own, autojunk=False).get_matching_blocks()
    first = next((at for at, pair in enumerate(zip(base, own, strict=False)) if pair[0] != pair[1]), None)
    if first is None and len(base) != len(own):
        first = min(len(base), len(own))
    return Continuation(
        prompt,
        tuple(_segments(base_pieces, [(block.a, block.size) for block in blocks])),
        tuple(_segments(own_pieces, [(block.b, block.size) for block in blocks])),
        first,
        max(len(base), len(own)),
        sum(block.size for block in blocks),
    )


def _segments(pieces: Sequence[str], same: Sequence[tuple[int, int]]) -> Iterator[Segment]:
    at = 0
    for start, size in same:
        if start > at:
            yield Segment("".join(pieces[at:start]), same=False)
        if size:
            yield Segment("".join(pieces[start : start + size]), same=True)
        at = start + size
