"""The GGUF container, version 3, little-endian: header bytes from metadata and tensors, and back from a file that anyone made.

A file is magic, version, two counts, the metadata, a description of each tensor, and, from the next multiple of the alignment
on, the tensors, each beginning at such a multiple. Source: docs/gguf.md of ggml, and ggml's gguf.cpp.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from qtquant_app.core.json_text import shown
from qtquant_app.formats.gguf.tensor_types import BY_NAME, BY_NUMBER, TensorType
from qtquant_app.formats.gguf.values import NUMPY, Value, ValueType, text_bytes

MAGIC = b"GGUF"
VERSION = 3
ALIGNMENT = 32
"""Where `general.alignment` says nothing else."""

MAX_HEADER = 1 << 28
"""Bytes of metadata and descriptions: the largest vocabularies with their merges take some 20 MB."""
MAX_NAME = 63
"""Bytes of a tensor's name that ggml can hold."""
MAX_TENSORS = 1 << 20
_MAX_PAIRS = 1 << 16
_MAX_KEY = 1 << 16
_MAX_SIDES = 4
_MAX_ALIGNMENT = 1 << 20
_MAX_TEXTS = 1 << 23
"""Texts of one array: each becomes an object, however short."""
_AHEAD = 1 << 20
_LARGEST = 1 << 62

_HEAD, _U32, _U64 = struct.Struct("<4sIQQ"), struct.Struct("<I"), struct.Struct("<Q")

Read = Callable[[int, int], bytes]
"""Gives so many bytes from an offset of the file on, or as many as there are."""


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """One tensor: `nbytes` bytes at `offset` of the file. `shape` is row-major, as torch has it: what GGUF calls ne[0] is last."""

    name: str
    type: TensorType
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class GgufHeader:
    """What stands before the tensors."""

    metadata: Mapping[str, Value]
    tensors: tuple[GgufTensor, ...]
    data_offset: int
    version: int = VERSION

    def get(self, key: str, default: Any = None) -> Any:
        """The data of the metadata's `key`."""
        found = self.metadata.get(key)
        return default if found is None else found.data


def padded(size: int, alignment: int = ALIGNMENT) -> int:
    """`size`, or the next multiple of `alignment`."""
    return size + -size % alignment


def build_header(
    metadata: Mapping[str, Value], tensors: Iterable[tuple[str, str, tuple[int, ...]]]
) -> tuple[bytes, GgufHeader]:
    """The bytes before the first tensor, padding included, and where each tensor lies.

    `tensors` are (name, type's name, row-major shape) in the order in which they are to lie. Bytes from a tensor's end to the
    next multiple of the alignment are to be zero, those after the last one too. Raises ValueError where a name is too long, a
    row is no whole number of blocks, or `metadata` asks for another alignment.
    """
    if "general.alignment" in metadata:
        raise ValueError(f"tensors are aligned to {ALIGNMENT} bytes here")
    described, at = [], 0
    for name, type_, shape in tensors:
        if len(name.encode()) > MAX_NAME:
            raise ValueError(f"{name!r} is longer than the {MAX_NAME} bytes that a name may have")
        placed = GgufTensor(name, BY_NAME[type_], shape, at, BY_NAME[type_].nbytes(shape))
        described.append(placed)
        at += padded(placed.nbytes)
    parts = [_HEAD.pack(MAGIC, VERSION, len(described), len(metadata))]
    parts += [text_bytes(key) + value.to_bytes() for key, value in metadata.items()]
    parts += map(_description, described)
    header = b"".join(parts)
    header += bytes(-len(header) % ALIGNMENT)
    start = len(header)
    moved = tuple(GgufTensor(t.name, t.type, t.shape, start + t.offset, t.nbytes) for t in described)
    return header, GgufHeader(metadata, moved, start)


def _description(tensor: GgufTensor) -> bytes:
    sides = tensor.shape[::-1]
    places = struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, tensor.type.number, tensor.offset)
    return text_bytes(tensor.name) + places


