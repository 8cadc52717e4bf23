"""The short text that a runtime and our own model read, as the base's tokenizer takes it apart."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import EvaluateError
from qtquant_app.core.escaping import shortened, visible
from qtquant_app.engine.language_model import open_tokenizer
from qtquant_app.engine.text import read_text

TOKENS = 48
_CHARACTERS = 8
"""A token in any tokenizer's own language takes fewer."""
_LONGEST = 400
"""Characters of a continuation that are kept."""


@dataclass(frozen=True, slots=True)
class Passage:
    """What both read: `ids` are the first of the token ids of `text`, which are `all_ids`."""

    text: str
    ids: tuple[int, ...]
    all_ids: tuple[int, ...]
    tokenizer: Any

    def said(self, ids: tuple[int, ...]) -> str:
        """Token ids as text, harmless on one line."""
        with suppress(Exception):  # a runtime may answer with ids that the tokenizer does not have
            words = str(self.tokenizer.decode(list(ids)))
            return visible(shortened(" ".join(words.split()), _LONGEST))
        return visible(shortened(str(list(ids)), _LONGEST))


def passage_of(checkpoint: Checkpoint, text: str) -> Passage:
    """The first 48 tokens of the second half of `text`, a file or "default". Raises EvaluateError where there are none."""
    tokenizer = open_tokenizer(checkpoint)
    _, held_out = read_text(text).halves()
    part = next(held_out.slices(1, TOKENS * _CHARACTERS))
    ids = tuple(map(int, tokenizer(part, verbose=False)["input_ids"]))
    if not ids:
        raise EvaluateError(
            f"{checkpoint.label}'s tokenizer makes nothing of {held_out.name}",
            hint="give a text in the model's language",
            code="text",
        )
    return Passage(part, ids[:TOKENS], ids, tokenizer)


def common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """How many are the same, up to the first that is not."""
    same = (a == b for a, b in zip(one, other, strict=False))
    return next((at for at, alike in enumerate(same) if not alike), min(len(one), len(other)))


def tokenization(passage: Passage, found: tuple[int, ...] | None) -> str:
    """Where a runtime with a vocabulary of its own takes the text apart otherwise; empty where it does not."""
    wanted = passage.all_ids
    if found is None or found == wanted:
        return ""
    at = common(wanted, found)
    return f"from token {at} on it makes {list(found[at : at + 4])} of the text, not {list(wanted[at : at + 4])}"
