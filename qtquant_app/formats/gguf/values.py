"""The typed values of a GGUF file's metadata."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np


class ValueType(IntEnum):
    """The numbers that say of which type a value is."""

    UINT8 = 0
    INT8 = 1
    UINT16 = 2
    INT16 = 3
    UINT32 = 4
    INT32 = 5
    FLOAT32 = 6
    BOOL = 7
    STRING = 8
    ARRAY = 9
    UINT64 = 10
    INT64 = 11
    FLOAT64 = 12


NUMPY: dict[ValueType, np.dtype[Any]] = {
    ValueType.UINT8: np.dtype("u1"),
    ValueType.INT8: np.dtype("i1"),
    ValueType.UINT16: np.dtype("<u2"),
    ValueType.INT16: np.dtype("<i2"),
    ValueType.UINT32: np.dtype("<u4"),
    ValueType.INT32: np.dtype("<i4"),
    ValueType.FLOAT32: np.dtype("<f4"),
    ValueType.BOOL: np.dtype("?"),
    ValueType.UINT64: np.dtype("<u8"),
    ValueType.INT64: np.dtype("<i8"),
    ValueType.FLOAT64: np.dtype("<f8"),
}
"""The numpy dtype of each type that is a number."""

_LARGEST_F32 = 3.4e38
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """`data` of `type`: a number or a text; or, where `items` says of what type, a flat numpy array or a tuple of texts."""

    type: ValueType
    data: Any
    items: ValueType | None = None

    def to_bytes(self) -> bytes:
        """Type and data as they stand in the file."""
        if self.items is None:
            return _U32.pack(self.type) + _scalar(self.type, self.data)
        head = _U32.pack(self.type) + _U32.pack(self.items) + _U64.pack(len(self.data))
        if self.items == ValueType.STRING:
            return head + b"".join(map(text_bytes, self.data))
        return head + np.ascontiguousarray(self.data, NUMPY[self.items]).tobytes()


def text_bytes(text: str) -> bytes:
    """A text with its length before it."""
    data = text.encode()
    return _U64.pack(len(data)) + data


def _scalar(type_: ValueType, data: Any) -> bytes:
    return text_bytes(data) if type_ == ValueType.STRING else np.array(data, NUMPY[type_]).tobytes()


def u32(value: int) -> Value:
    """Raises ValueError where `value` does not fit."""
    if not 0 <= value < 1 << 32:
        raise ValueError(f"{value} does not fit 32 bits")
    return Value(ValueType.UINT32, value)


def f32(value: float) -> Value:
    """Raises ValueError where `value` is no finite number of float32."""
    if not abs(value) < _LARGEST_F32:
        raise ValueError(f"{value} is no number of 32 bits")
    return Value(ValueType.FLOAT32, float(value))


def boolean(value: bool) -> Value:
    return Value(ValueType.BOOL, bool(value))


def text(value: str) -> Value:
    return Value(ValueType.STRING, value)


def texts(values: Iterable[str]) -> Value:
    return Value(ValueType.ARRAY, tuple(values), ValueType.STRING)


def i32s(values: Iterable[int]) -> Value:
    return _numbers(ValueType.INT32, values)


def f32s(values: Iterable[float]) -> Value:
    return _numbers(ValueType.FLOAT32, values)


def booleans(values: Iterable[bool]) -> Value:
    return _numbers(ValueType.BOOL, values)


def u8s(values: bytes) -> Value:
    return Value(ValueType.ARRAY, np.frombuffer(values, np.uint8), ValueType.UINT8)


def _numbers(items: ValueType, values: Iterable[Any]) -> Value:
    return Value(ValueType.ARRAY, np.array(list(values), NUMPY[items]), items)