def parse_gguf_header(read: Read, size: int) -> GgufHeader:
    """The header of a file of `size` bytes, every count and length checked before anything is made of it.

    Raises ValueError with the end of a sentence that begins with the file's name: "is cut off within its header". What `read`
    raises passes through. Versions 2 and 3, little-endian; arrays of arrays are refused, as ggml does.
    """
    source = _Source(read, size)
    version, tensors, pairs = _head(source)
    metadata: dict[str, Value] = {}
    for _ in range(pairs):
        key = source.text(_MAX_KEY, "a key")
        if key in metadata:
            raise ValueError(f"has the key {shown(key)} twice")
        metadata[key] = _value(source, key)
    alignment = _alignment(metadata)
    described = list(_descriptions(source, tensors))
    start = padded(source.at, alignment)
    return GgufHeader(metadata, tuple(_placed(described, start, size, alignment)), start, version)


class _Source:
    """The bytes of the header in order, read ahead in pieces."""

    def __init__(self, read: Read, size: int) -> None:
        self._read, self._size = read, min(size, MAX_HEADER)
        self._whole = size
        self._piece, self._start = b"", 0
        self.at = 0

    def take(self, count: int) -> bytes:
        if count > self._size - self.at:
            if self._size < self._whole:
                raise ValueError(f"has a header of more than {MAX_HEADER:,} bytes, more than any model needs")
            raise ValueError("is cut off within its header")
        begin = self.at - self._start
        if begin + count > len(self._piece):
            self._piece, self._start, begin = self._fetch(max(count, min(_AHEAD, self._size - self.at))), self.at, 0
        self.at += count
        return self._piece[begin : begin + count]

    def _fetch(self, count: int) -> bytes:
        piece = self._read(self.at, count)
        if len(piece) < count:
            raise ValueError("is cut off within its header")
        return piece

    def u32(self) -> int:
        return int(_U32.unpack(self.take(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack(self.take(8))[0])

    @property
    def left(self) -> int:
        return self._size - self.at

    def text(self, most: int, what: str) -> str:
        """A text of at most `most` bytes, strictly UTF-8."""
        length = self.u64()
        if length > most:
            raise ValueError(f"gives {what} {length:,} bytes")
        try:
            return self.take(length).decode()
        except UnicodeDecodeError:
            raise ValueError(f"has {what} that is no text in UTF-8") from None


def _head(source: _Source) -> tuple[int, int, int]:
    """Version, number of tensors, number of pairs."""
    magic, version, tensors, pairs = _HEAD.unpack(source.take(_HEAD.size))
    if magic != MAGIC:
        raise ValueError("does not begin with GGUF")
    if not version & 0xFFFF and version:
        raise ValueError("is big-endian: only little-endian files are read")
    if version not in (2, 3):
        raise ValueError(f"is of version {version}: versions 2 and 3 are read")
    if tensors > MAX_TENSORS or pairs > _MAX_PAIRS:
        raise ValueError(f"says it has {tensors:,} tensors and {pairs:,} values, more than any model needs")
    return version, tensors, pairs


def _value(source: _Source, key: str) -> Value:
    type_ = _type(source.u32(), key)
    if type_ != ValueType.ARRAY:
        return Value(type_, _scalar(source, type_, key))
    items, count = _type(source.u32(), key), source.u64()
    if items == ValueType.ARRAY:
        raise ValueError(f"gives {shown(key)} an array of arrays, which no reader takes")
    return Value(type_, _array(source, items, count, key), items)


def _type(number: int, key: str) -> ValueType:
    try:
        return ValueType(number)
    except ValueError:
        raise ValueError(f"gives {shown(key)} a value of the unknown type {number}") from None


def _scalar(source: _Source, type_: ValueType, key: str) -> Any:
    if type_ == ValueType.STRING:
        return _loose_text(source, source.u64())
    dtype = NUMPY[type_]
    data = source.take(dtype.itemsize)
    if type_ == ValueType.BOOL and data[0] > 1:
        raise ValueError(f"gives {shown(key)} a truth value of {data[0]}")
    return np.frombuffer(data, dtype)[0].item()


def _array(source: _Source, items: ValueType, count: int, key: str) -> Any:
    if items == ValueType.STRING:
        if count > min(_MAX_TEXTS, source.left // _U64.size):
            raise ValueError(f"gives {shown(key)} {count:,} texts, more than it has room for")
        return tuple([_loose_text(source, source.u64()) for _ in range(count)])
    dtype = NUMPY[items]
    if count > source.left // dtype.itemsize:
        raise ValueError(f"gives {shown(key)} {count:,} items, more than it has room for")
    data = source.take(count * dtype.itemsize)
    if items == ValueType.BOOL and max(data, default=0) > 1:
        raise ValueError(f"gives {shown(key)} a truth value that is neither 0 nor 1")
    return np.frombuffer(data, dtype)


def _loose_text(source: _Source, length: int) -> str:
    """Vocabularies of old converters hold pieces that are no UTF-8: they are shown, and nothing rests on them."""
    return source.take(length).decode(errors="replace")


def _alignment(metadata: Mapping[str, Value]) -> int:
    found = metadata.get("general.alignment")
    if found is None:
        return ALIGNMENT
    asked = found.data
    if found.type != ValueType.UINT32 or not 0 < asked <= _MAX_ALIGNMENT or asked & (asked - 1):
        raise ValueError(f"asks for the alignment {shown(asked)}, which is no power of two within reason")
    return int(asked)


def _descriptions(source: _Source, count: int) -> Iterator[GgufTensor]:
    """The tensors as described, their offsets from the first one's place."""
    names: set[str] = set()
    for _ in range(count):
        name = source.text(_MAX_KEY, "a tensor's name")
        if name in names:
            raise ValueError(f"has {shown(name)} twice")
        names.add(name)
        sides = source.u32()
        if sides > _MAX_SIDES:
            raise ValueError(f"gives {shown(name)} {sides:,} dimensions, more than {_MAX_SIDES}")
        shape = tuple(source.u64() for _ in range(sides))[::-1]
        number, offset = source.u32(), source.u64()
        yield _tensor(name, shape, number, offset)


def _tensor(name: str, shape: tuple[int, ...], number: int, offset: int) -> GgufTensor:
    type_ = BY_NUMBER.get(number)
    if type_ is None:
        raise ValueError(f"gives {shown(name)} the unknown type {number}")
    if prod(max(side, 1) for side in shape) >= _LARGEST:
        raise ValueError(f"gives {shown(name)} the shape {shown(list(shape))}, beyond all bounds")
    try:
        return GgufTensor(name, type_, shape, offset, type_.nbytes(shape))
    except ValueError as error:
        raise ValueError(f"describes {shown(name)} wrongly: {error}") from None


def _placed(tensors: list[GgufTensor], start: int, size: int, alignment: int) -> Iterator[GgufTensor]:
    """The tensors with their places in the file, which must lie in it and not overlap."""
    end, last = 0, "the header"
    for tensor in sorted(tensors, key=lambda tensor: (tensor.offset, tensor.nbytes)):
        if tensor.offset % alignment:
            raise ValueError(f"has {shown(tensor.name)} at an offset that is no multiple of {alignment}")
        if tensor.offset < end:
            raise ValueError(f"has {shown(tensor.name)} overlapping {shown(last)}")
        end, last = tensor.offset + tensor.nbytes, tensor.name
        if start + end > size:
            raise ValueError(f"is cut off: {shown(last)} would end at byte {start + end:,}, and it has {size:,}")
    for tensor in tensors:
        yield GgufTensor(tensor.name, tensor.type, tensor.shape, start + tensor.offset, tensor.nbytes)
