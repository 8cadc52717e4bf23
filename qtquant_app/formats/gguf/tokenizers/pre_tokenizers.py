r"""How a tokenizer.json splits text before it merges, and what llama.cpp calls that way.

llama.cpp knows the ways by name and has the expressions built in (llama-vocab.cpp); what is not among them would be split
wrongly, without a word. So a tokenizer is recognised by what its file says, and refused where nothing matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtquant_app.core.json_text import shown

Step = tuple[str, ...]

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_ENDING = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_THREE_DIGITS = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_ENDING}"
_ONE_DIGIT = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_ENDING}"
_MARKS = (
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_START, _SLASHES = r"[^\r\n\p{L}\p{N}]?", r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_CASES = rf"{_START}{_UPPER}*{_LOWER}+|{_START}{_UPPER}+{_LOWER}*|\p{{N}}|{_SLASHES}"
_CASES_AND_ENDINGS = (
    rf"{_START}{_UPPER}*{_LOWER}+{_CONTRACTIONS}?|{_START}{_UPPER}+{_LOWER}*{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_SLASHES}"
)

_BYTES: Step = ("ByteLevel",)
_WORDS_AND_BYTES: Step = ("ByteLevel", "words")
_DIGITS: Step = ("Digits",)

_KNOWN: dict[tuple[Step, ...], str] = {
    (_WORDS_AND_BYTES,): "gpt-2",
    (_DIGITS, _WORDS_AND_BYTES): "smollm",
    (("Split", _THREE_DIGITS), _BYTES): "llama-bpe",
    (("Split", _ONE_DIGIT), _BYTES): "qwen2",
    (("Split", _MARKS), _BYTES): "qwen35",
    (("Split", _CASES), _BYTES): "tekken",
    (("Split", _CASES_AND_ENDINGS), _BYTES): "gpt-4o",
}

_UNMERGED = {"llama-bpe": "dbrx"}
"""llama.cpp's name of the same splitting where a word that is a token is merged from its parts all the same."""


def pre_tokenizer(description: object, ignore_merges: bool) -> str:
    """llama.cpp's name for the `pre_tokenizer` of a tokenizer.json.

    `ignore_merges` says that a word which is a token becomes it whatever the merges say. Raises ValueError, the end of a sentence
    that shows the expressions, where llama.cpp has nothing of the kind.
    """
    steps = tuple(_steps(description))
    name = _KNOWN.get(steps)
    if name is None:
        raise ValueError(f"splits text in a way that has no name in llama.cpp: {shown(_words(steps))}")
    return name if ignore_merges else _UNMERGED.get(name, name)


def is_byte_level(description: object) -> bool:
    """Whether the steps of a pre-tokenizer end in bytes written as characters."""
    steps = _steps(description)
    return bool(steps) and steps[-1][0] == "ByteLevel"


def _steps(description: object) -> list[Step]:
    if not isinstance(description, Mapping):
        return []
    if description.get("type") == "Sequence":
        inner = description.get("pretokenizers")
        return [step for item in inner for step in _steps(item)] if isinstance(inner, list) else []
    return [_step(description)]


def _step(description: Mapping[str, Any]) -> Step:
    kind = description.get("type")
    if kind == "ByteLevel" and not description.get("add_prefix_space"):
        return _WORDS_AND_BYTES if description.get("use_regex", True) else _BYTES
    if kind == "Digits" and description.get("individual_digits") is True:
        return _DIGITS
    if kind == "Split":
        pattern = description.get("pattern")
        words = pattern.get("Regex", pattern.get("String")) if isinstance(pattern, Mapping) else None
        keeps = description.get("behavior") == "Isolated" or description.get("invert") is True
        return ("Split", str(words)) if keeps else ("Split", str(words), str(description.get("behavior")))
    return (str(kind), shown(dict(description)))


def _words(steps: tuple[Step, ...]) -> str:
    return ", ".join(" ".join(step) for step in steps) or "not at all"
