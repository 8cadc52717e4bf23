"""Weights, dtypes and schemes that the tests of quant draw from."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import RAW_TYPES, RowErrors, as_float32

DTYPES = ("F32", "F16", "BF16")
SUMS = ("square_error", "square_weight", "square_dequantized")
CHANNEL: dict[str, Any] = {"strategy": "channel", "group_size": None}
TENSOR: dict[str, Any] = {"strategy": "tensor", "group_size": None}


def raw_of(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Float values as a backend takes them; bfloat16 by cutting bits off."""
    with np.errstate(over="ignore"):
        if dtype == "BF16":
            return (np.ascontiguousarray(values, np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return np.ascontiguousarray(values, RAW_TYPES[dtype])


def gaussian(dtype: str, rows: int = 8, columns: int = 256, seed: int = 0) -> NDArray[Any]:
    """Weights as they are in a trained layer, roughly."""
    return raw_of(np.random.default_rng(seed).standard_normal((rows, columns)) * 0.02, dtype)


def bits_pattern(dtype: str, rows: int, columns: int, seed: int) -> NDArray[Any]:
    """Any finite bit pattern at all: every exponent, subnormals, zeros of both signs."""
    width = 4 if dtype == "F32" else 2
    data = np.random.default_rng(seed).bytes(rows * columns * width)
    raw = np.frombuffer(data, RAW_TYPES[dtype]).reshape(rows, columns).copy()
    raw[~np.isfinite(as_float32(raw, dtype))] = 0
    return raw


def few_values(dtype: str, rows: int, columns: int, seed: int) -> NDArray[Any]:
    """Small whole multiples of one power of two: ties and equal errors everywhere."""
    random = np.random.default_rng(seed)
    low = {"F32": -140, "F16": -24, "BF16": -130}[dtype]
    high = {"F32": 120, "F16": 12, "BF16": 120}[dtype]
    return raw_of(random.integers(-4, 5, (rows, columns)) * 2.0 ** int(random.integers(low, high)), dtype)


def outliers(dtype: str, rows: int, columns: int, seed: int) -> NDArray[Any]:
    """Gaussian weights, one column far out."""
    values = np.random.default_rng(seed).standard_normal((rows, columns)) * 0.02
    values[:, 0] *= 100
    return raw_of(values, dtype)


KINDS_OF_WEIGHTS = (
    lambda dtype, rows, columns, seed: gaussian(dtype, rows, columns, seed),
    bits_pattern,
    few_values,
    outliers,
)

widths = st.integers(2, 8)
columns = st.sampled_from([1, 3, 8, 16, 31, 64, 65, 100, 130, 257])


@st.composite
def weights(draw: st.DrawFn) -> tuple[NDArray[Any], str]:
    """(raw, dtype)."""
    dtype = draw(st.sampled_from(DTYPES))
    make = draw(st.sampled_from(KINDS_OF_WEIGHTS))
    return make(dtype, draw(st.integers(1, 4)), draw(columns), draw(st.integers(0, 2**32))), dtype


@st.composite
def schemes(draw: st.DrawFn, methods: tuple[str, ...] = ("rtn", "mse")) -> Scheme:
    """Any integer scheme."""
    strategy: Any = draw(st.sampled_from(["tensor", "channel", "group"]))
    return Scheme(
        bits=draw(widths),
        symmetric=draw(st.booleans()),
        strategy=strategy,
        group_size=draw(st.sampled_from([1, 7, 16, 24, 32, 64, 100, 128, 1000])) if strategy == "group" else None,
        method="rtn" if strategy == "tensor" else draw(st.sampled_from(methods)),
    )


def same_errors(a: RowErrors, b: RowErrors) -> bool:
    """Whether two are equal in every bit."""
    return all(getattr(a, name).tobytes() == getattr(b, name).tobytes() for name in (*SUMS, "max_error"))
