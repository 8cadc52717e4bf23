"""Both backends do the same arithmetic: codes, scales, zero points and bytes are equal in every bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.errors import DeviceError
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import Backend, QuantizedChunk, RowErrors, as_float32, row_bytes
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.torch_backend import TorchBackend
from tests.unit.quant.cases import CHANNEL, DTYPES, SUMS, TENSOR, gaussian, same_errors, schemes, weights

CPU, TORCH = CpuBackend(), TorchBackend("cpu")
BOTH: list[Any] = [pytest.param(CPU, id="cpu"), pytest.param(TORCH, id="torch")]
THOROUGH = settings(max_examples=300, deadline=None)
BRIEF = settings(max_examples=80, deadline=None)


def assert_equal(a: QuantizedChunk, b: QuantizedChunk) -> None:
    assert a.packed.dtype == b.packed.dtype == np.uint8 and np.array_equal(a.packed, b.packed)
    assert a.scale.dtype == b.scale.dtype and a.scale.shape == b.scale.shape
    assert a.scale.tobytes() == b.scale.tobytes()
    assert (a.zero is None) == (b.zero is None)
    if a.zero is not None and b.zero is not None:
        assert a.zero.dtype == b.zero.dtype == np.uint8 and np.array_equal(a.zero, b.zero)


def assert_sums_agree(a: RowErrors, b: RowErrors) -> None:
    assert np.array_equal(a.max_error, b.max_error)
    for name in SUMS:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-12, atol=0)


@THOROUGH
@given(weights(), schemes(), st.sampled_from([1, 4]))
@example((gaussian("BF16", 3, 4100), "BF16"), Scheme(group_size=100), 4)
@example((gaussian("F16", 3, 4100), "F16"), Scheme(bits=8, **CHANNEL), 1)
@example((gaussian("F32", 3, 4100), "F32"), Scheme(bits=3, symmetric=False, **TENSOR), 4)
@example((gaussian("BF16", 2, 6000), "BF16"), Scheme(bits=5, group_size=3000, method="mse"), 4)
def test_both_backends_give_the_same_bits(drawn: tuple[NDArray[Any], str], scheme: Scheme, align: int) -> None:
    raw, dtype = drawn
    a, b = CPU.quantize(raw, dtype, scheme, align), TORCH.quantize(raw, dtype, scheme, align)
    assert_equal(a, b)
    assert_sums_agree(a.errors, b.errors)
    restored = CPU.dequantize(a, dtype, scheme, raw.shape[1])
    assert restored.tobytes() == TORCH.dequantize(a, dtype, scheme, raw.shape[1]).tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("symmetric", [True, False])
def test_both_backends_give_the_same_bits_over_every_dtype_width_and_symmetry(
    dtype: str, bits: int, symmetric: bool
) -> None:
    raw = gaussian(dtype, 4, 300, seed=bits)
    for options in ({"group_size": 128}, {"group_size": 32, "method": "mse"}, CHANNEL, TENSOR):
        scheme = Scheme(bits=bits, symmetric=symmetric, **options)
        assert_equal(CPU.quantize(raw, dtype, scheme, 4), TORCH.quantize(raw, dtype, scheme, 4))


@pytest.mark.parametrize("backend", BOTH)
@BRIEF
@given(weights(), schemes())
def test_comparing_the_bytes_with_the_source_gives_the_errors_that_quantizing_reported(
    backend: Backend, drawn: tuple[NDArray[Any], str], scheme: Scheme
) -> None:
    raw, dtype = drawn
    chunk = backend.quantize(raw, dtype, scheme, 4)
    assert same_errors(backend.compare(raw, dtype, chunk, scheme), chunk.errors)


@BRIEF
@given(weights(), schemes(), st.integers(1, 3))
def test_a_row_has_the_same_codes_and_sums_however_rows_are_cut_into_chunks(
    drawn: tuple[NDArray[Any], str], scheme: Scheme, step: int
) -> None:
    raw, dtype = drawn
    fixed = CPU.fix(*CPU.extremes(raw, dtype), dtype, scheme) if scheme.strategy == "tensor" else None
    whole = CPU.quantize(raw, dtype, scheme, 4, fixed)
    cuts = range(0, len(raw), step)
    parts = [CPU.quantize(raw[start : start + step], dtype, scheme, 4, fixed) for start in cuts]
    assert np.array_equal(np.concatenate([part.packed for part in parts]), whole.packed)
    assert same_errors(RowErrors.concat([part.errors for part in parts]), whole.errors)


@BRIEF
@given(weights(), schemes())
def test_the_sums_are_those_of_the_dequantized_weights(drawn: tuple[NDArray[Any], str], scheme: Scheme) -> None:
    raw, dtype = drawn
    chunk = CPU.quantize(raw, dtype, scheme, 1)
    weight, restored = as_float32(raw, dtype), CPU.dequantize(chunk, dtype, scheme, raw.shape[1])
    with np.errstate(over="ignore"):
        error = weight - restored
    assert np.array_equal(np.abs(error).max(axis=1), chunk.errors.max_error)
    for name, part in zip(SUMS, (error, weight, restored), strict=True):
        np.testing.assert_allclose(getattr(chunk.errors, name), (part.astype(np.float64) ** 2).sum(1), rtol=1e-12)


@BRIEF
@given(weights(), schemes(methods=("rtn",)))
def test_no_weight_within_the_range_is_further_than_half_a_step_away(
    drawn: tuple[NDArray[Any], str], scheme: Scheme
) -> None:
    raw, dtype = drawn
    chunk = CPU.quantize(raw, dtype, scheme, 1)
    columns = raw.shape[1]
    group = np.arange(columns) // (scheme.group_size or columns)
    step = as_float32(chunk.scale, dtype).astype(np.float64)
    zero = np.full(step.shape, scheme.levels // 2) if chunk.zero is None else chunk.zero.astype(np.int64)
    step, zero = (np.broadcast_to(part, (len(raw), part.shape[1]))[:, group] for part in (step, zero))
    weight = as_float32(raw, dtype).astype(np.float64)
    restored = CPU.dequantize(chunk, dtype, scheme, columns)
    # The outermost step below a weight at the very end of float32 lies beyond that end.
    inside = (weight >= -zero * step) & (weight <= (scheme.levels - 1 - zero) * step) & np.isfinite(restored)
    error = np.abs(weight - restored)
    assert np.all(error[inside] <= (step / 2 + np.abs(weight) * 2.0**-22)[inside])


@pytest.mark.parametrize("backend", BOTH)
def test_rows_are_padded_with_zero_bytes_to_the_alignment(backend: Backend) -> None:
    raw = gaussian("F32", 3, 37)
    for bits in range(2, 9):
        scheme = Scheme(bits=bits, **CHANNEL)
        tight, wide = (backend.quantize(raw, "F32", scheme, align).packed for align in (1, 4))
        assert tight.shape == (3, row_bytes(37, bits, 1)) and wide.shape == (3, row_bytes(37, bits, 4))
        assert np.array_equal(wide[:, : tight.shape[1]], tight)
        assert not wide[:, tight.shape[1] :].any()
        spare = 8 * tight.shape[1] - 37 * bits
        assert not (tight[:, -1] >> (8 - spare)).any()


@pytest.mark.parametrize("backend", BOTH)
def test_one_scale_for_the_tensor_comes_from_the_extremes_of_all_chunks(backend: Backend) -> None:
    raw = gaussian("BF16", 8, 96)
    for symmetric in (True, False):
        scheme = Scheme(bits=8, symmetric=symmetric, **TENSOR)
        ends = [backend.extremes(part, "BF16") for part in (raw[:3], raw[3:])]
        fixed = backend.fix(min(lo for lo, _ in ends), max(hi for _, hi in ends), "BF16", scheme)
        parts = [backend.quantize(part, "BF16", scheme, 4, fixed) for part in (raw[:3], raw[3:])]
        whole = backend.quantize(raw, "BF16", scheme, 4)
        assert np.array_equal(np.concatenate([part.packed for part in parts]), whole.packed)
        assert all(part.scale.shape == (1, 1) and np.array_equal(part.scale, whole.scale) for part in parts)


def test_extremes_are_the_smallest_and_largest_weight_of_either_sign() -> None:
    for values in ([[3.0, -1.0, 2.0]], [[-5.0, -2.0]], [[4.0, 7.0]], [[-0.0, 0.0]]):
        raw = np.array(values, np.float32)
        assert CPU.extremes(raw, "F32") == TORCH.extremes(raw, "F32") == (raw.min(), raw.max())


def test_bytes_that_may_not_be_written_to_are_taken_without_compiling_again() -> None:
    from qtquant_app.quant.kernels import fused

    raw, scheme = gaussian("BF16"), Scheme()
    chunk = CPU.quantize(raw, "BF16", scheme, 4)
    CPU.compare(raw, "BF16", chunk, scheme)
    before = [len(kernel.signatures) for kernel in (fused.quantize_rows, fused.compare_rows)]  # type: ignore[attr-defined]
    sealed = np.frombuffer(raw.tobytes(), np.uint16).reshape(raw.shape)
    stored = np.frombuffer(chunk.packed.tobytes(), np.uint8).reshape(chunk.packed.shape)
    again = CPU.quantize(sealed, "BF16", scheme, 4)
    CPU.compare(sealed, "BF16", QuantizedChunk(stored, again.scale, None, again.errors), scheme)
    assert [len(kernel.signatures) for kernel in (fused.quantize_rows, fused.compare_rows)] == before  # type: ignore[attr-defined]
    assert np.array_equal(TORCH.quantize(sealed, "BF16", scheme, 4).packed, chunk.packed)


def test_bytes_at_an_odd_address_are_taken_too() -> None:
    raw = gaussian("BF16")
    shifted = np.frombuffer(b"\0" + raw.tobytes(), np.uint8)[1:].view(np.uint16).reshape(raw.shape)
    assert not shifted.flags.aligned
    assert_equal(CPU.quantize(shifted, "BF16", Scheme(), 4), CPU.quantize(raw, "BF16", Scheme(), 4))


def test_a_device_without_64_bit_floats_is_refused() -> None:
    with pytest.raises(DeviceError, match="mps"):
        TorchBackend("mps")
