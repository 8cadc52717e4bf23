"""Block layouts on both backends: the same bytes, whatever the chunks; errors that name their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.blocks.shares import shares_of
from qtquant_app.quant.chunk import (
    Backend,
    NonFinite,
    QuantizedChunk,
    RestoredOverflow,
    RowErrors,
    ScaleOverflow,
    as_float32,
    checked_chunk,
    of_blocks,
)
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.torch_backend import TorchBackend
from tests.unit.quant.blocks.cases import importance_of, rows_of_weights
from tests.unit.quant.cases import SUMS, gaussian, same_errors

CPU, TORCH = CpuBackend(), TorchBackend("cpu")
BOTH: list[Any] = [pytest.param(CPU, id="cpu"), pytest.param(TORCH, id="torch")]
NAMES = tuple(LAYOUTS)
BLOCKS = tuple(name for name in NAMES if LAYOUTS[name].block > 1)
BRIEF = settings(max_examples=25, deadline=None)


def quantized(
    backend: Backend, raw: NDArray[Any], dtype: str, name: str, importance: NDArray[np.float32] | None = None
) -> QuantizedChunk | type[Exception]:
    """The chunk, or what kind of number it refuses."""
    try:
        return backend.quantize(raw, dtype, Scheme.of_layout(name), 1, None, importance)
    except (ScaleOverflow, RestoredOverflow) as problem:
        return type(problem)


@pytest.mark.parametrize("name", NAMES)
@BRIEF
@given(rows_of_weights(256), st.booleans())
def test_both_backends_write_the_same_bytes(name: str, drawn: tuple[NDArray[Any], str], weighted: bool) -> None:
    raw, dtype = drawn
    importance = importance_of(raw.shape[1]) if weighted else None
    a, b = (quantized(backend, raw, dtype, name, importance) for backend in (CPU, TORCH))
    if not isinstance(a, QuantizedChunk) or not isinstance(b, QuantizedChunk):
        assert a == b
        return
    scheme, columns = Scheme.of_layout(name), raw.shape[1]
    assert np.array_equal(a.packed, b.packed) and a.packed.shape == (len(raw), LAYOUTS[name].row_bytes(columns))
    assert a.scale.shape == b.scale.shape == (len(raw), 0) and a.zero is None
    assert np.array_equal(a.errors.max_error, b.errors.max_error)
    for part in SUMS:
        np.testing.assert_allclose(getattr(a.errors, part), getattr(b.errors, part), rtol=1e-12)
    restored = CPU.dequantize(a, dtype, scheme, columns)
    assert restored.tobytes() == TORCH.dequantize(b, dtype, scheme, columns).tobytes()
    error = as_float32(raw, dtype) - restored
    np.testing.assert_allclose(a.errors.square_error, (error.astype(np.float64) ** 2).sum(1), rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
@BRIEF
@given(rows_of_weights(256, wild=False), st.booleans())
def test_a_row_has_the_same_bytes_and_sums_however_rows_are_cut(
    name: str, drawn: tuple[NDArray[Any], str], weighted: bool
) -> None:
    raw, dtype = drawn
    scheme, importance = Scheme.of_layout(name), importance_of(raw.shape[1]) if weighted else None
    whole = CPU.quantize(raw, dtype, scheme, 1, None, importance)
    parts = [CPU.quantize(raw[row : row + 1], dtype, scheme, 1, None, importance) for row in range(len(raw))]
    assert np.array_equal(np.concatenate([part.packed for part in parts]), whole.packed)
    assert same_errors(RowErrors.concat([part.errors for part in parts]), whole.errors)
    assert same_errors(CPU.compare(raw, dtype, whole, scheme), whole.errors)


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_has_the_same_bytes_whatever_stands_beside_it(name: str) -> None:
    raw, scheme = gaussian("F32", 1, 2816), Scheme.of_layout(name)
    whole = CPU.quantize(raw, "F32", scheme, 1).packed
    width = LAYOUTS[name].row_bytes(256)
    alone = [CPU.quantize(np.ascontiguousarray(raw[:, at : at + 256]), "F32", scheme, 1) for at in range(0, 2816, 256)]
    assert whole.tobytes() == b"".join(part.packed.tobytes() for part in alone)
    assert width * 11 == whole.shape[1]


@pytest.mark.parametrize("name", BLOCKS)
def test_an_importance_lowers_the_error_where_it_lies(name: str) -> None:
    raw, scheme, importance = gaussian("F32", 16, 1024), Scheme.of_layout(name), importance_of(1024)

    def cost(chunk: QuantizedChunk) -> float:
        return float((importance * (raw - CPU.dequantize(chunk, "F32", scheme, 1024)) ** 2).sum())

    given_none, given = CPU.quantize(raw, "F32", scheme, 1), CPU.quantize(raw, "F32", scheme, 1, None, importance)
    assert cost(given) < 0.99 * cost(given_none)


def test_an_importance_of_zeros_counts_as_none_at_all() -> None:
    raw, scheme = gaussian("F32", 2, 512), Scheme.of_layout("Q4_K")
    nothing = CPU.quantize(raw, "F32", scheme, 1, None, np.zeros(512, np.float32))
    assert np.array_equal(nothing.packed, CPU.quantize(raw, "F32", scheme, 1).packed)
    assert shares_of(np.array([0, 4], np.float32), 2).tolist() == [np.float32(1e-6), 1]


@pytest.mark.parametrize("importance", [np.ones(255), np.full(256, -1.0), np.full(256, np.nan)])
@pytest.mark.parametrize("backend", BOTH)
def test_an_importance_that_is_none_is_refused(backend: Backend, importance: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="importance"):
        backend.quantize(
            gaussian("F32", 1, 256), "F32", Scheme.of_layout("Q4_K"), 1, None, importance.astype(np.float32)
        )


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize("name", BLOCKS)
def test_rows_that_blocks_do_not_fill_are_refused(backend: Backend, name: str) -> None:
    columns = LAYOUTS[name].block + LAYOUTS[name].block // 2
    with pytest.raises(ValueError, match=f"no multiple of the {LAYOUTS[name].block}"):
        backend.quantize(gaussian("BF16", 2, columns), "BF16", Scheme.of_layout(name), 1)


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_not_finite_is_named(backend: Backend, name: str, value: float) -> None:
    raw = gaussian("F32", 3, 512)
    raw[1, 300], raw[2, 1] = value, value
    with pytest.raises(NonFinite) as caught:
        backend.quantize(raw, "F32", Scheme.of_layout(name), 1)
    assert (caught.value.row, caught.value.column) == (1, 300)


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize("name", BLOCKS)
def test_a_scale_beyond_float16_names_its_row(backend: Backend, name: str) -> None:
    raw = gaussian("F32", 3, 512)
    raw[2, 5] = 3e38
    with pytest.raises(ScaleOverflow) as caught:
        backend.quantize(raw, "F32", Scheme.of_layout(name), 1)
    assert caught.value.row == 2


@pytest.mark.parametrize("backend", BOTH)
def test_a_weight_beyond_f16_names_its_row(backend: Backend) -> None:
    raw = gaussian("BF16", 3, 64)
    raw[1, 7] = 0x47FF
    with pytest.raises(RestoredOverflow) as caught:
        backend.quantize(raw, "BF16", Scheme.of_layout("F16"), 1)
    assert caught.value.row == 1


@pytest.mark.parametrize("name", BLOCKS)
def test_zeros_come_back_as_zeros(name: str) -> None:
    scheme = Scheme.of_layout(name)
    chunk = CPU.quantize(np.zeros((2, 256), np.float32), "F32", scheme, 1)
    assert not CPU.dequantize(chunk, "F32", scheme, 256).any()
    assert not chunk.errors.max_error.any()


@pytest.mark.parametrize("name", ["F16", "BF16"])
@BRIEF
@given(rows_of_weights(32))
def test_halves_are_the_nearest_as_numpy_and_torch_round(name: str, drawn: tuple[NDArray[Any], str]) -> None:
    import torch

    raw, dtype = drawn
    chunk = quantized(CPU, raw, dtype, name)
    theirs = torch.from_numpy(as_float32(raw, dtype)).to(torch.float16 if name == "F16" else torch.bfloat16)
    if not isinstance(chunk, QuantizedChunk):
        assert bool(theirs.isinf().any())
        return
    assert chunk.packed.tobytes() == theirs.view(torch.uint8).numpy().tobytes()


def test_blocks_of_another_width_and_loose_scales_are_refused() -> None:
    raw, scheme = gaussian("F32", 2, 512), Scheme.of_layout("Q4_K")
    chunk = CPU.quantize(raw, "F32", scheme, 1)
    with pytest.raises(ValueError, match="bytes of Q4_K"):
        CPU.dequantize(of_blocks(chunk.packed[:, :-1], "F32", chunk.errors), "F32", scheme, 512)
    loose = QuantizedChunk(chunk.packed, np.ones((2, 1), np.float32), None, chunk.errors)
    with pytest.raises(ValueError, match="in its blocks"):
        checked_chunk(loose, "F32", scheme, 512)


def test_a_mixture_is_no_type_of_blocks() -> None:
    with pytest.raises(ValueError, match="no type of blocks"):
        CPU.quantize(gaussian("F32", 1, 256), "F32", Scheme.of_layout("llama.cpp:Q4_K_M"), 1)
