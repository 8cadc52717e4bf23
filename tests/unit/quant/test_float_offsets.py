"""Float offsets: both backends give the same bits, the codes are the nearest under what is stored, and the search never loses."""

from __future__ import annotations

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
from qtquant_app.quant.chunk import QuantizedChunk, Raw, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.torch_backend import TorchBackend

DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
CPU, TORCH = CpuBackend(), TorchBackend("cpu")


def raw_of(weights: torch.Tensor, dtype: str) -> Raw:
    made = weights.to(DTYPES[dtype]).contiguous()
    return made.view(torch.int16).numpy().view(np.uint16) if dtype == "BF16" else made.numpy()


def scheme_of(bits: int, size: int | None, method: str = "rtn") -> Scheme:
    strategy: Any = "group" if size else "channel"
    return Scheme(bits, strategy=strategy, group_size=size, symmetric=False, method=method, offset="float")


def bits(array: NDArray[Any]) -> NDArray[Any]:
    return array.view(np.uint32 if array.dtype.itemsize == 4 else np.uint16)


def parts(chunk: QuantizedChunk) -> tuple[bytes, bytes, bytes]:
    assert chunk.zero is not None
    return chunk.packed.tobytes(), bits(chunk.scale).tobytes(), bits(chunk.zero).tobytes()


def weights_of(seed: int, columns: int) -> torch.Tensor:
    """Rows of every kind: far from zero, on one side of it, all alike, all zero, of mixed sizes."""
    random = torch.Generator().manual_seed(seed)
    weights = torch.randn(8, columns, generator=random) * torch.logspace(-4, 2, 8)[:, None]
    weights[0], weights[1], weights[2] = 0.0, -3.5, weights[2].abs()
    weights[3, : columns // 2] = -0.0
    weights[4] += 7
    return weights


@given(
    seed=st.integers(0, 1000),
    dtype=st.sampled_from(tuple(DTYPES)),
    width=st.integers(2, 8),
    size=st.sampled_from((None, 7, 16, 32, 64)),
    columns=st.integers(1, 150),
    method=st.sampled_from(("rtn", "mse")),
)
@settings(max_examples=60, deadline=None)
def test_both_backends_give_the_same_bits(
    seed: int, dtype: str, width: int, size: int | None, columns: int, method: str
) -> None:
    raw, scheme = raw_of(weights_of(seed, columns), dtype), scheme_of(width, size, method)
    ours, reference = CPU.quantize(raw, dtype, scheme, 4), TORCH.quantize(raw, dtype, scheme, 4)
    assert parts(ours) == parts(reference)
    assert np.allclose(ours.errors.square_error, reference.errors.square_error, rtol=1e-12, atol=0)
    restored = CPU.dequantize(ours, dtype, scheme, columns)
    assert np.array_equal(restored, TORCH.dequantize(ours, dtype, scheme, columns))
    found = CPU.compare(raw, dtype, ours, scheme)
    assert np.array_equal(found.square_error, ours.errors.square_error)
    assert np.array_equal(found.max_error, np.abs(as_float32(raw, dtype) - restored).max(axis=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_other_code_is_nearer_under_the_stored_scale_and_offset(dtype: str) -> None:
    raw, scheme = raw_of(weights_of(3, 96), dtype), scheme_of(4, 32)
    chunk = CPU.quantize(raw, dtype, scheme, 4)
    assert chunk.zero is not None
    scale, offset = (
        np.repeat(as_float32(part, dtype).astype(np.float64), 32, axis=1) for part in (chunk.scale, chunk.zero)
    )
    every = np.arange(16)[:, None, None] * scale + offset
    weights = as_float32(raw, dtype).astype(np.float64)
    ours = np.abs(CPU.dequantize(chunk, dtype, scheme, 96) - weights)
    assert (ours <= np.abs(every - weights).min(axis=0) + 1e-6 * (16 * scale + np.abs(offset))).all()


def test_they_are_exact_where_all_weights_of_a_group_are_alike() -> None:
    raw, scheme = raw_of(torch.full((2, 64), -3.140625), "BF16"), scheme_of(2, 32)
    assert CPU.quantize(raw, "BF16", scheme, 4).errors.max_error.max() == 0


def test_weights_far_from_zero_lose_less_than_with_whole_zero_points() -> None:
    raw = raw_of(torch.randn(16, 128, generator=torch.Generator().manual_seed(1)) * 0.1 + 2, "F32")
    whole = CPU.quantize(raw, "F32", Scheme(4, group_size=32, symmetric=False), 4).errors
    assert CPU.quantize(raw, "F32", scheme_of(4, 32), 4).errors.square_error.sum() < whole.square_error.sum() / 20


def test_the_search_never_does_worse_than_the_plain_range() -> None:
    raw = raw_of(weights_of(5, 160), "BF16")
    plain, best = (CPU.quantize(raw, "BF16", scheme_of(3, 32, method), 4).errors for method in ("rtn", "mse"))
    assert (best.square_error <= plain.square_error).all()


def test_the_ends_of_a_dtype_are_within_reach() -> None:
    raw = raw_of(torch.tensor([[3.4e38, -3.4e38] * 16]), "F32")
    for backend in (CPU, TORCH):
        chunk = backend.quantize(raw, "F32", scheme_of(2, 32), 4)
        assert np.isfinite(chunk.scale).all()
    half = raw_of(torch.tensor([[65504.0, -65504.0] * 16]), "F16")
    assert parts(CPU.quantize(half, "F16", scheme_of(4, 32, "mse"), 4)) == parts(
        TORCH.quantize(half, "F16", scheme_of(4, 32, "mse"), 4)
    )


def test_a_scheme_says_them_in_json_and_in_its_label() -> None:
    scheme = scheme_of(4, 64)
    assert Scheme.from_json(scheme.to_json()) == scheme == parse_label(scheme.label)
    assert "offset" not in Scheme(4).to_json()
    assert Scheme.from_json({"symmetric": True}, scheme).offset == "integer"
    for wrong in ({"symmetric": True}, {"strategy": "tensor", "group_size": None}, {"offset": "decimal"}):
        with pytest.raises(UsageError):
            Scheme(**{"symmetric": False, "offset": "float", **wrong})  # type: ignore[arg-type]
