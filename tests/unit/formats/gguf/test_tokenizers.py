"""Tokenizers: what of tokenizer.json and tokenizer.model goes into the header, and what is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.errors import PlanError
from qtquant_app.formats.gguf.tokenizers.chat import chat_templates
from qtquant_app.formats.gguf.tokenizers.files import tokenizer_metadata
from qtquant_app.formats.gguf.tokenizers.pre_tokenizers import pre_tokenizer
from qtquant_app.formats.gguf.tokenizers.protobuf import fields
from qtquant_app.formats.gguf.tokenizers.sentencepiece import from_json, from_model
from qtquant_app.formats.gguf.tokenizers.vocabulary import TokenType

BYTES = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
WORDS = {**BYTES, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN_2 = LLAMA_3.replace("{1,3}", "")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def sequence(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "pretokenizers": list(steps)}


@pytest.mark.parametrize(
    ("description", "whole", "name"),
    [
        (WORDS, False, "gpt-2"),
        (sequence(DIGITS, WORDS), False, "smollm"),
        (sequence(split(LLAMA_3), BYTES), True, "llama-bpe"),
        (sequence(split(LLAMA_3), BYTES), False, "dbrx"),
        (sequence(split(QWEN_2), BYTES), False, "qwen2"),
        (sequence(sequence(split(TEKKEN)), BYTES), True, "tekken"),
    ],
)
def test_a_way_of_splitting_is_recognised(description: dict[str, Any], whole: bool, name: str) -> None:
    assert pre_tokenizer(description, whole) == name


@pytest.mark.parametrize(
    "description",
    [
        None,
        [],
        sequence(split(r"\d+"), BYTES),
        sequence(split(LLAMA_3), WORDS),
        sequence(BYTES, split(LLAMA_3)),
        {**WORDS, "add_prefix_space": True},
        {"type": "Whitespace"},
        {**split(LLAMA_3), "pattern": 5},
    ],
)
def test_another_way_is_refused_and_shown(description: object) -> None:
    with pytest.raises(ValueError, match="no name in llama"):
        pre_tokenizer(description, False)


def byte_level(**changes: Any) -> dict[str, Any]:
    model = {
        "type": "BPE",
        "vocab": {"<|end|>": 0, "a": 1, "b": 2, "\u0120": 3, "ab": 4},
        "merges": [["a", "b"]],
        "byte_fallback": False,
    }
    document = {
        "pre_tokenizer": WORDS,
        "model": model,
        "added_tokens": [
            {"id": 0, "content": "<|end|>", "special": True},
            {"id": 5, "content": "mine\u2581too", "special": False},
        ],
    }
    return {**document, **changes}


def model_folder(folder: Path, document: object = None, settings: object = None, model: bytes | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    if document is not None:
        (folder / "tokenizer.json").write_text(json.dumps(document))
    if settings is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    if model is not None:
        (folder / "tokenizer.model").write_bytes(model)
    return folder


def said(folder: Path, rows: int, config: dict[str, Any] | None = None) -> dict[str, Any]:
    found = tokenizer_metadata(folder, rows, config or {})
    return {key.removeprefix("tokenizer.ggml."): value.data for key, value in found.items()}


def test_a_byte_level_vocabulary_is_filled_up_to_the_embedding_s_rows(tmp_path: Path) -> None:
    found = said(model_folder(tmp_path, byte_level()), 8)
    assert found["model"] == "gpt2" and found["pre"] == "gpt-2"
    assert found["tokens"] == ("<|end|>", "a", "b", "\u0120", "ab", "mine too", "[PAD6]", "[PAD7]")
    assert found["token_type"].tolist() == [3, 1, 1, 1, 1, 4, 5, 5]
    assert found["merges"] == ("a b",)
    assert found["add_bos_token"] is False and found["add_eos_token"] is False
    assert "scores" not in found


def test_merges_are_read_in_both_ways_of_writing_them(tmp_path: Path) -> None:
    document = byte_level()
    document["model"]["merges"] = ["a b", ["a b", "a"]]
    assert said(model_folder(tmp_path, document), 6)["merges"] == ("a b", "a\u0120b a")


def test_added_tokens_beyond_the_rows_are_left_out_and_others_refused(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, byte_level())
    assert len(said(folder, 5)["tokens"]) == 5
    with pytest.raises(PlanError, match="'ab' with the id 4, but the embedding has 4 rows"):
        said(folder, 4)


def template(*pieces: str) -> dict[str, Any]:
    single = [{"Sequence": {"id": "A"}} if p == "A" else {"SpecialToken": {"id": p}} for p in pieces]
    return {"type": "Sequence", "processors": [BYTES, {"type": "TemplateProcessing", "single": single}]}


@pytest.mark.parametrize(
    ("processor", "settings", "first", "last"),
    [
        (template("<|end|>", "A"), {"bos_token": "<|end|>", "add_bos_token": False}, True, False),
        (template("A", "<|end|>"), {"eos_token": {"content": "<|end|>"}}, False, True),
        (template("A"), {"bos_token": "<|end|>", "add_bos_token": True}, False, False),
        (None, {"bos_token": "<|end|>", "add_bos_token": True, "add_eos_token": True}, True, False),
        (None, {"eos_token": "<|end|>", "add_eos_token": True}, False, True),
        (template("<|end|>", "A"), {}, False, False),
    ],
)
def test_what_is_added_to_a_text_is_what_the_post_processor_adds(
    tmp_path: Path, processor: object, settings: object, first: bool, last: bool
) -> None:
    found = said(model_folder(tmp_path, byte_level(post_processor=processor), settings), 6)
    assert (found["add_bos_token"], found["add_eos_token"]) == (first, last)


def test_special_tokens_are_named_by_the_tokenizer_or_numbered_by_the_config(tmp_path: Path) -> None:
    folder = model_folder(tmp_path, byte_level(), {"bos_token": "<|end|>", "unk_token": "not there"})
    found = said(folder, 6, {"bos_token_id": 4, "eos_token_id": [2, 1], "pad_token_id": 99, "unk_token_id": 1})
    assert (found["bos_token_id"], found["eos_token_id"], found["unknown_token_id"]) == (0, 2, 1)
    assert "padding_token_id" not in found


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def field(number: int, data: bytes | int) -> bytes:
    if isinstance(data, int):
        return varint(number << 3) + varint(data)
    return varint(number << 3 | 2) + varint(len(data)) + data


def piece(text: str, score: float, type_: int = 1) -> bytes:
    return field(1, field(1, text.encode()) + varint(2 << 3 | 5) + struct.pack("<f", score) + field(3, type_))


def sentencepiece(model_type: int = 2, prefix: int = 1) -> bytes:
    pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("<0x0A>", 0.0, 6), ("\u2581a", -1.0, 1), ("\u2581\u2581", 0.0, 4)]
    return b"".join(piece(*entry) for entry in pieces) + field(2, field(3, model_type)) + field(3, field(3, prefix))


def test_a_sentencepiece_model_is_read(tmp_path: Path) -> None:
    settings = {"bos_token": "<s>", "added_tokens_decoder": {"5": {"content": "<pad>", "special": False}}}
    found = said(model_folder(tmp_path, settings=settings, model=sentencepiece(prefix=0)), 7)
    assert found["model"] == "llama" and found["pre"] == "default"
    assert found["tokens"] == ("<unk>", "<s>", "<0x0A>", "\u2581a", "  ", "<pad>", "[PAD6]")
    assert found["token_type"].tolist() == [2, 3, 6, 1, 4, 3, 5]
    assert found["scores"].tolist() == [0, 0, 0, -1, 0, -1000, -10000]
    assert found["add_space_prefix"] is False
    assert found["add_bos_token"] is True and found["bos_token_id"] == 1


def test_a_sentencepiece_model_that_does_not_merge_is_refused() -> None:
    with pytest.raises(ValueError, match="does not merge"):
        from_model(sentencepiece(model_type=1))
    with pytest.raises(ValueError, match="holds no pieces"):
        from_model(b"")


@given(st.lists(st.tuples(st.integers(1, 1 << 28), st.one_of(st.integers(0, 2**64 - 1), st.binary(max_size=40)))))
def test_messages_come_apart_as_they_were_put_together(parts: list[tuple[int, int | bytes]]) -> None:
    data = b"".join(field(number, value) for number, value in parts)
    found = [(n, v if isinstance(v, int) else bytes(v)) for n, v in fields(memoryview(data))]
    assert found == parts


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused_as_a_model(data: bytes) -> None:
    try:
        assert from_model(data).tokens
    except ValueError as error:
        assert len(str(error)) < 1000


def with_fallback(**changes: Any) -> dict[str, Any]:
    vocab = {"<unk>": 0, "<s>": 1, "<0x41>": 2, "a": 3, "b": 4, "ab": 5, "aba": 6}
    model = {
        "type": "BPE",
        "vocab": vocab,
        "merges": [["a", "b"], ["ab", "a"]],
        "byte_fallback": True,
        "unk_token": "<unk>",
    }
    added = [{"id": 0, "content": "<unk>", "special": True}, {"id": 1, "content": "<s>", "special": True}]
    return {"model": model, "added_tokens": added, "pre_tokenizer": None, **changes}


def test_scores_follow_the_order_of_merges() -> None:
    tokens = from_json(with_fallback()).tokens
    assert [tokens[i].type for i in range(7)] == [2, 3, 6, 1, 1, 1, 1]
    assert tokens[5].score == 0 and tokens[6].score == -1
    assert tokens[3].score < tokens[6].score  # what no merge makes is merged last, if at all
    assert tokens[0].type == TokenType.UNKNOWN


@pytest.mark.parametrize(
    ("changes", "prefix"),
    [
        ({"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}]}}, True),
        ({"normalizer": {"type": "Replace"}}, False),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "first"}}, True),
        ({"pre_tokenizer": {"type": "Metaspace", "prepend_scheme": "never"}}, False),
        ({"pre_tokenizer": {"type": "Metaspace", "add_prefix_space": False}}, False),
    ],
)
def test_a_space_is_put_first_where_the_tokenizer_does_so(changes: dict[str, Any], prefix: bool) -> None:
    assert from_json(with_fallback(**changes)).space_prefix is prefix


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ([], "no JSON object"),
        (byte_level(model=5), "merges pairs"),
        (byte_level(model={"type": "Unigram", "vocab": []}), "merges pairs"),
        (byte_level(pre_tokenizer={"type": "Whitespace"}), "neither of bytes"),
        (byte_level(model={"type": "BPE", "vocab": {"a": -1}, "merges": []}), "no object of ids"),
        (byte_level(model={"type": "BPE", "vocab": {"a": 1}, "merges": [["a"]]}), "among its merges"),
        (byte_level(added_tokens=[{"id": "0", "content": "x"}]), "among its added tokens"),
        (byte_level(added_tokens=[3]), "among its added tokens"),
    ],
)
def test_a_malformed_tokenizer_is_refused_by_name(tmp_path: Path, document: object, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        said(model_folder(tmp_path, document), 8)
    assert caught.value.message.startswith("tokenizer.json ")


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no tokenizer"):
        said(tmp_path, 8)


def test_a_tokenizer_that_changed_is_read_again(tmp_path: Path) -> None:
    assert said(model_folder(tmp_path, byte_level()), 6)["merges"] == ("a b",)
    longer = byte_level()
    longer["model"]["merges"] = [["a", "b"], ["ab", "a"]]
    assert said(model_folder(tmp_path, longer), 6)["merges"] == ("a b", "ab a")


def test_chat_templates_are_taken_from_their_file_or_from_the_settings() -> None:
    def found(file: str | None, settings: dict[str, Any]) -> dict[str, Any]:
        return {key: value.data for key, value in chat_templates(file, settings).items()}

    assert found("F", {"chat_template": "S"}) == {"tokenizer.chat_template": "F"}
    assert found(None, {"chat_template": "S"}) == {"tokenizer.chat_template": "S"}
    assert found(None, {}) == {}
    several = [
        {"name": "default", "template": "D"},
        {"name": "tools", "template": "T"},
        {"name": "a b", "template": "x"},
    ]
    assert found(None, {"chat_template": several}) == {
        "tokenizer.chat_template": "D",
        "tokenizer.chat_template.tools": "T",
        "tokenizer.chat_templates": ("tools",),
    }
