"""Special tokens: which begins a text, which ends it, and whether they are put there unasked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtquant_app.formats.gguf.tokenizers.vocabulary import Vocabulary
from qtquant_app.formats.gguf.values import Value, boolean, u32

_NAMES = {"bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding"}
"""transformers' word and llama.cpp's; `seperator` is how it spells it."""


def special_tokens(
    vocabulary: Vocabulary,
    rows: int,
    document: Mapping[str, Any],
    tokenizer_config: Mapping[str, Any],
    config: Mapping[str, Any],
) -> dict[str, Value]:
    """The ids of special tokens, and whether llama.cpp is to add the first and the last.

    tokenizer_config.json names them, config.json numbers them; the post-processor of tokenizer.json says what is really added.
    """
    ids = vocabulary.ids
    numbers = {name: _number(name, ids, rows, tokenizer_config, config) for name in _NAMES}
    found = {f"tokenizer.ggml.{_NAMES[name]}_token_id": u32(n) for name, n in numbers.items() if n is not None}
    first, last = _added(document, tokenizer_config, vocabulary.model == "llama")
    found["tokenizer.ggml.add_bos_token"] = boolean(first and numbers["bos"] is not None)
    found["tokenizer.ggml.add_eos_token"] = boolean(last and numbers["eos"] is not None)
    return found


def _number(
    name: str, ids: Mapping[str, int], rows: int, tokenizer_config: Mapping[str, Any], config: Mapping[str, Any]
) -> int | None:
    word = tokenizer_config.get(f"{name}_token")
    if isinstance(word, Mapping):
        word = word.get("content")
    if isinstance(word, str) and word in ids:
        return ids[word] if ids[word] < rows else None
    number = config.get(f"{name}_token_id")
    if isinstance(number, list) and number:  # several may end a text: llama.cpp finds the others by their words
        number = number[0]
    return number if type(number) is int and 0 <= number < rows else None


def _added(document: Mapping[str, Any], tokenizer_config: Mapping[str, Any], sentencepiece: bool) -> tuple[bool, bool]:
    """Whether a first and a last token are added: as the template for one text does it, else as tokenizer_config.json says."""
    for step in _steps(document.get("post_processor")):
        single = step.get("single")
        if step.get("type") == "TemplateProcessing" and isinstance(single, list) and single:
            return _is_special(single[0]), _is_special(single[-1])
    first, last = tokenizer_config.get("add_bos_token"), tokenizer_config.get("add_eos_token")
    return (first if isinstance(first, bool) else sentencepiece), last is True


def _steps(processor: object) -> list[Mapping[str, Any]]:
    if not isinstance(processor, Mapping):
        return []
    inner = processor.get("processors")
    return [found for item in inner for found in _steps(item)] if isinstance(inner, list) else [processor]


def _is_special(piece: object) -> bool:
    return isinstance(piece, Mapping) and "SpecialToken" in piece
