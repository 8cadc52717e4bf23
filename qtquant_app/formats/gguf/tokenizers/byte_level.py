"""Byte-level BPE from tokenizer.json: GPT-2's way, as Llama 3, Qwen and SmolLM have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtquant_app.core.json_text import shown
from qtquant_app.formats.gguf.tokenizers.pre_tokenizers import pre_tokenizer
from qtquant_app.formats.gguf.tokenizers.vocabulary import Token, TokenType, Vocabulary, added_tokens

_SPACE = "\u0120"
"""How byte-level vocabularies write a space."""


def byte_level(document: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a tokenizer.json whose model is byte-level BPE.

    Raises ValueError, the end of a sentence that begins with the file's name, where it is malformed or llama.cpp splits no text
    in its way.
    """
    model = document["model"]
    pre = pre_tokenizer(document.get("pre_tokenizer"), model.get("ignore_merges") is True)
    own = {number: Token(word, TokenType.NORMAL) for word, number in vocabulary_of(model).items()}
    added = added_tokens(document.get("added_tokens") or [])
    merges = tuple(f"{left.replace(' ', _SPACE)} {right.replace(' ', _SPACE)}" for left, right in merges_of(model))
    return Vocabulary("gpt2", pre, own | added, merges, added=frozenset(added))


def vocabulary_of(model: Mapping[str, Any]) -> dict[str, int]:
    """The `vocab` of a BPE model, checked."""
    found = model.get("vocab")
    if not isinstance(found, dict) or not all(
        type(number) is int and 0 <= number < 1 << 24 for number in found.values()
    ):
        raise ValueError("has a vocabulary that is no object of ids")
    return found


def merges_of(model: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The `merges` of a BPE model: lists of two texts, or, before transformers 4.45, texts with a space between."""
    found = model.get("merges")
    if not isinstance(found, list):
        raise ValueError("has merges that are no list")
    return [_merge(entry) for entry in found]


def _merge(entry: object) -> tuple[str, str]:
    if isinstance(entry, str):
        left, space, right = entry.partition(" ")
        if space and left and right:
            return left, right
    elif isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], str):
        return entry[0], entry[1]
    raise ValueError(f"has {shown(entry)} among its merges")
