"""Numbers as the bits that a file holds, and what the parts of them are called."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.dtypes import ITEM_BITS

MINUS, TIMES = "\u2212", "\u00d7"

_FLOATS: dict[str, tuple[int, int, int]] = {
    "F64": (11, 52, 1023),
    "F32": (8, 23, 127),
    "F16": (5, 10, 15),
    "BF16": (8, 7, 127),
    "F8_E4M3": (4, 3, 7),
    "F8_E5M2": (5, 2, 15),
    "F8_E4M3FNUZ": (4, 3, 8),
    "F8_E5M2FNUZ": (5, 2, 16),
}
"""Exponent bits, mantissa bits and bias; the sign is the highest bit."""


@dataclass(frozen=True, slots=True)
class Field:
    """Neighbouring bits that belong together, `width` of them from bit `low` up."""

    name: str
    low: int
    width: int
    lit: bool = False
    """Whether they are what is being looked for."""

    @property
    def high(self) -> int:
        return self.low + self.width - 1


@dataclass(frozen=True, slots=True)
class Word:
    """An element of a tensor as its bits, in fields from the highest down that leave none out."""

    name: str
    dtype: str
    pattern: int
    fields: tuple[Field, ...]

    @property
    def bits(self) -> int:
        return ITEM_BITS[self.dtype]

    @property
    def hex(self) -> str:
        return f"0x{self.pattern:0{self.bits // 4}X}"

    def bit(self, position: int) -> int:
        """The bit at `position`, 0 being the lowest."""
        return self.pattern >> position & 1

    def field_text(self, field: Field) -> str:
        """The bits of a field, the highest first."""
        return f"{self.pattern >> field.low & (1 << field.width) - 1:0{field.width}b}"

    @property
    def text(self) -> str:
        """The bits, fields apart, those that are lit in brackets."""
        parts = (self.field_text(field) if not field.lit else f"[{self.field_text(field)}]" for field in self.fields)
        return " ".join(parts)

    @property
    def spoken(self) -> str:
        """The fields by name, for those who do not see them."""
        named = [f"{field.name} {self.field_text(field)}" for field in self.fields if field.name]
        return f"{self.name}, {self.dtype} {self.hex}: {', '.join(named)}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number and the bits that it is in `dtype`."""

    dtype: str
    pattern: int
    value: float

    def word(self, name: str) -> Word:
        """Its bits: sign, exponent and mantissa of a float, one field of any other dtype."""
        return Word(name, self.dtype, self.pattern, _fields(self.dtype))

    @property
    def formula(self) -> str:
        """The value in terms of the fields: `+(1 + 45/128) x 2^(121 - 127)`; empty where the bits are a plain number."""
        if self.dtype not in _FLOATS:
            return f"2^({self.pattern} {MINUS} 127)" if self.dtype == "F8_E8M0" else ""
        exponent_bits, mantissa_bits, bias = _FLOATS[self.dtype]
        mantissa = self.pattern & (1 << mantissa_bits) - 1
        exponent = self.pattern >> mantissa_bits & (1 << exponent_bits) - 1
        sign = MINUS if self.pattern >> ITEM_BITS[self.dtype] - 1 else "+"
        whole = f"(1 + {mantissa}/{1 << mantissa_bits})" if exponent else f"({mantissa}/{1 << mantissa_bits})"
        return f"{sign}{whole} {TIMES} 2^({max(1, exponent)} {MINUS} {bias})"

    def to_json(self) -> dict[str, Any]:
        return {"dtype": self.dtype, "bits": self.word("").hex, "value": self.value}


def _fields(dtype: str) -> tuple[Field, ...]:
    bits = ITEM_BITS[dtype]
    if dtype in _FLOATS:
        exponent, mantissa, _ = _FLOATS[dtype]
        return (
            Field("sign", bits - 1, 1),
            Field("exponent", mantissa, exponent),
            Field("mantissa", 0, mantissa),
        )
    name = "exponent" if dtype == "F8_E8M0" else "two's complement" if dtype.startswith("I") else "whole number"
    return (Field(name, 0, bits),)


def digits(value: float) -> str:
    """The fewest digits that tell a float32 from every other; a float64 in nine."""
    for precision in range(1, 9):
        text = f"{value:.{precision}g}"
        try:
            if struct.pack("<f", float(text)) == struct.pack("<f", value):
                return text
        except OverflowError:  # rounded up beyond the largest
            continue
    return f"{value:.9g}"


def operand(value: float) -> str:
    """`digits` for behind an operator: a negative number in brackets."""
    text = digits(value)
    return f"({text})" if text.startswith("-") else text
