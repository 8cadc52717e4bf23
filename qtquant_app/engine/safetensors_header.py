"""Reads and writes safetensors headers. The bytes of the tensors are never touched here.

The layout is that of the safetensors format: a little-endian u64 header length, the header as JSON, the tensors. It is read here
and not by the safetensors package because a plan needs each tensor's offset, and a hostile header must end in a sentence.
"""

from __future__ import annotations

import io
import json
import os
import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from json.encoder import encode_basestring
from math import prod
from operator import attrgetter
from pathlib import Path
from typing import TypeGuard

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS, nbytes
from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_reader import JsonReader
from qtquant_app.core.json_text import parse_json, shown
from qtquant_app.core.remote import Remote

MAX_HEADER = 100_000_000
"""The safetensors package's own limit on a header's bytes."""

_PREFIX = struct.Struct("<Q")
_TOO_LARGE = 1 << 63
_MOST_SIDES = 64
"""Dimensions that torch and numpy take."""
_SMALL_HEADER = 128_000
"""Bytes from which a header may take no more than its share of the file: what is made of it takes some times its size."""
_SHARE = 8
_AHEAD = 4096
"""Bytes fetched with the length of a header that is not here."""
_METADATA = 1 << 16
"""Bytes of metadata that are made; of longer ones nothing is."""
_LONGEST_NAME = 1 << 14
"""Bytes of a tensor's name."""

