"""Bits in words: the formula of a float is its value, and the fewest digits tell it from every other."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qtquant_app.core.bits import Number, digits, operand
from qtquant_app.quant.stored import number


def value_of(formula: str) -> Fraction:
    """The formula worked out: its signs and powers as Python writes them."""
    plain = formula.replace("\u2212", "-").replace("\u00d7", "*").replace("^", "**")
    for whole in ("(1 + ", "("):
        plain = plain.replace(f"+{whole}", f"{whole}", 1) if plain.startswith(f"+{whole}") else plain
    factor, _, power = plain.partition(" * 2**")
    top, _, bottom = factor.strip("+-()").removeprefix("1 + ").partition("/")
    part = Fraction(int(top), int(bottom)) + ("1 + " in factor)
    exponent, _, bias = power.strip("()").partition(" - ")
    return (-1 if plain.startswith("-") else 1) * part * Fraction(2) ** (int(exponent) - int(bias))


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ"])
def test_the_formula_of_each_finite_byte_gives_its_number(dtype: str) -> None:
    for code in range(256):
        value = number(code, dtype)
        if np.isfinite(value):
            assert value_of(Number(dtype, code, value).formula) == Fraction(value)


@given(st.integers(0, 2**16 - 1))
def test_the_formula_of_each_half_gives_its_number(pattern: int) -> None:
    half = float(np.array([pattern], np.uint16).view(np.float16)[0])
    brain = float(np.array([pattern << 16], np.uint32).view(np.float32)[0])
    for dtype, value in (("F16", half), ("BF16", brain)):
        if np.isfinite(value):
            assert value_of(Number(dtype, pattern, value).formula) == Fraction(value)


@given(st.floats(width=32, allow_nan=False))
def test_digits_tell_a_float32_from_every_other(value: float) -> None:
    assert struct.pack("<f", float(digits(value))) == struct.pack("<f", value)


def test_few_digits_are_given_where_few_will_do() -> None:
    assert [digits(value) for value in (0.5, 0.1, 1e30, -3.0, 0.0)] == ["0.5", "0.1", "1e+30", "-3", "0"]
    assert operand(-2.0) == "(-2)" and operand(2.0) == "2"


def test_fields_have_names_and_leave_no_bit_out() -> None:
    word = Number("F8_E5M2", 0b1_01101_10, 0.0).word("weight")
    assert word.text == "1 01101 10" and word.hex == "0xB6"
    assert word.spoken == "weight, F8_E5M2 0xB6: sign 1, exponent 01101, mantissa 10"
    assert Number("I8", 0xFE, -2.0).word("weight").fields[0].name == "two's complement"
    assert Number("I8", 0xFE, -2.0).formula == ""
