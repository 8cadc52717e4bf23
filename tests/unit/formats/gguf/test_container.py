"""The GGUF container: what is written reads back; what is hostile is refused before anything is made of it."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.formats.gguf import container, values
from qtquant_app.formats.gguf.container import build_header, padded, parse_gguf_header
from qtquant_app.formats.gguf.tensor_types import BY_NAME
from qtquant_app.formats.gguf.values import NUMPY, Value, ValueType

SCALARS = st.one_of(
    st.integers(0, 2**32 - 1).map(values.u32),
    st.floats(-(2.0**100), 2.0**100, width=32).map(values.f32),
    st.booleans().map(values.boolean),
    st.text(max_size=40).map(values.text),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: Value(ValueType.INT64, n)),
    st.integers(0, 2**64 - 1).map(lambda n: Value(ValueType.UINT64, n)),
    st.floats().map(lambda x: Value(ValueType.FLOAT64, x)),
    st.integers(-128, 127).map(lambda n: Value(ValueType.INT8, n)),
)
ARRAYS = st.one_of(
    st.lists(st.text(max_size=9), max_size=9).map(values.texts),
    st.lists(st.integers(-(2**31), 2**31 - 1)).map(values.i32s),
    st.lists(st.floats(width=32)).map(values.f32s),
    st.lists(st.booleans()).map(values.booleans),
    st.binary().map(values.u8s),
)
TENSORS = st.lists(
    st.tuples(
        st.text("abc.019_", min_size=1, max_size=40),
        st.sampled_from(sorted(BY_NAME)),
        st.lists(st.integers(0, 3), min_size=1, max_size=4),
    ),
    max_size=6,
    unique_by=lambda entry: entry[0],
)


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, count: data[offset : offset + count]


def parse(data: bytes) -> container.GgufHeader:
    return parse_gguf_header(reader(data), len(data))


@given(st.dictionaries(st.text("abc._", min_size=1, max_size=20), st.one_of(SCALARS, ARRAYS), max_size=8), TENSORS)
def test_what_is_written_reads_back_and_writes_the_same_bytes_again(metadata, tensors) -> None:
    shaped = [(n, t, (*sides[:-1], sides[-1] * BY_NAME[t].weights)) for n, t, sides in tensors]
    header, laid = build_header(metadata, shaped)
    end = max((t.offset + padded(t.nbytes) for t in laid.tensors), default=len(header))
    found = parse(header + bytes(end - len(header)))
    assert [(t.name, t.type.name, t.shape) for t in found.tensors] == shaped
    assert found.tensors == laid.tensors
    assert build_header(found.metadata, shaped)[0] == header
    assert len(header) % 32 == 0 and all(t.offset % 32 == 0 for t in found.tensors)


def test_a_known_file_has_the_known_bytes() -> None:
    header, _ = build_header({"general.architecture": values.text("llama")}, [("a", "Q8_0", (2, 64))])
    assert header.hex() == (
        "47475546030000000100000000000000010000000000000014000000000000006765"
        "6e6572616c2e617263686974656374757265080000000500000000000000"
        "6c6c616d61" + "010000000000000061020000004000000000000000020000000000000008000000"
        "0000000000000000" + "00" * 18
    )


GOOD, _LAID = build_header(
    {
        "general.name": values.text("x"),
        "n": values.u32(7),
        "list": values.texts(["a", "bc"]),
        "yes": values.boolean(True),
    },
    [("blk.0.a", "Q4_0", (2, 32)), ("b", "F32", (3,))],
)
FILE = GOOD + bytes(padded(36) + padded(12))


@given(st.integers(0, len(FILE) - 21))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=r"cut off|begin|room"):
        parse(FILE[:length])


def pair(key: str, value: bytes) -> bytes:
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + values.text_bytes(key) + value


HUGE = 1 << 60
HOSTILE = {
    "magic": (b"GGML" + FILE[4:], "does not begin with GGUF"),
    "version 1": (b"GGUF" + struct.pack("<I", 1) + FILE[8:], "version 1"),
    "big-endian": (b"GGUF" + struct.pack(">I", 3) + FILE[8:], "big-endian"),
    "tensors": (struct.pack("<4sIQQ", b"GGUF", 3, HUGE, 0) + bytes(64), "more than any model"),
    "pairs": (struct.pack("<4sIQQ", b"GGUF", 3, 0, HUGE) + bytes(64), "more than any model"),
    "key's length": (struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, HUGE) + bytes(64), "gives a key"),
    "text's length": (pair("k", struct.pack("<IQ", 8, HUGE)), "cut off"),
    "texts": (pair("k", struct.pack("<IIQ", 9, 8, HUGE) + bytes(64)), "room"),
    "numbers": (pair("k", struct.pack("<IIQ", 9, 6, HUGE) + bytes(64)), "room"),
    "nested": (pair("k", struct.pack("<IIQ", 9, 9, 1) + bytes(64)), "array of arrays"),
    "value type": (pair("k", struct.pack("<I", 99) + bytes(64)), "unknown type 99"),
    "truth": (pair("k", struct.pack("<IB", 7, 2)), "truth value"),
    "alignment 3": (pair("general.alignment", struct.pack("<II", 4, 3)), "alignment"),
    "alignment 0": (pair("general.alignment", struct.pack("<II", 4, 0)), "alignment"),
    "alignment text": (pair("general.alignment", struct.pack("<IQ", 8, 1) + b"x"), "alignment"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_refused_in_words(case: str) -> None:
    data, words = HOSTILE[case]
    with pytest.raises(ValueError, match=words):
        parse(data)


def described(*tensors: tuple[str, tuple[int, ...], int, int]) -> bytes:
    parts = [struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), 0)]
    for name, sides, number, offset in tensors:
        parts.append(values.text_bytes(name))
        parts.append(struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, number, offset))
    return b"".join(parts) + bytes(256)


BAD_TENSORS = {
    "twice": (described(("a", (1,), 0, 0), ("a", (1,), 0, 32)), "twice"),
    "sides": (described(("a", (1,) * 5, 0, 0)), "dimensions"),
    "type": (described(("a", (1,), 4, 0)), "unknown type 4"),
    "beyond": (described(("a", (HUGE, HUGE), 0, 0)), "beyond all bounds"),
    "hidden by a zero": (described(("a", (HUGE, HUGE, 0), 0, 0)), "beyond all bounds"),
    "blocks": (described(("a", (33,), 2, 0)), "whole blocks"),
    "alignment": (described(("a", (1,), 0, 4)), "multiple of 32"),
    "overlap": (described(("a", (16,), 0, 0), ("b", (1,), 0, 32)), "overlapping 'a'"),
    "outside": (described(("a", (1 << 40,), 0, 0)), "cut off"),
}


@pytest.mark.parametrize("case", BAD_TENSORS)
def test_tensors_that_cannot_be_are_refused_by_name(case: str) -> None:
    data, words = BAD_TENSORS[case]
    with pytest.raises(ValueError, match=words):
        parse(data)


def test_nothing_is_read_before_its_length_is_known_to_fit() -> None:
    asked = []

    def read(offset: int, count: int) -> bytes:
        asked.append(count)
        return data[offset : offset + count]

    data = pair("k", struct.pack("<IIQ", 9, 0, container.MAX_HEADER)) + bytes(64)
    with pytest.raises(ValueError, match="room"):
        parse_gguf_header(read, len(data))
    with pytest.raises(ValueError, match="cut off"):
        parse_gguf_header(read, 1 << 50)
    assert max(asked) <= 1 << 20


def test_a_long_header_is_read_in_pieces_and_whole() -> None:
    words = [f"token {i}" for i in range(200_000)]
    header, _ = build_header({"t": values.texts(words), "s": values.f32s(range(200_000))}, [])
    found = parse(header)
    assert list(found.get("t")) == words
    assert np.array_equal(found.get("s"), np.arange(200_000, dtype=np.float32))
    assert found.get("missing", 5) == 5


def test_pieces_that_are_no_text_are_shown_with_a_mark() -> None:
    data = pair("k", struct.pack("<IQ", 8, 2) + b"\xffa") + bytes(32)
    assert parse(data).get("k") == "\N{REPLACEMENT CHARACTER}a"


def test_another_alignment_is_obeyed() -> None:
    data = struct.pack("<4sIQQ", b"GGUF", 3, 1, 1) + values.text_bytes("general.alignment") + struct.pack("<II", 4, 64)
    data += values.text_bytes("a") + struct.pack("<IQIQ", 1, 4, 0, 64)
    found = parse(data + bytes(256))
    assert found.data_offset % 64 == 0 and found.tensors[0].offset == found.data_offset + 64


def test_names_beyond_ggml_s_bound_are_not_written() -> None:
    with pytest.raises(ValueError, match="63 bytes"):
        build_header({}, [("x" * 64, "F32", (1,))])


def test_every_number_type_has_a_width() -> None:
    assert set(NUMPY) == set(ValueType) - {ValueType.STRING, ValueType.ARRAY}
