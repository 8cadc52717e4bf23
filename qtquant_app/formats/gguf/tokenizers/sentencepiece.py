"""SentencePiece: from its own tokenizer.model, or from the tokenizer.json that transformers makes of one.

Source: sentencepiece_model.proto.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from typing import Any

from qtquant_app.core.json_text import shown
from qtquant_app.formats.gguf.tokenizers.byte_level import merges_of, vocabulary_of
from qtquant_app.formats.gguf.tokenizers.protobuf import fields
from qtquant_app.formats.gguf.tokenizers.vocabulary import Token, TokenType, Vocabulary, added_tokens

_MOST_PIECES = 1 << 22
_PIECE, _TRAINER, _NORMALIZER = 1, 2, 3
_TEXT, _SCORE, _TYPE = 1, 2, 3
_MODEL_TYPE, _BPE = 3, 2
_DUMMY_PREFIX = 3
_SPACE = "\u2581"
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_UNREACHED = -1e9


def from_model(data: bytes) -> Vocabulary:
    """The vocabulary of a tokenizer.model. Raises ValueError where it is none, or not of the kind that llama.cpp merges."""
    tokens: dict[int, Token] = {}
    model_type, prefix = 1, True
    for number, value in fields(memoryview(data)):
        if isinstance(value, int):
            continue
        if number == _PIECE:
            if len(tokens) == _MOST_PIECES:
                raise ValueError("has more pieces than any model needs")
            tokens[len(tokens)] = _piece(value)
        elif number == _TRAINER:
            model_type = _varint_of(value, _MODEL_TYPE, model_type)
        elif number == _NORMALIZER:
            prefix = bool(_varint_of(value, _DUMMY_PREFIX, 1))
    if not tokens:
        raise ValueError("holds no pieces")
    if model_type != _BPE:
        raise ValueError(
            "is a SentencePiece model that does not merge pairs (BPE), which llama.cpp takes for no decoder"
        )
    return Vocabulary("llama", "default", tokens, space_prefix=prefix)


def _piece(data: memoryview) -> Token:
    word, score, type_ = b"", 0.0, 1
    for number, value in fields(data):
        if number == _TEXT and not isinstance(value, int):
            word = bytes(value)
        elif number == _SCORE and not isinstance(value, int) and len(value) == 4:
            score = struct.unpack("<f", value)[0]
        elif number == _TYPE and isinstance(value, int):
            type_ = value
    try:
        return _typed(word.decode(), score, TokenType(type_))
    except ValueError:  # no such type, or no text
        raise ValueError(f"has the piece {shown(bytes(word))} of the type {type_}") from None


def _typed(word: str, score: float, type_: TokenType) -> Token:
    """Pieces that the trainer was given are found in a text before it is normalised: their spaces are spaces."""
    return Token(word.replace(_SPACE, " ") if type_ == TokenType.USER_DEFINED else word, type_, score)


def _varint_of(data: memoryview, wanted: int, default: int) -> int:
    for number, value in fields(data):
        if number == wanted and isinstance(value, int):
            default = value
    return default


def from_json(document: Mapping[str, Any]) -> Vocabulary:
    """The vocabulary of a tokenizer.json whose model is BPE with a fallback to bytes.

    The file has an order of merges and no scores; llama.cpp merges the pair whose token has the highest. So a token's score is
    less the later it is first merged. Raises ValueError where the file is malformed.
    """
    model = document["model"]
    ranks: dict[str, int] = {}
    for rank, (left, right) in enumerate(merges_of(model)):
        ranks.setdefault(left + right, rank)
    unknown = model.get("unk_token")
    own = {number: _merged(word, ranks, unknown) for word, number in vocabulary_of(model).items()}
    added = added_tokens(document.get("added_tokens") or [])
    tokens = own | {number: token for number, token in added.items() if not _is_unknown(own.get(number))}
    return Vocabulary(
        "llama", "default", tokens, space_prefix=_space_prefix(document), added=frozenset(added) - frozenset(own)
    )


def _is_unknown(token: Token | None) -> bool:
    return token is not None and token.type == TokenType.UNKNOWN


def _merged(word: str, ranks: Mapping[str, int], unknown: object) -> Token:
    if word == unknown:
        return Token(word, TokenType.UNKNOWN)
    if _BYTE.fullmatch(word):
        return Token(word, TokenType.BYTE)
    return Token(word, TokenType.NORMAL, -float(ranks[word]) if word in ranks else _UNREACHED)


def _space_prefix(document: Mapping[str, Any]) -> bool:
    """Whether the normaliser or the pre-tokenizer puts a space first."""
    return any(_prepends(step) for key in ("normalizer", "pre_tokenizer") for step in _flat(document.get(key)))


def _prepends(step: Mapping[str, Any]) -> bool:
    if step.get("type") == "Prepend":
        return step.get("prepend") == _SPACE
    if step.get("type") != "Metaspace":
        return False
    return bool(step.get("prepend_scheme", "always" if step.get("add_prefix_space", True) else "never") != "never")


def _flat(step: object) -> list[Mapping[str, Any]]:
    if not isinstance(step, Mapping):
        return []
    inner = step.get("normalizers", step.get("pretokenizers"))
    return [found for item in inner for found in _flat(item)] if isinstance(inner, list) else [step]
