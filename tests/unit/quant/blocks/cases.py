"""Weights and importances that the tests of block layouts draw from."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import Backend
from tests.unit.quant.cases import DTYPES, bits_pattern, few_values, gaussian, outliers, raw_of


def tiny(dtype: str, rows: int, columns: int, seed: int) -> NDArray[Any]:
    """Weights around the least that float16 tells from zero."""
    random = np.random.default_rng(seed)
    size = 10.0 ** random.integers(-9, -4)
    return raw_of(
        np.where(random.random((rows, columns)) < 0.3, 0, random.standard_normal((rows, columns)) * size), dtype
    )


def one_signed(dtype: str, rows: int, columns: int, seed: int) -> NDArray[Any]:
    """Weights far from zero, all on one side of it; and rows of zeros."""
    random = np.random.default_rng(seed)
    values = (random.random((rows, columns)) + random.integers(0, 20)) * random.choice([-1, 1])
    values[random.random(rows) < 0.2] = 0
    return raw_of(values, dtype)


TAME = (gaussian, few_values, outliers, tiny, one_signed)


@st.composite
def rows_of_weights(draw: st.DrawFn, block: int, wild: bool = True) -> tuple[NDArray[Any], str]:
    """(raw, dtype) of a few blocks a row; `wild` ones may be beyond what float16 scales reach."""
    dtype = draw(st.sampled_from(DTYPES))
    make = draw(st.sampled_from((*TAME, bits_pattern) if wild else TAME))
    rows, columns, seed = draw(st.integers(1, 3)), block * draw(st.integers(1, 5)), draw(st.integers(0, 2**32))
    raw = make(dtype, rows, columns, seed)
    if not wild and make is few_values:
        raw = raw_of(np.random.default_rng(seed).integers(-4, 5, (rows, columns)) * 2.0 ** (seed % 20 - 14), dtype)
    return raw, dtype


def importance_of(columns: int, seed: int = 0) -> NDArray[np.float32]:
    """A few columns matter much more than the others, a few not at all."""
    random = np.random.default_rng(seed)
    importance = random.gamma(0.5, size=columns).astype(np.float32)
    importance[random.random(columns) < 0.05] = 0
    return importance


def blocks_of(backend: Backend, raw: NDArray[Any], dtype: str, name: str) -> NDArray[np.uint8]:
    """The bytes of a layout."""
    return backend.quantize(raw, dtype, Scheme.of_layout(name), 1).packed
