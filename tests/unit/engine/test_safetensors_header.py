"""The header of a weight file: read alike however it is written, and not at all where it outweighs its tensors."""

from __future__ import annotations

import json
import struct
from math import prod
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qtquant_app.core.dtypes import ITEM_BITS
from qtquant_app.core.errors import SourceError
from qtquant_app.engine.safetensors_header import parse_header, read_header, read_header_bytes

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
TENSORS = st.dictionaries(
    NAMES.filter(lambda name: name != "__metadata__"),
    st.tuples(
        st.sampled_from([d for d, bits in ITEM_BITS.items() if bits >= 8]), st.lists(st.integers(0, 5), max_size=4)
    ),
    max_size=8,
)


def entries(tensors: dict[str, tuple[str, list[int]]], keys: list[str]) -> tuple[dict[str, Any], int]:
    """Each tensor's entry, its keys in this order, and the bytes of all."""
    made, at = {}, 0
    for name, (dtype, shape) in tensors.items():
        end = at + prod(shape) * ITEM_BITS[dtype] // 8
        parts: dict[str, Any] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        made[name] = {key: parts[key] for key in keys}
        at = end
    return made, at


def written(path: Path, text: str | bytes, data: bytes = b"") -> Path:
    header = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + data)
    return path


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    TENSORS,
    st.permutations(["dtype", "shape", "data_offsets"]),
    st.sampled_from([{}, {"separators": (",", ":")}, {"indent": 1}, {"ensure_ascii": False}]),
    st.none() | st.dictionaries(NAMES, NAMES, max_size=3),
)
def test_however_it_is_written_it_says_the_same(
    tmp_path: Path, tensors: dict[str, Any], keys: list[str], style: dict[str, Any], metadata: dict[str, str] | None
) -> None:
    described, size = entries(tensors, keys)
    document = {**({} if metadata is None else {"__metadata__": metadata}), **described}
    text = (json.dumps(document, **style) + "   ").encode()
    written(tmp_path / "x.safetensors", text, bytes(size))
    found, said = read_header(tmp_path, "x.safetensors")
    assert said == (metadata or {})
    assert {(t.name, t.dtype, t.shape, t.offset, t.nbytes) for t in found} == {
        (name, entry["dtype"], tuple(entry["shape"]), 8 + len(text) + begin, end - begin)
        for name, entry in described.items()
        for begin, end in [entry["data_offsets"]]
    }
    assert [t.offset for t in found] == sorted(t.offset for t in found)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ('{"dtype":"F32","shape":[01],"data_offsets":[0,4]}', "not JSON"),
        ('{"dtype":"F32","shape":[1],"data_offsets":[00,4]}', "not JSON"),
        ('{"dtype":"F32","shape":[1,,1],"data_offsets":[0,4]}', "not JSON"),
        ('{"dtype":"F32","shape":[1 1],"data_offsets":[0,4]}', "not JSON"),
        ('{"dtype":"F32","shape":[1,],"data_offsets":[0,4]}', "not JSON"),
        ('{"dtype":"F32","shape":[1],"data_offsets":[0,4],"more":"' + "x" * 20_000 + '"}', "are enough for any"),
        ('{"dtype":"F31","shape":[1],"data_offsets":[0,4]}', "unknown dtype"),
        ('{"dtype":"F32","shape":[2],"data_offsets":[0,4]}', "takes 8"),
        ('{"dtype":"F32","shape":[1],"data_offsets":[4,8]}', "outside"),
        ('{"dtype":"F6_E2M3","shape":[1],"data_offsets":[0,4]}', "whole bytes"),
        ("[]", "not an object"),
    ],
)
def test_an_entry_that_lies_is_refused(tmp_path: Path, entry: str, says: str) -> None:
    written(tmp_path / "x.safetensors", '{"a":' + entry + "}", bytes(4))
    with pytest.raises(SourceError, match=says):
        read_header(tmp_path, "x.safetensors")


def test_a_header_longer_than_its_share_of_the_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """And one of the same length is read where the tensors outweigh it."""
    described, _ = entries(
        {f"model.layers.{at}.scale": ("F32", [0]) for at in range(3_000)}, ["dtype", "shape", "data_offsets"]
    )
    path = written(tmp_path / "x.safetensors", json.dumps(described))
    assert path.stat().st_size > 200_000
    with pytest.raises(SourceError, match="more than any checkpoint needs"):
        read_header_bytes(tmp_path, path.name)
    size = 8 * path.stat().st_size
    described["weight"] = {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}
    written(path, json.dumps(described), bytes(size))
    assert len(read_header(tmp_path, path.name)[0]) == 3_001


def test_metadata_beyond_all_measure_are_passed_over(tmp_path: Path) -> None:
    document = {"__metadata__": {"tags": "x" * 100_000}, "a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}}
    written(tmp_path / "x.safetensors", json.dumps(document), bytes(1))
    tensors, metadata = parse_header(read_header_bytes(tmp_path, "x.safetensors"))
    assert [t.name for t in tensors] == ["a"] and metadata == {}
