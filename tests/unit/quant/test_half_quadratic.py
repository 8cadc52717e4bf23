"""Half-quadratic quantization: the two backends, and an independent computation of what is minimized."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import methods
from qtquant_app.quant.chunk import NonFinite, QuantizedChunk, ScaleOverflow, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.torch_backend import TorchBackend
from tests.unit.quant.cases import gaussian, outliers, schemes, weights

CPU, TORCH = CpuBackend(), TorchBackend("cpu")


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[Any], str, Scheme]:
    raw, dtype = draw(weights())
    scheme = replace(draw(schemes()), method="hqq")
    if scheme.strategy == "tensor":
        scheme = replace(scheme, strategy="channel")
    if not scheme.symmetric and draw(st.booleans()):
        scheme = replace(scheme, offset="float")
    return raw, dtype, scheme


def parts(chunk: QuantizedChunk) -> tuple[bytes, bytes, bytes]:
    return chunk.packed.tobytes(), chunk.scale.tobytes(), b"" if chunk.zero is None else chunk.zero.tobytes()


def attempt(backend: Any, raw: NDArray[Any], dtype: str, scheme: Scheme) -> object:
    try:
        return parts(backend.quantize(raw, dtype, scheme, 1))
    except (NonFinite, ScaleOverflow) as error:
        return type(error), error.row


@settings(max_examples=300, deadline=None)
@given(cases())
def test_both_backends_find_the_same_to_the_last_bit(case: tuple[NDArray[Any], str, Scheme]) -> None:
    with np.errstate(all="ignore"):
        assert attempt(CPU, *case) == attempt(TORCH, *case)


def objective(raw: NDArray[Any], dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> NDArray[np.float64]:
    """sum |w - w'|^(3/4) of each group, in float64, of the bytes that were written."""
    columns = raw.shape[1]
    error = np.abs(as_float32(raw, dtype) - CPU.dequantize(chunk, dtype, scheme, columns)).astype(np.float64) ** 0.75
    size = scheme.group_size or columns
    return np.stack([error[:, at : at + size].sum(1) for at in range(0, columns, size)], 1)


def started(raw: NDArray[Any], dtype: str, scheme: Scheme) -> NDArray[np.float64]:
    """The objective of the start: round to nearest, over a range that takes in zero."""
    plain = replace(scheme, method="rtn", offset="integer")
    chunk = CPU.quantize(raw, dtype, plain, 1)
    if scheme.offset == "integer":
        return objective(raw, dtype, chunk, plain)
    assert chunk.zero is not None
    as_dtype = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}[dtype]
    scale = as_float32(chunk.scale, dtype)
    offset = torch.from_numpy(-(chunk.zero * scale.astype(np.float64))).float().to(as_dtype).float().numpy()
    values, size, found = as_float32(raw, dtype), scheme.group_size or raw.shape[1], []
    for group, first in enumerate(range(0, raw.shape[1], size)):
        part, s, m = values[:, first : first + size], scale[:, group, None], offset[:, group, None]
        codes = np.clip(np.rint((part - m) / s), 0, scheme.levels - 1)
        found.append((np.abs(part - (codes * s + m)).astype(np.float64) ** 0.75).sum(1))
    return np.stack(found, 1)


@settings(max_examples=100, deadline=None)
@given(cases())
def test_the_objective_falls_from_round_to_round_in_every_group(case: tuple[NDArray[Any], str, Scheme]) -> None:
    raw, dtype, scheme = case
    with np.errstate(all="ignore"):
        try:
            before = started(raw, dtype, scheme)
        except (NonFinite, ScaleOverflow):
            return
        shrinks = methods.find("hqq").shrinks
        for rounds in (1, 2, len(shrinks)):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(methods.find("hqq"), "shrinks", shrinks[:rounds])
                after = objective(raw, dtype, CPU.quantize(raw, dtype, scheme, 1), scheme)
            assert (after <= before * (1 + 1e-9)).all() or not np.isfinite(before).all()
            before = after


@pytest.mark.parametrize("offset", ["integer", "float"])
def test_rows_cut_anyhow_give_the_same_and_the_rest_of_a_row_does_not_matter(offset: Any) -> None:
    raw = gaussian("BF16", 7, 257, seed=2)
    scheme = Scheme(bits=3, group_size=100, symmetric=False, method="hqq", offset=offset)
    whole = CPU.quantize(raw, "BF16", scheme, 1)
    rows = [CPU.quantize(raw[at : at + 1], "BF16", scheme, 1) for at in range(7)]
    assert parts(whole) == tuple(b"".join(each) for each in zip(*map(parts, rows), strict=True))
    alone = CPU.quantize(np.ascontiguousarray(raw[:, :100]), "BF16", scheme, 1)
    assert alone.scale.tobytes() == np.ascontiguousarray(whole.scale[:, :1]).tobytes()


def test_statistics_of_the_columns_change_nothing() -> None:
    raw, shares = gaussian("F32", 2, 64), np.arange(64, dtype=np.float32)
    for symmetric in (True, False):
        scheme = Scheme(bits=3, group_size=32, symmetric=symmetric, method="hqq")
        assert parts(CPU.quantize(raw, "F32", scheme, 1, None, shares)) == parts(CPU.quantize(raw, "F32", scheme, 1))


@pytest.mark.parametrize("offset", ["integer", "float"])
def test_it_gains_on_rounding_where_a_few_weights_stand_out(offset: Any) -> None:
    raw = outliers("F32", 16, 256, seed=1)
    scheme = Scheme(bits=3, group_size=64, symmetric=False, method="hqq", offset=offset)
    after = objective(raw, "F32", CPU.quantize(raw, "F32", scheme, 1), scheme)
    assert after.sum() < 0.98 * started(raw, "F32", scheme).sum()
