"""Reading JSON a piece at a time: the same values as `json.loads` makes, and what is passed over is still JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.core import json_reader
from qtquant_app.core.json_reader import Items, JsonReader, outlined

PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=12)
VALUES = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=5),
    max_leaves=40,
)
STYLES = st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False, "indent": "\t"}])


def whole(value: Any) -> Any:
    """The value with all its lists made."""
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, (list, Items)) else value


@settings(max_examples=300, deadline=None)
@given(VALUES, STYLES, st.sampled_from([0, 8, 64, 1 << 14]))
def test_an_outline_holds_what_the_document_does(value: Any, style: dict[str, Any], small: int) -> None:
    text = json.dumps(value, **style)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_reader, "SMALL", small)
        patch.setattr(json_reader.JsonReader.outline, "__defaults__", (100,))
        for document in (text, text.encode(), b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16"), f" {text}\n"):
            assert whole(outlined(document)) == value


@settings(max_examples=300, deadline=None)
@given(VALUES, STYLES)
def test_passing_over_a_value_ends_where_it_does(value: Any, style: dict[str, Any]) -> None:
    text = json.dumps({"before": 1, "it": value, "after": [2]}, **style)
    reader = JsonReader(text)
    found: dict[str, Any] = {}
    for key in reader.members():
        start = reader.at
        reader.skip()
        found[key] = json.loads(reader.data[start : reader.at])
    reader.end()
    assert found == {"before": 1, "it": value, "after": [2]}


@settings(max_examples=200, deadline=None)
@given(st.lists(VALUES, max_size=8), st.lists(VALUES, max_size=8))
def test_a_list_in_its_document_is_as_the_list(one: list[Any], other: list[Any]) -> None:
    items = Items(json.dumps(one).encode(), 0)
    assert len(items) == len(one) and list(items) == one and items == one and (items == other) == (one == other)
    assert [items[at] for at in range(-len(one), len(one))] == one + one
    with pytest.raises(IndexError):
        _ = items[len(one)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "[",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "[1,]",
        "[1 2]",
        "[1]]",
        "tru",
        "1x",
        '"a',
        '"\\x"',
        '"\n"',
        "{1:2}",
        "'a'",
        '{"a":1}x',
        "[}",
        '{"a":[}]',
        '"\\ud800"',
        b'"\xed\xa0\x80"',
        b'{"\xff":1}',
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ValueError):
        outlined(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":' * 200 + "1" + "}" * 200, "too deeply"),
        ("[" * 200 + "]" * 200, "too deeply"),
        ("[" + "[]," * 400_000 + "1]", "more lists and objects"),
        ("{" + ",".join(f'"{at:x}":""' for at in range(9_000)) + "}", "more values than text"),
        ('{"a":[' + "1," * 9_000 + '1],"b":"' + "b" * 200_000 + '"}', "are enough for any"),
        ('{"' + "a" * 20_000 + '":1}', "a name of"),
        ("9" * 5_000, "too many digits"),
    ],
)
def test_what_would_take_much_memory_or_time_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        outlined(text)


def test_a_name_that_is_there_twice_has_its_later_value() -> None:
    text = '{"a": {"deep": [1]}, "b": 2, "a": 3}'
    reader = JsonReader(text)
    places = reader.places(("a", "c"))
    assert places == {"a": text.rindex("3")}
    reader.at = places["a"]
    assert reader.value() == 3


def test_values_in_a_wrong_place_are_named_by_their_byte() -> None:
    with pytest.raises(ValueError, match="at byte 6 there should be a text"):
        for _ in (reader := JsonReader('{"a": 1}')).members():
            reader.text()
