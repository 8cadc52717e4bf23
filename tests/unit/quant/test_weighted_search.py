"""The clip search where some columns' errors weigh more than others'."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import NonFinite, QuantizedChunk, ScaleOverflow, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.methods import find
from qtquant_app.quant.torch_backend import TorchBackend
from tests.unit.quant.cases import gaussian, outliers, schemes, weights

CPU, TORCH = CpuBackend(), TorchBackend("cpu")
Shares = NDArray[np.float32]


@st.composite
def importances(draw: st.DrawFn, columns: int) -> Shares:
    """Of all sizes, some or all of them zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shares = np.exp(rng.normal(0, draw(st.sampled_from([0.0, 1.0, 20.0])), columns))
    shares[rng.random(columns) < draw(st.sampled_from([0.0, 0.5, 1.0]))] = 0
    return np.clip(shares, 0, 3e38).astype(np.float32)


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[Any], str, Scheme, Shares]:
    raw, dtype = draw(weights())
    scheme = replace(draw(schemes()), method="mse")
    if scheme.strategy == "tensor":
        scheme = replace(scheme, strategy="channel")
    if not scheme.symmetric and draw(st.booleans()):
        scheme = replace(scheme, offset="float")
    return raw, dtype, scheme, draw(importances(raw.shape[1]))


def parts(chunk: QuantizedChunk) -> tuple[bytes, bytes, bytes]:
    return chunk.packed.tobytes(), chunk.scale.tobytes(), b"" if chunk.zero is None else chunk.zero.tobytes()


def attempt(backend: Any, raw: NDArray[Any], dtype: str, scheme: Scheme, shares: Shares | None) -> object:
    try:
        return parts(backend.quantize(raw, dtype, scheme, 1, None, shares))
    except (NonFinite, ScaleOverflow) as error:
        return type(error), error.row


@settings(max_examples=250, deadline=None)
@given(cases())
def test_both_backends_weigh_errors_alike_to_the_last_bit(case: tuple[NDArray[Any], str, Scheme, Shares]) -> None:
    with np.errstate(all="ignore"):
        assert attempt(CPU, *case) == attempt(TORCH, *case)


@settings(max_examples=80, deadline=None)
@given(cases(), st.sampled_from([1.0, 0.25, 3.0]))
def test_columns_that_weigh_alike_change_nothing(case: tuple[NDArray[Any], str, Scheme, Shares], share: float) -> None:
    raw, dtype, scheme, _ = case
    plain = attempt(CPU, raw, dtype, scheme, None)
    for alike in (np.zeros(raw.shape[1], np.float32), np.ones(raw.shape[1], np.float32)):
        assert attempt(CPU, raw, dtype, scheme, alike) == plain
    assert attempt(CPU, raw, dtype, replace(scheme, method="rtn"), case[3]) == attempt(
        CPU, raw, dtype, replace(scheme, method="rtn"), None
    )


def weighed(raw: NDArray[Any], dtype: str, scheme: Scheme, factor: float, shares: Shares) -> NDArray[np.float64]:
    """The weighted squared error of each group, its range times `factor`: from the formulas, in float64."""
    values = as_float32(raw, dtype).astype(np.float64)
    found = []
    for first in range(0, values.shape[1], scheme.group_size or values.shape[1]):
        part = values[:, first : first + (scheme.group_size or values.shape[1])]
        top = scheme.levels - 1
        if scheme.offset == "float":
            lo, hi = part.min(1, keepdims=True), part.max(1, keepdims=True)
            half = (hi - lo) / 2 * factor
            low, scale, zero = (lo + hi) / 2 - half, 2 * half / top, 0.0
        else:
            lo, hi = (
                np.minimum(part.min(1, keepdims=True), 0) * factor,
                np.maximum(part.max(1, keepdims=True), 0) * factor,
            )
            scale = np.maximum(-lo, hi) / (top / 2) if scheme.symmetric else (hi - lo) / top
            zero = scheme.levels / 2 if scheme.symmetric else np.clip(np.round(-lo / scale), 0, top)
            low = -zero * scale
        codes = np.clip(np.round((part - low) / scale), 0, top)
        share = shares[first : first + part.shape[1]].astype(np.float64)
        found.append(((part - (codes * scale + low)) ** 2 * share).sum(1))
    return np.stack(found, 1)


@pytest.mark.parametrize(
    "scheme",
    [
        Scheme(bits=3, group_size=32, method="mse"),
        Scheme(bits=2, group_size=64, symmetric=False, method="mse"),
        Scheme(bits=4, strategy="channel", group_size=None, method="mse"),
        Scheme(bits=3, group_size=32, symmetric=False, offset="float", method="mse"),
    ],
)
def test_each_group_has_the_range_of_least_weighted_error(scheme: Scheme) -> None:
    raw = outliers("F32", 8, 128, seed=3)
    shares = np.exp(np.random.default_rng(5).normal(0, 2, 128)).astype(np.float32)
    chunk = CPU.quantize(raw, "F32", scheme, 1, None, shares)
    error = (raw - CPU.dequantize(chunk, "F32", scheme, 128)).astype(np.float64) ** 2 * shares
    size = scheme.group_size or 128
    got = error.reshape(8, -1, size).sum(2)
    trials = np.stack([weighed(raw, "F32", scheme, factor, shares) for factor in find("mse").factors])
    np.testing.assert_allclose(got, trials.min(0), rtol=1e-5)
    plain = CPU.quantize(raw, "F32", scheme, 1)
    assert error.sum() < ((raw - CPU.dequantize(plain, "F32", scheme, 128)).astype(np.float64) ** 2 * shares).sum()


@pytest.mark.parametrize("symmetric", [True, False])
def test_rows_cut_anyhow_give_the_same(symmetric: bool) -> None:
    raw = gaussian("BF16", 7, 257, seed=2)
    shares = np.random.default_rng(1).random(257).astype(np.float32)
    scheme = Scheme(bits=3, group_size=100, symmetric=symmetric, method="mse")
    whole = CPU.quantize(raw, "BF16", scheme, 1, None, shares)
    rows = [CPU.quantize(raw[at : at + 1], "BF16", scheme, 1, None, shares) for at in range(7)]
    assert whole.packed.tobytes() == b"".join(row.packed.tobytes() for row in rows)
    assert whole.scale.tobytes() == b"".join(row.scale.tobytes() for row in rows)


@pytest.mark.parametrize("offset", ["integer", "float"])
def test_importances_of_another_width_are_refused(offset: Any) -> None:
    scheme = Scheme(bits=3, group_size=16, symmetric=False, method="mse", offset=offset)
    for backend in (CPU, TORCH):
        with pytest.raises(ValueError, match="64 columns"):
            backend.quantize(gaussian("F32", 2, 64), "F32", scheme, 1, None, np.ones(63, np.float32))
