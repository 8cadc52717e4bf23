"""A tokenizer's vocabulary as a GGUF file holds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from qtquant_app.core.json_text import shown
from qtquant_app.formats.gguf.values import Value, boolean, f32s, i32s, text, texts


class TokenType(IntEnum):
    """What a token is: llama.cpp's numbers, which are SentencePiece's too."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


@dataclass(frozen=True, slots=True)
class Token:
    """One entry. `score` counts for SentencePiece alone: of two merges, that with the higher score comes first."""

    text: str
    type: TokenType
    score: float = 0.0


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id, with gaps, and how text becomes them."""

    model: str
    """llama.cpp's word: `gpt2` for byte-level BPE, `llama` for SentencePiece."""
    pre: str
    """How llama.cpp splits text before merging."""
    tokens: Mapping[int, Token]
    merges: tuple[str, ...] = ()
    space_prefix: bool | None = None
    """Whether a space is put before the text; None where the model has no say in it."""
    added: frozenset[int] = frozenset()
    """Ids that are not of the model's own vocabulary."""

    @property
    def ids(self) -> dict[str, int]:
        """The id of each text."""
        return {token.text: number for number, token in self.tokens.items()}

    def metadata(self, rows: int) -> dict[str, Value]:
        """The `tokenizer.ggml.*` values for an embedding of `rows` rows: what it has beyond the tokens gets made-up ones.

        Added tokens beyond the rows are left out, as no row stands for them. Raises ValueError where another one is.
        """
        self._check_fits(rows)
        filler = Token("", TokenType.UNUSED, -10_000.0)
        entries = [self.tokens.get(number, filler) for number in range(rows)]
        words = [entry.text if entry is not filler else f"[PAD{number}]" for number, entry in enumerate(entries)]
        found = {
            "tokenizer.ggml.model": text(self.model),
            "tokenizer.ggml.pre": text(self.pre),
            "tokenizer.ggml.tokens": texts(words),
            "tokenizer.ggml.token_type": i32s(entry.type for entry in entries),
        }
        if self.model == "llama":
            found["tokenizer.ggml.scores"] = f32s(entry.score for entry in entries)
        if self.merges:
            found["tokenizer.ggml.merges"] = texts(self.merges)
        if self.space_prefix is not None:
            found["tokenizer.ggml.add_space_prefix"] = boolean(self.space_prefix)
        return found

    def _check_fits(self, rows: int) -> None:
        outside = [number for number in self.tokens if number >= rows and number not in self.added]
        if outside:
            word = shown(self.tokens[outside[0]].text)
            raise ValueError(f"has the token {word} with the id {outside[0]}, but the embedding has {rows} rows")


def looks_special(word: str) -> bool:
    """Whether an added token steers the model though its file does not say so, as llama.cpp's converter judges it."""
    return (
        word in ("<pad>", "<mask>", "<2mass>", "[@BOS@]")
        or (word.startswith(("<|", "<\uff5c")) and word.endswith(("|>", "\uff5c>")))
        or (word.startswith("<unused") and word.endswith(">"))
    )


def added_token(word: str, special: bool) -> Token:
    """An added token, as llama.cpp finds it in a text: its spaces are spaces."""
    if special or looks_special(word):
        return Token(word, TokenType.CONTROL, -1000.0)
    return Token(word.replace("\u2581", " "), TokenType.USER_DEFINED, -1000.0)


def added_tokens(entries: Sequence[object]) -> dict[int, Token]:
    """The `added_tokens` of tokenizer.json. Raises ValueError where an entry is none."""
    found = {}
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise ValueError(f"has {shown(entry)} among its added tokens")
        number, word = entry.get("id"), entry.get("content")
        if type(number) is not int or not 0 <= number < 1 << 24 or not isinstance(word, str):
            raise ValueError(f"has {shown(dict(entry))} among its added tokens")
        found[number] = added_token(word, entry.get("special") is True)
    return found
