"""Windows of tokens: as many as were asked for where the text has room, none overlapping, none padded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core.errors import EvaluateError
from qtquant_app.engine.text import Text
from qtquant_app.engine.windows import LEAST_TOKENS, windows


class Every:
    """A tokenizer of so many characters a token; an id is where its token begins in the text it was made for."""

    def __init__(self, whole: str, characters: int) -> None:
        self._whole, self._characters = whole, characters

    def __call__(self, part: str, **options: Any) -> dict[str, torch.Tensor]:
        start = self._whole.index(part)
        count = -(-len(part) // self._characters)
        return {"input_ids": (start + self._characters * torch.arange(count))[None]}


def numbered(count: int) -> str:
    """A text of so many words, no two alike."""
    return " ".join(f"{i:05d}" for i in range(count))


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 40), st.integers(40, 900))
def test_windows_are_alike_in_length_and_never_overlap(characters: int, count: int, length: int, words: int) -> None:
    text = Text("a text", numbered(words))
    try:
        found = windows(Every(text.content, characters), text, count, length)
    except EvaluateError:
        assert len(text.content) < LEAST_TOKENS * characters + 8 * length
        return
    assert 1 <= len(found) <= count and len({len(ids) for ids in found}) == 1
    assert len(found[0]) == length or (len(found) == 1 and LEAST_TOKENS <= len(found[0]) < length)
    covered = [position for ids in found for position in ids.tolist()]
    assert len(set(covered)) == len(covered) and covered == sorted(covered)


@pytest.mark.parametrize("characters", [3, 4, 5])
def test_a_text_with_room_for_all_windows_gives_all_of_them(characters: int) -> None:
    text = Text("a text", numbered(3000))
    count = len(text.content) // (characters * 64) // 2
    assert len(windows(Every(text.content, characters), text, count, 64)) == count


def test_a_short_text_is_one_window_and_a_shorter_one_none() -> None:
    text = Text("a note", numbered(60))
    assert [len(ids) for ids in windows(Every(text.content, 6), text, 4, 512)] == [60]
    with pytest.raises(EvaluateError, match="a note is too short: the model needs 32 tokens"):
        windows(Every(text.content, 40), text, 4, 512)