_NUMBER = rb"(0|[1-9][0-9]{0,17})"
_ENTRY = re.compile(
    rb'\{ *+"dtype" *+: *+"([A-Z0-9_]{2,16})" *+, *+"shape" *+: *+\[([0-9, ]*+)\] *+'
    rb', *+"data_offsets" *+: *+\[ *+%b *+, *+%b *+\] *+\}' % (_NUMBER, _NUMBER)
)
"""A tensor as nearly every writer describes it. What looks otherwise is read the long way, and there refused if it must be."""


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it was read: the file, its size in bytes, and the JSON."""

    file: str
    size: int
    text: bytes


def read_header(root: Path, file: str, remote: Remote | None = None) -> tuple[list[TensorInfo], dict[str, str]]:
    """The tensors of `root/file`, or of the file that `remote` has, in file order, and its metadata.

    Raises SourceError naming the file where the header is truncated, malformed, or describes bytes the file does not have.
    """
    return parse_header(read_header_bytes(root, file, remote))


def read_header_bytes(root: Path, file: str, remote: Remote | None = None) -> Header:
    """The first half of `read_header`: all that waits for the disk, or for the network."""
    try:
        with (root / file).open("rb", buffering=0) if remote is None else _ahead(remote, file) as stream:
            size = os.fstat(stream.fileno()).st_size if remote is None else remote.size(file)
            text = stream.read(_header_bytes(stream.read(_PREFIX.size), size, file))
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}", hint="check the path", code="read") from None
    return Header(file, size, text)


def _ahead(remote: Remote, file: str) -> io.RawIOBase:
    """The file, its first bytes fetched: those of a small header, without a request for its length alone."""
    remote.prefetch(file, [(0, min(_AHEAD, remote.size(file)))])
    return remote.open(file)


def parse_header(header: Header) -> tuple[list[TensorInfo], dict[str, str]]:
    """The second half of `read_header`: every entry checked."""
    file, size = header.file, header.size
    start = _PREFIX.size + len(header.text)
    tensors: list[TensorInfo] = []
    metadata: dict[str, str] | None = None
    try:
        reader = JsonReader(header.text, utf8=True)
        if reader.kind != b"{":
            reader.value()
            raise _bad(file, "has a header that is not a JSON object")
        for name in reader.members():
            if name != "__metadata__":
                tensors.append(_read_tensor(reader, name, file, start, size))
            elif metadata is None:
                metadata = _read_metadata(reader)
            else:
                raise ValueError("'__metadata__' appears twice")
        reader.end()
        _check_names(tensors)
    except ValueError as error:
        raise _bad(file, f"has a header that is not JSON: {error}") from None
    tensors.sort(key=_place)
    _check_coverage(tensors, file, start, size)
    return tensors, metadata or {}


def _read_tensor(reader: JsonReader, name: str, file: str, start: int, size: int) -> TensorInfo:
    if len(name) > _LONGEST_NAME:
        raise _bad(file, f"gives a tensor a name of {len(name):,} characters")
    found = reader.match(_ENTRY)
    if found is None:
        return _tensor(name, reader.value(), file, start, size)
    stored, sides, first, last = found.groups()
    begin, end = int(first), int(last)
    try:
        dtype, shape, nbytes = _known(stored, sides)
    except ValueError:
        dtype, shape, nbytes = "", (), -1
    if nbytes != end - begin or start + end > size:
        return _tensor(name, parse_json(found[0]), file, start, size)
    return TensorInfo(name, dtype, shape, file, start + begin, nbytes)


@lru_cache(maxsize=4096)
def _known(stored: bytes, sides: bytes) -> tuple[str, tuple[int, ...], int]:
    """Dtype, shape and bytes of what a header calls so. Raises ValueError where the long way has something to say about it."""
    dtype, texts = _DTYPES.get(stored, ""), [side.strip() for side in sides.split(b",")] if sides.strip() else []
    shape = tuple(map(int, texts))
    usual = len(shape) <= _MOST_SIDES and all(side < _TOO_LARGE for side in shape)
    if not dtype or not usual or any(text.startswith(b"0") for text in texts):
        raise ValueError
    return dtype, shape, nbytes(dtype, shape)


def _read_metadata(reader: JsonReader) -> dict[str, str]:
    """What of the metadata is of the form that the format prescribes; nothing of what is beyond all measure."""
    start = reader.at
    reader.skip()
    if reader.at - start > _METADATA:
        return {}
    metadata = parse_json(reader.data[start : reader.at].decode())
    pairs = metadata.items() if isinstance(metadata, dict) else ()
    return {key: value for key, value in pairs if isinstance(value, str)}


def _check_names(tensors: Iterable[TensorInfo]) -> None:
    """Raises ValueError where two tensors have the same name: sorted, since a set of them takes several times the room."""
    for one, other in pairwise(sorted(map(_name, tensors))):
        if one == other:
            raise ValueError(f"{shown(one)} appears twice")


_place = attrgetter("offset", "nbytes")
_name = attrgetter("name")
_DTYPES = {dtype.encode(): dtype for dtype in ITEM_BITS}


def _header_bytes(prefix: bytes, size: int, file: str) -> int:
    if len(prefix) < _PREFIX.size:
        raise _bad(file, f"is {size} bytes long, too short for a header")
    length: int = _PREFIX.unpack(prefix)[0]
    if length > size - _PREFIX.size:
        raise _bad(file, f"says its header takes {length} bytes, but the whole file has {size}")
    if length > MAX_HEADER or (length > _SMALL_HEADER and length > size // _SHARE):
        raise _bad(file, f"says its header takes {length} bytes, more than any checkpoint needs")
    return length


def _tensor(name: str, entry: object, file: str, start: int, size: int) -> TensorInfo:
    dtype, shape, offsets = _fields(name, entry, file)
    begin, end = offsets
    if len(shape) > _MOST_SIDES:
        raise _bad(file, f"gives {shown(name)} {len(shape):,} dimensions, more than a tensor can have")
    if 0 in shape and prod(filter(None, shape)) >= _TOO_LARGE:
        raise _bad(file, f"gives {shown(name)} the shape {shown(list(shape))}, beyond all bounds")
    try:
        expected = nbytes(dtype, shape)
    except ValueError as error:
        raise _bad(file, f"describes {shown(name)} wrongly: {error}") from None
    if begin > end or start + end > size:
        raise _bad(file, f"says {shown(name)} lies at bytes {begin} to {end}, outside its {size - start} bytes of data")
    if end - begin != expected:
        raise _bad(
            file, f"gives {shown(name)} {end - begin} bytes, but {dtype} {shown(list(shape))} takes {shown(expected)}"
        )
    return TensorInfo(name, dtype, shape, file, start + begin, expected)


def _fields(name: str, entry: object, file: str) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    if not isinstance(entry, dict):
        raise _bad(file, f"describes {shown(name)} by something that is not an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_BITS:
        raise _bad(file, f"gives {shown(name)} the unknown dtype {shown(dtype)}")
    if not _naturals(shape):
        raise _bad(file, f"gives {shown(name)} the shape {shown(shape)}, which is not a list of sizes")
    if not _naturals(offsets) or len(offsets) != 2:
        raise _bad(file, f"gives {shown(name)} the offsets {shown(offsets)}, which are not a begin and an end")
    return dtype, tuple(shape), (offsets[0], offsets[1])


def _naturals(value: object) -> TypeGuard[list[int]]:
    if not isinstance(value, list):
        return False
    for item in value:  # noqa: SIM110 - not all(): this runs twice for every tensor of every header
        if type(item) is not int or not 0 <= item < _TOO_LARGE:
            return False
    return True


def _check_coverage(tensors: Iterable[TensorInfo], file: str, start: int, size: int) -> None:
    at, last = start, "the header"
    for tensor in tensors:
        if tensor.offset < at:
            raise _bad(file, f"has {shown(tensor.name)} overlapping {shown(last)}")
        if tensor.offset > at:
            raise _bad(file, f"has {tensor.offset - at} bytes that belong to no tensor before {shown(tensor.name)}")
        at, last = tensor.offset + tensor.nbytes, tensor.name
    if at != size:
        raise _bad(file, f"has {size - at} bytes that belong to no tensor after {shown(last)}")


def _bad(file: str, what: str) -> SourceError:
    return SourceError(
        f"{file} {what}", hint="the file is damaged or was only partly downloaded: fetch it again", code="header"
    )


@lru_cache(maxsize=4096)
def _kind_text(dtype: str, shape: tuple[int, ...]) -> str:
    """The first half of an entry."""
    return f'{{"dtype":{_compact(dtype)},"shape":{_compact(shape)},'


def _compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def build_header(tensors: Iterable[tuple[str, str, tuple[int, ...], int]], metadata: Mapping[str, str]) -> bytes:
    """The header of a file that holds (name, dtype, shape, bytes) in this order with no gap, length prefix included.

    Padded with spaces to a multiple of 8 bytes, as the safetensors package does.
    """
    # What json.dumps writes, made by hand: a plan writes hundreds of thousands of entries to know how long they are.
    entries = [f'"__metadata__":{_compact(dict(metadata))}'] if metadata else []
    at = 0
    for name, dtype, shape, size in tensors:
        entries.append(f'{encode_basestring(name)}:{_kind_text(dtype, shape)}"data_offsets":[{at},{at + size}]}}')
        at += size
    text = f"{{{','.join(entries)}}}".encode()
    text += b" " * (-len(text) % 8)
    return _PREFIX.pack(len(text)) + text
