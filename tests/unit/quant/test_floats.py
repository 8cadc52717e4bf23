"""Floating-point codes: what they stand for, how their scales come about, and that both backends agree on every bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.errors import UsageError
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.quant import floats
from qtquant_app.quant.chunk import NonFinite, QuantizedChunk, RowErrors, as_float32, checked_chunk, rows_of
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.torch_backend import TorchBackend
from tests.unit.quant.cases import DTYPES, KINDS_OF_WEIGHTS, SUMS, gaussian, raw_of, same_errors

CPU, TORCH = CpuBackend(), TorchBackend("cpu")
LABELS = ("FP8 tensor", "FP8 ch", "FP8 ch mse", "FP8 128x128", "NVFP4", "NVFP4 mse", "MXFP4", "MXFP4 mse")
schemes = st.sampled_from([parse_label(label) for label in LABELS])
FP8, NVFP4, MXFP4 = parse_label("FP8 ch"), parse_label("NVFP4"), parse_label("MXFP4")
BLOCKS = parse_label("FP8 128x128")


@st.composite
def weights(draw: st.DrawFn) -> tuple[NDArray[Any], str]:
    dtype, make = draw(st.sampled_from(DTYPES)), draw(st.sampled_from(KINDS_OF_WEIGHTS))
    rows = draw(st.sampled_from([1, 3, 130, 300]))
    return make(dtype, rows, draw(st.sampled_from([1, 15, 16, 20, 48, 100, 257])), draw(st.integers(0, 2**32))), dtype


def nearest(value: float, numbers: NDArray[np.float32]) -> int:
    """The code of the number next to `value`, the even one of two: by looking at them all."""
    codes = [code for code in range(len(numbers)) if math.isfinite(numbers[code])]
    distance = [(abs(value - float(numbers[code])), code & 1, code) for code in codes]
    return min(distance)[2]


def test_the_codes_stand_for_the_numbers_of_the_specifications() -> None:
    e2m1, e4m3 = floats.numbers(floats.NVFP4), floats.numbers(floats.FP8)
    assert e2m1.tolist() == [0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6]
    assert e4m3[0x7E] == 448 and e4m3[0x01] == 2**-9 and e4m3[0x08] == 2**-6 and np.isnan(e4m3[[0x7F, 0xFF]]).all()
    assert np.array_equal(e4m3, torch.arange(256).to(torch.uint8).view(torch.float8_e4m3fn).float(), equal_nan=True)
    assert len(floats.levels(floats.FP8)) == 253 and floats.levels(floats.MXFP4).tolist()[7] == 0


@pytest.mark.parametrize("scheme", [FP8, MXFP4], ids=["FP8", "MXFP4"])
def test_each_code_is_the_nearest_and_ties_go_to_the_even_one(scheme: Scheme) -> None:
    code = floats.code_of(scheme)
    numbers = floats.levels(code)
    halves = (numbers[1:] + numbers[:-1]) / 2
    values = np.concatenate(
        [numbers, halves, np.nextafter(halves, np.float32(9)), np.nextafter(halves, np.float32(-9))]
    )
    step = np.float32(1)
    group = 32 if code.bits == 4 else values.size
    values = np.concatenate([values, np.zeros(-values.size % group, np.float32)]).reshape(-1, group)
    if code.bits == 4:
        values[:, -1] = 6  # so that each group has the scale 1
    else:
        values = np.concatenate([values, [[448]]], axis=1).astype(np.float32)
    chunk = CPU.quantize(np.ascontiguousarray(values), "F32", scheme, 1)
    assert (floats.steps(chunk.scale, "F32", scheme, None) == step).all()
    restored = CPU.dequantize(chunk, "F32", scheme, values.shape[1])
    wanted = floats.numbers(code)[[nearest(float(value), floats.numbers(code)) for value in values.reshape(-1)]]
    assert np.array_equal(restored.reshape(-1), wanted)


def test_scales_are_those_of_compressed_tensors() -> None:
    from compressed_tensors.quantization import preset_name_to_scheme
    from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam

    raw = gaussian("F32", 40, 128, seed=3)
    for name, scheme in (("FP8_DYNAMIC", FP8), ("MXFP4A16", MXFP4), ("NVFP4A16", NVFP4)):
        args = preset_name_to_scheme(name, ["Linear"]).weights
        assert args is not None
        parts = torch.from_numpy(raw).unflatten(1, (-1, scheme.group_size or 128))
        whole = generate_gparam(torch.from_numpy(raw).min(), torch.from_numpy(raw).max()) if scheme is NVFP4 else None
        expected, _ = calculate_qparams(parts.amin(-1), parts.amax(-1), args, global_scale=whole)
        chunk = CPU.quantize(raw, "F32", scheme, 4)
        if whole is not None:
            assert chunk.whole is not None and chunk.whole[0, 0] == whole.item()
            expected = expected / whole
        assert np.array_equal(floats.steps(chunk.scale, "F32", scheme, chunk.whole), expected.numpy())


@settings(max_examples=120, deadline=None)
@given(weights(), schemes, st.sampled_from([1, 4]))
def test_both_backends_give_the_same_bits(drawn: tuple[NDArray[Any], str], scheme: Scheme, align: int) -> None:
    raw, dtype = drawn
    a, b = CPU.quantize(raw, dtype, scheme, align), TORCH.quantize(raw, dtype, scheme, align)
    assert a.packed.tobytes() == b.packed.tobytes() and a.scale.tobytes() == b.scale.tobytes()
    assert a.scale.shape == b.scale.shape and a.scale.dtype == b.scale.dtype
    assert (a.whole is None) == (b.whole is None) == (scheme.group_size != 16)
    assert a.whole is None or (b.whole is not None and a.whole.tobytes() == b.whole.tobytes())
    restored = CPU.dequantize(a, dtype, scheme, raw.shape[1])
    assert restored.tobytes() == TORCH.dequantize(a, dtype, scheme, raw.shape[1]).tobytes()
    assert np.array_equal(a.errors.max_error, b.errors.max_error)
    for name in SUMS:
        np.testing.assert_allclose(getattr(a.errors, name), getattr(b.errors, name), rtol=1e-12, atol=0)


@settings(max_examples=60, deadline=None)
@given(weights(), schemes)
def test_comparing_the_bytes_with_the_source_gives_the_errors_that_quantizing_reported(
    drawn: tuple[NDArray[Any], str], scheme: Scheme
) -> None:
    raw, dtype = drawn
    chunk = CPU.quantize(raw, dtype, scheme, 4)
    assert same_errors(CPU.compare(raw, dtype, chunk, scheme), chunk.errors)
    with np.errstate(over="ignore"):
        error = as_float32(raw, dtype) - CPU.dequantize(chunk, dtype, scheme, raw.shape[1])
    assert np.array_equal(np.abs(error).max(axis=1), chunk.errors.max_error)


@settings(max_examples=60, deadline=None)
@given(weights(), schemes)
def test_rows_are_the_same_however_they_are_cut_into_chunks_or_taken_out(
    drawn: tuple[NDArray[Any], str], scheme: Scheme
) -> None:
    raw, dtype = drawn
    fixed = CPU.fix(*CPU.extremes(raw, dtype), dtype, scheme) if scheme.needs_extremes else None
    whole = CPU.quantize(raw, dtype, scheme, 4, fixed)
    step = scheme.row_block
    parts = [CPU.quantize(raw[at : at + step], dtype, scheme, 4, fixed) for at in range(0, len(raw), step)]
    assert np.array_equal(np.concatenate([part.packed for part in parts]), whole.packed)
    assert same_errors(RowErrors.concat([part.errors for part in parts]), whole.errors)
    some = np.arange(len(raw))[::-2]
    taken = CPU.dequantize(rows_of(whole, some, scheme), dtype, scheme, raw.shape[1])
    assert np.array_equal(taken, CPU.dequantize(whole, dtype, scheme, raw.shape[1])[some], equal_nan=True)


@pytest.mark.parametrize("label", ["FP8 ch", "NVFP4", "MXFP4"])
def test_searching_never_makes_a_row_worse(label: str) -> None:
    raw = KINDS_OF_WEIGHTS[3]("BF16", 16, 256, 7)
    plain, searched = (CPU.quantize(raw, "BF16", parse_label(name), 4).errors for name in (label, f"{label} mse"))
    assert (searched.square_error <= plain.square_error).all()
    assert searched.square_error.sum() < plain.square_error.sum()


def test_square_blocks_share_one_scale_that_comes_from_their_largest_weight() -> None:
    raw = gaussian("F32", 200, 150)
    raw[150, 140] = 4.48
    chunk = CPU.quantize(raw, "F32", BLOCKS, 4)
    assert chunk.scale.shape == (2, 2) and chunk.scale[1, 1] == np.float32(0.01)
    for index, (rows, columns) in {(0, 0): ((0, 128), (0, 128)), (0, 1): ((0, 128), (128, 150))}.items():
        largest = np.abs(raw[slice(*rows), slice(*columns)]).max()
        assert chunk.scale[index] == np.float32(np.float64(largest) / 448)


def test_a_group_of_zeros_and_the_smallest_numbers_survive() -> None:
    raw = np.zeros((2, 64), np.float32)
    raw[1, 0] = np.float32(1e-44)
    for label in LABELS:
        scheme = parse_label(label)
        chunk = CPU.quantize(raw, "F32", scheme, 4)
        assert np.isfinite(floats.steps(chunk.scale, "F32", scheme, chunk.whole)).all()
        assert not CPU.dequantize(chunk, "F32", scheme, 64)[0].any()


@pytest.mark.parametrize("backend", [CPU, TORCH], ids=["cpu", "torch"])
@pytest.mark.parametrize("label", LABELS)
def test_a_weight_that_is_no_number_is_named(backend: Any, label: str) -> None:
    raw = raw_of(np.ones((140, 48)), "BF16")
    raw[133, 17] = 0x7F80
    with pytest.raises(NonFinite) as caught:
        backend.quantize(raw, "BF16", parse_label(label), 4)
    assert (caught.value.row, caught.value.column) == (133, 17)


def test_scales_that_do_not_go_with_the_codes_are_refused() -> None:
    chunk = CPU.quantize(gaussian("BF16", 200, 256), "BF16", BLOCKS, 4)
    for scale in (chunk.scale[:1], chunk.scale[:, :1], chunk.scale.astype(np.float32)):
        with pytest.raises(ValueError, match="scales"):
            checked_chunk(QuantizedChunk(chunk.packed, scale, None, chunk.errors), "BF16", BLOCKS, 256)
    fp4 = CPU.quantize(gaussian("BF16", 4, 256), "BF16", NVFP4, 4)
    with pytest.raises(ValueError, match="divisor"):
        checked_chunk(QuantizedChunk(fp4.packed, fp4.scale, None, fp4.errors), "BF16", NVFP4, 256)


def test_no_method_searches_square_blocks_or_whole_tensors() -> None:
    for label in ("FP8 128x128 mse", "FP8 tensor mse"):
        with pytest.raises(UsageError, match="mse"):
            CPU.quantize(gaussian("BF16", 4, 256), "BF16", parse_label(label), 4)
