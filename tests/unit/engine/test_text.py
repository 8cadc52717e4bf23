"""Text for a model to read: where it comes from, and how it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.errors import SourceError
from qtquant_app.engine.text import BUILT_IN, Text, read_text

WORDS = st.text(st.sampled_from("ab \n"), min_size=1, max_size=400)


def test_the_built_in_text_is_long_prose() -> None:
    text = read_text(BUILT_IN)
    assert len(text.content) > 300_000
    assert "statement" in text.content


@given(WORDS)
def test_the_halves_of_a_text_are_all_of_it_and_do_not_overlap(content: str) -> None:
    first, second = Text("a text", content).halves()
    assert first.content + second.content == content
    assert abs(len(first.content) - len(second.content)) <= len(content) // 4 + 2


def test_halves_are_cut_between_paragraphs() -> None:
    first, second = Text("a text", "one two three four five six seven\n\neight nine ten eleven").halves()
    assert first.content == "one two three four five six seven"
    assert second.content == "\n\neight nine ten eleven"


@given(WORDS, st.integers(1, 9), st.integers(1, 60))
def test_slices_are_parts_of_the_text_in_order_that_do_not_overlap(content: str, count: int, characters: int) -> None:
    at = 0
    parts = list(Text("a text", content).slices(count, characters))
    assert 1 <= len(parts) <= count
    for part in parts:
        assert len(part) <= characters
        at = content.index(part, at) + len(part)


def test_slices_begin_at_words() -> None:
    parts = list(Text("a text", "alpha beta gamma delta epsilon zeta eta theta").slices(4, 10))
    assert all(part.split()[0] in "alpha beta gamma delta epsilon zeta eta theta".split() for part in parts[1:])


def test_a_file_is_read_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "prose.txt"
    file.write_text("Grüße aus Köln", encoding="utf-8")
    assert read_text(str(file)) == Text("prose.txt", "Grüße aus Köln")


def test_json_lines_give_their_texts(tmp_path: Path) -> None:
    file = tmp_path / "prose.jsonl"
    file.write_text('{"text": "one"}\n\n{"text": "two", "id": 3}\n')
    assert read_text(str(file)).content == "one\n\ntwo"


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.txt", b"  \n", "holds no text"),
        ("weights.bin", bytes(range(256)) * 4, "not text in UTF-8"),
        ("lines.jsonl", b'{"text": "one"}\nnot json\n{"text": "two"}\n', "line 2"),
        ("lines.jsonl", b'{"text": "one"}\n{"words": "two"}\n', 'has no "text"'),
    ],
)
def test_what_is_no_text_is_refused_by_name(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=says) as refused:
        read_text(str(tmp_path / name))
    assert name in refused.value.message
    assert refused.value.hint


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone\.txt"):
        read_text(str(tmp_path / "gone.txt"))
