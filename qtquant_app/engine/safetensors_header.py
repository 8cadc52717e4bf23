"""Reads and writes safetensors headers. The bytes of the tensors are never touched here.

The layout is that of the safetensors format: a little-endian u64 header length, the header as JSON, the tensors. It is read here
and not by the safetensors package because a plan needs each tensor's offset, and a hostile header must end in a sentence.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeGuard

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.dtypes import ITEM_BITS, nbytes
from qtquant_app.core.errors import SourceError

MAX_HEADER = 100_000_000
"""The safetensors package's own limit on a header's bytes."""

_PREFIX = struct.Struct("<Q")
_TOO_LARGE = 1 << 63


@dataclass(frozen=True, slots=True)
class Header:
    """A header as it was read: the file, its size in bytes, and the JSON."""

    file: str
    size: int
    text: bytes


def read_header(root: Path, file: str) -> tuple[list[TensorInfo], dict[str, str]]:
    """The tensors of `root/file`, in file order, and its metadata.

    Raises SourceError naming the file where the header is truncated, malformed, or describes bytes the file does not have.
    """
    return parse_header(read_header_bytes(root, file))


def read_header_bytes(root: Path, file: str) -> Header:
    """The first half of `read_header`: all that waits for the disk."""
    try:
        with (root / file).open("rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            text = stream.read(_header_bytes(stream.read(_PREFIX.size), size, file))
    except OSError as error:
        raise SourceError(f"{file} cannot be read: {error.strerror}", hint="check the path", code="read") from None
    return Header(file, size, text)


def parse_header(header: Header) -> tuple[list[TensorInfo], dict[str, str]]:
    """The second half of `read_header`: every entry checked."""
    file, size = header.file, header.size
    entries = _parse(header.text, file)
    metadata = entries.pop("__metadata__", {})
    start = _PREFIX.size + len(header.text)
    tensors = [_tensor(name, entry, file, start, size) for name, entry in entries.items()]
    tensors.sort(key=_place)
    _check_coverage(tensors, file, start, size)
    return tensors, metadata if isinstance(metadata, dict) else {}


_place = attrgetter("offset", "nbytes")


def _header_bytes(prefix: bytes, size: int, file: str) -> int:
    if len(prefix) < _PREFIX.size:
        raise _bad(file, f"is {size} bytes long, too short for a header")
    length: int = _PREFIX.unpack(prefix)[0]
    if length > size - _PREFIX.size:
        raise _bad(file, f"says its header takes {length} bytes, but the whole file has {size}")
    if length > MAX_HEADER:
        raise _bad(file, f"says its header takes {length} bytes, more than any checkpoint needs")
    return length


def _parse(text: bytes, file: str) -> dict[str, Any]:
    try:
        entries = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise _bad(file, f"has a header that is not JSON: {error}") from None
    if not isinstance(entries, dict):
        raise _bad(file, "has a header that is not a JSON object")
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice!r} appears twice")
    return result


def _tensor(name: str, entry: object, file: str, start: int, size: int) -> TensorInfo:
    dtype, shape, offsets = _fields(name, entry, file)
    begin, end = offsets
    try:
        expected = nbytes(dtype, shape)
    except ValueError as error:
        raise _bad(file, f"describes {name!r} wrongly: {error}") from None
    if begin > end or start + end > size:
        raise _bad(file, f"says {name!r} lies at bytes {begin} to {end}, outside its {size - start} bytes of data")
    if end - begin != expected:
        raise _bad(file, f"gives {name!r} {end - begin} bytes, but {dtype} {list(shape)} takes {expected}")
    return TensorInfo(name, dtype, shape, file, start + begin, expected)


def _fields(name: str, entry: object, file: str) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    if not isinstance(entry, dict):
        raise _bad(file, f"describes {name!r} by something that is not an object")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in ITEM_BITS:
        raise _bad(file, f"gives {name!r} the unknown dtype {dtype!r}")
    if not _naturals(shape):
        raise _bad(file, f"gives {name!r} the shape {shape!r}, which is not a list of sizes")
    if not _naturals(offsets) or len(offsets) != 2:
        raise _bad(file, f"gives {name!r} the offsets {offsets!r}, which are not a begin and an end")
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
            raise _bad(file, f"has {tensor.name!r} overlapping {last!r}")
        if tensor.offset > at:
            raise _bad(file, f"has {tensor.offset - at} bytes that belong to no tensor before {tensor.name!r}")
        at, last = tensor.offset + tensor.nbytes, tensor.name
    if at != size:
        raise _bad(file, f"has {size - at} bytes that belong to no tensor after {last!r}")


def _bad(file: str, what: str) -> SourceError:
    return SourceError(
        f"{file} {what}", hint="the file is damaged or was only partly downloaded: fetch it again", code="header"
    )


def build_header(tensors: Iterable[tuple[str, str, tuple[int, ...], int]], metadata: Mapping[str, str]) -> bytes:
    """The header of a file that holds (name, dtype, shape, bytes) in this order with no gap, length prefix included.

    Padded with spaces to a multiple of 8 bytes, as the safetensors package does.
    """
    entries: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, dtype, shape, size in tensors:
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return _PREFIX.pack(len(text)) + text
