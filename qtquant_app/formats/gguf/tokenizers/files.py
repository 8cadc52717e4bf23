"""Finds a model's tokenizer among its files, and reads it once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from qtquant_app.core.errors import PlanError, SourceError
from qtquant_app.core.foreign_files import check_inside, read_bounded
from qtquant_app.core.json_text import parse_json
from qtquant_app.formats.gguf.tokenizers.byte_level import byte_level
from qtquant_app.formats.gguf.tokenizers.chat import chat_templates
from qtquant_app.formats.gguf.tokenizers.pre_tokenizers import is_byte_level
from qtquant_app.formats.gguf.tokenizers.sentencepiece import from_json, from_model
from qtquant_app.formats.gguf.tokenizers.special import special_tokens
from qtquant_app.formats.gguf.tokenizers.vocabulary import Vocabulary, added_tokens
from qtquant_app.formats.gguf.values import Value

JSON, MODEL, SETTINGS, TEMPLATE = "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "chat_template.jinja"
FILES = (JSON, MODEL, SETTINGS, TEMPLATE)
"""What the metadata of a tokenizer rest on."""

_MOST_BYTES = {JSON: 1 << 27, MODEL: 1 << 25, SETTINGS: 1 << 25, TEMPLATE: 1 << 22}
"""Gemma's tokenizer.json has 34 MB, its tokenizer.model 5."""

T = TypeVar("T")


def tokenizer_metadata(root: Path, rows: int, config: Mapping[str, Any]) -> dict[str, Value]:
    """The `tokenizer.*` values for the model in `root`, whose embedding has `rows` rows.

    Raises SourceError where a file cannot be read, PlanError where there is none, or one that llama.cpp has no like of.
    """
    marks = tuple(_mark(root, name) for name in FILES)
    vocabulary, document, settings, template = _read(root, marks)
    name = MODEL if not document else JSON
    found = _named(name, lambda: vocabulary.metadata(rows))
    found |= special_tokens(vocabulary, rows, document, settings, config)
    return found | chat_templates(template, settings)


def _mark(root: Path, name: str) -> tuple[int, int] | None:
    try:
        found = (root / name).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


_Read = tuple[Vocabulary, Mapping[str, Any], Mapping[str, Any], str | None]


@lru_cache(maxsize=2)
def _read(root: Path, marks: tuple[tuple[int, int] | None, ...]) -> _Read:
    """The vocabulary, what else of tokenizer.json counts, tokenizer_config.json and the template."""
    there = {name for name, mark in zip(FILES, marks, strict=True) if mark is not None}
    document = _named(JSON, lambda: _object(root, JSON)) if JSON in there else {}
    settings = _named(SETTINGS, lambda: _object(root, SETTINGS)) if SETTINGS in there else {}
    template = _named(TEMPLATE, lambda: _bytes(root, TEMPLATE).decode()) if TEMPLATE in there else None
    vocabulary = _vocabulary(root, there, document, settings)
    kept = {key: document.get(key) for key in ("post_processor",)} if document else {}
    return vocabulary, kept, settings, template


def _vocabulary(root: Path, there: set[str], document: Mapping[str, Any], settings: Mapping[str, Any]) -> Vocabulary:
    if document and is_byte_level(document.get("pre_tokenizer")):
        return _named(JSON, lambda: byte_level(_bpe(document)))
    if MODEL in there:
        return _with_added(_named(MODEL, lambda: from_model(_bytes(root, MODEL))), document, settings)
    if document:
        return _named(JSON, lambda: from_json(_bpe(document)))
    raise PlanError(
        "the model has no tokenizer that a GGUF file could hold",
        hint=f"put its {JSON} or {MODEL} beside the weights",
        code="tokenizer",
    )


def _bpe(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The document, where its model is one of merges."""
    model = document.get("model")
    if not isinstance(model, Mapping) or model.get("type", "BPE") != "BPE":
        raise ValueError("is no tokenizer that merges pairs (BPE)")
    if not is_byte_level(document.get("pre_tokenizer")) and model.get("byte_fallback") is not True:
        raise ValueError("merges pairs, but neither of bytes nor with bytes to fall back on")
    return document


def _with_added(vocabulary: Vocabulary, document: Mapping[str, Any], settings: Mapping[str, Any]) -> Vocabulary:
    """A tokenizer.model with what tokenizer.json, or tokenizer_config.json, adds to it."""
    added = _named(JSON, lambda: added_tokens(document.get("added_tokens") or []))
    if not added:
        added = _named(SETTINGS, lambda: added_tokens(_decoder(settings)))
    unknown = [number for number, token in vocabulary.tokens.items() if token.type == token.type.UNKNOWN]
    changed = {number: token for number, token in added.items() if number not in unknown}
    return Vocabulary(
        vocabulary.model,
        vocabulary.pre,
        {**vocabulary.tokens, **changed},
        space_prefix=vocabulary.space_prefix,
        added=frozenset(changed) - frozenset(vocabulary.tokens),
    )


def _decoder(settings: Mapping[str, Any]) -> list[object]:
    found = settings.get("added_tokens_decoder")
    entries = found.items() if isinstance(found, Mapping) else ()
    return [
        {**entry, "id": int(number)} for number, entry in entries if isinstance(entry, Mapping) and number.isdecimal()
    ]


def _object(root: Path, name: str) -> Mapping[str, Any]:
    found = parse_json(_bytes(root, name))
    if not isinstance(found, dict):
        raise ValueError("is no JSON object")
    return found


def _bytes(root: Path, name: str) -> bytes:
    check_inside(root, name)
    return read_bounded(root / name, _MOST_BYTES[name])


def _named(name: str, made: Callable[[], T]) -> T:
    """What `made` gives; its refusals with the file's name before them."""
    try:
        return made()
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}", hint="check the file", code="read") from None
    except ValueError as error:
        raise PlanError(
            f"{name} {error}", hint="another format takes this model, its tokenizer as it is", code="tokenizer"
        ) from None
