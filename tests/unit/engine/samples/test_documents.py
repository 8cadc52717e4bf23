"""Text to calibrate with: files, folders, JSON lines and conversations."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.calibration import Calibration, Refused
from qtquant_app.core.errors import EvaluateError, SourceError
from qtquant_app.engine.samples import documents as reading
from qtquant_app.engine.samples import open_samples
from qtquant_app.engine.samples.chats import document
from qtquant_app.engine.samples.documents import Documents, one_file
from qtquant_app.engine.samples.found import look_up
from qtquant_app.engine.text import Text, read_text
from tests.unit.engine.samples.models import STRICT, TEMPLATE, checkpoint

WORDS = st.text(max_size=40)
CHATS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": WORDS}), min_size=1, max_size=4
)
ULM = [{"role": "user", "content": "What is Ulm"}, {"role": "assistant", "content": "A town by the Danube. " * 6}]


def lines(file: Path, *rows: object) -> Path:
    file.write_text("\n".join(map(json.dumps, rows)))
    return file


@settings(deadline=None, max_examples=50)
@given(CHATS)
def test_a_conversation_is_read_as_it_was_written(chat: list[dict[str, str]]) -> None:
    assert document(json.dumps({"id": 1, "messages": chat, "more": [{"a": []}]})) == tuple(chat)


@settings(deadline=None, max_examples=50)
@given(WORDS.filter(bool))
def test_a_text_is_read_as_it_was_written(text: str) -> None:
    assert document(json.dumps({"meta": {"text": "no"}, "text": text})) == text


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ({"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]}, ["user", "assistant"]),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "see"}, {"type": "image"}]}]}, ["user"]),
        ({"messages": [{"role": "assistant", "content": None}, {"role": "user", "content": "x"}, 3]}, ["user"]),
        ({"messages": []}, None),
        ({"text": 3}, None),
        ([1, 2], None),
    ],
)
def test_other_ways_to_write_conversations_are_known(line: object, found: list[str] | None) -> None:
    read = document(json.dumps(line))
    assert read == found if found is None else [message["role"] for message in read or ()] == found  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "line", ['{"text": "a"', '{"messages": [{"role": "user"]}', "text", '{"text": "a"} b', "[" * 500]
)
def test_what_is_no_json_is_refused_with_its_line(line: str, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "one"}\n' + line + '\n{"text": "two"}')
    with pytest.raises(SourceError, match="line 2 of"):
        one_file(file)


def test_texts_in_json_lines_are_one_text_as_evaluations_read_them(tmp_path: Path) -> None:
    file = lines(tmp_path / "prose.jsonl", {"text": "one"}, {"text": "two"})
    assert one_file(file).text == read_text(str(file))


@settings(deadline=None, max_examples=50)
@given(st.lists(WORDS.filter(str.strip), min_size=1))
def test_halves_of_a_text_are_those_that_evaluations_make(texts: list[str]) -> None:
    whole = Documents("a text", texts)
    expected = Text("a text", "\n\n".join(texts)).halves()
    assert tuple(whole.half(second).text for second in (False, True)) == expected


@settings(deadline=None, max_examples=50)
@given(st.lists(CHATS.map(tuple), min_size=2, max_size=6))
def test_halves_of_conversations_are_all_of_them_and_share_none(chats: list[Any]) -> None:
    whole = Documents("chats", chats)
    assert [*whole.half(False).items, *whole.half(True).items] == chats


def test_a_folder_is_read_file_by_file_and_what_is_no_text_is_counted(tmp_path: Path) -> None:
    (tmp_path / "deeper").mkdir()
    (tmp_path / "b.md").write_text("second")
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "deeper" / "c.rst").write_text("third")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / ".hidden").write_text("never")
    (tmp_path / "weights.bin").write_bytes(bytes(range(256)) * 4)
    found = look_up(str(tmp_path)).documents
    assert found is not None and list(found.items) == ["first", "second", "third"]
    assert found.refused == (Refused("files that are no text", 1), Refused("files that are empty", 1))


@pytest.mark.parametrize("content", [None, b"", bytes(range(256)) * 4])
def test_a_folder_with_nothing_to_read_is_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(SourceError, match="holds no"):
        look_up(str(tmp_path))


def test_no_more_is_kept_of_a_file_than_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_ITEMS", 5)
    file = lines(tmp_path / "chats.jsonl", *({"messages": ULM} for _ in range(9)))
    assert len(one_file(file).items) == 3  # of two messages each


def test_conversations_are_written_by_the_model_s_own_template(tmp_path: Path) -> None:
    file = lines(tmp_path / "chats.jsonl", {"messages": ULM}, {"messages": ULM[::-1]})
    found = checkpoint("llama", tmp_path / "model", template=TEMPLATE)
    samples = open_samples(found, Calibration(str(file)))
    assert len(samples) == 1 and samples.report().shown[0].text.startswith(
        "<s> user: What is Ulm</s><s> assistant: A town"
    )
    assert samples[0]["input_ids"][0, :2].tolist() != [1, 1]


def test_text_goes_through_the_template_only_where_that_is_asked_for(tmp_path: Path) -> None:
    found = checkpoint("llama", tmp_path, template=TEMPLATE)
    asked, plain = (
        open_samples(found, Calibration(samples=2, chat=chat)).report().shown[0].text for chat in (True, False)
    )
    assert asked.startswith("<s> user:") and "user:" not in plain


def test_conversations_for_a_model_without_a_template_are_refused(tmp_path: Path) -> None:
    file = lines(tmp_path / "chats.jsonl", {"messages": ULM}, {"messages": ULM})
    with pytest.raises(EvaluateError, match="has no chat template"):
        open_samples(checkpoint("llama", tmp_path / "model"), Calibration(str(file)))


def test_conversations_that_are_too_short_or_that_the_template_refuses_are_counted(tmp_path: Path) -> None:
    short = {"messages": [{"role": "user", "content": "hi"}]}
    begun = {"messages": ULM[::-1]}
    file = lines(tmp_path / "chats.jsonl", {"messages": ULM}, short, begun, *[{"messages": ULM}] * 3)
    report = open_samples(checkpoint("llama", tmp_path / "model", template=STRICT), Calibration(str(file))).report()
    assert report.count == 1
    assert set(report.refused) == {
        Refused("shorter than 32 tokens", 1),
        Refused("conversations that the model's chat template refuses", 1),
    }


def test_a_text_that_is_too_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "note.txt"
    file.write_text("Too short.")
    with pytest.raises(EvaluateError, match="too short"):
        open_samples(checkpoint("llama", tmp_path / "model"), Calibration(str(file)))
