"""A second opinion: the definition worked through one weight at a time in Python's own numbers, no array in sight."""

from __future__ import annotations

import struct
from fractions import Fraction
from math import frexp

import numpy as np
import pytest

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.unit.quant.cases import DTYPES, bits_pattern, few_values, gaussian

MANTISSA = {"F32": 24, "F16": 11, "BF16": 8}
LOWEST_EXPONENT = {"F32": -149, "F16": -24, "BF16": -133}


def rounded(value: Fraction | float, dtype: str) -> float:
    """The nearest number of a dtype, ties to even."""
    exact = Fraction(value)
    if exact == 0:
        return 0.0
    quantum = Fraction(2) ** max(frexp(float(exact))[1] - MANTISSA[dtype], LOWEST_EXPONENT[dtype])
    return float(round(exact / quantum) * quantum)


def parameters(group: list[float], bits: int, symmetric: bool, dtype: str, factor: float) -> tuple[float, int]:
    top = 2**bits - 1
    low, high = min(0.0, *group) * factor, max(0.0, *group) * factor
    half = max(abs(w) for w in group) * factor
    span = half / (top / 2) if symmetric else (high - low) / top
    if all(w == 0 for w in group):
        return 1.0, 2 ** (bits - 1) if symmetric else 0
    scale = rounded(rounded(span, "F32"), dtype) or 2.0 ** LOWEST_EXPONENT[dtype]
    return scale, 2 ** (bits - 1) if symmetric else min(max(round(-low / scale), 0), top)


def code(weight: float, scale: float, zero: int, bits: int) -> int:
    steps = rounded(Fraction(weight) / Fraction(scale), "F32")
    return min(max(round(steps) + zero, 0), 2**bits - 1)


def error(weight: float, code: int, scale: float, zero: int) -> float:
    restored = rounded(Fraction(code - zero) * Fraction(scale), "F32")
    return rounded(Fraction(weight) - Fraction(restored), "F32")


def quantized(group: list[float], scheme: Scheme, dtype: str) -> tuple[float, int, list[int], Fraction]:
    """(scale, zero, codes, squared error) of one group, the first best of the method's factors."""
    best = None
    factors = [1.0] if scheme.method == "rtn" else [(108 - 2 * step) / 100 for step in range(40)]
    for factor in factors:
        scale, zero = parameters(group, scheme.bits, scheme.symmetric, dtype, factor)
        codes = [code(w, scale, zero, scheme.bits) for w in group]
        total = sum((Fraction(error(w, u, scale, zero)) ** 2 for w, u in zip(group, codes, strict=True)), Fraction(0))
        if best is None or total < best[3]:
            best = scale, zero, codes, total
    assert best is not None
    return best


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", range(2, 9))
def test_scales_codes_bytes_and_errors_are_those_of_the_definition(dtype: str, symmetric: bool, bits: int) -> None:
    scheme = Scheme(bits=bits, symmetric=symmetric, group_size=12)
    for make in (gaussian, few_values, bits_pattern):
        raw = make(dtype, 3, 31, 10 * bits + symmetric)
        if make is bits_pattern:
            raw[np.abs(as_float32(raw, dtype)) > (1e4 if dtype == "F16" else 1e30)] = 0
        check(raw, dtype, scheme)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 4])
def test_the_clip_search_finds_the_factor_that_the_definition_finds(dtype: str, symmetric: bool, bits: int) -> None:
    check(gaussian(dtype, 2, 40, seed=bits), dtype, Scheme(bits=bits, symmetric=symmetric, group_size=16, method="mse"))


def check(raw: np.ndarray, dtype: str, scheme: Scheme) -> None:
    chunk = CpuBackend().quantize(raw, dtype, scheme, 4)
    columns, size = raw.shape[1], scheme.group_size or raw.shape[1]
    for row, weights in enumerate(as_float32(raw, dtype).tolist()):
        codes: list[int] = []
        total = Fraction(0)
        for index, start in enumerate(range(0, columns, size)):
            scale, zero, found, square = quantized(weights[start : start + size], scheme, dtype)
            assert as_float32(chunk.scale, dtype)[row, index] == scale
            assert chunk.zero is None or chunk.zero[row, index] == zero
            codes += found
            total += square
        stream = sum(u << (scheme.bits * k) for k, u in enumerate(codes))
        assert chunk.packed[row].tobytes() == stream.to_bytes(chunk.packed.shape[1], "little")
        assert chunk.errors.square_error[row] == pytest.approx(float(total), rel=1e-14)


def test_the_reference_rounds_as_the_machine_does() -> None:
    for value in (1 / 3, 1e-40, 65519.99, 2.0**-25 * 3, 1.00390625, 3.0000001):
        assert rounded(value, "F32") == struct.unpack("f", struct.pack("f", value))[0]
        assert rounded(value, "F16") == float(np.float16(value))
