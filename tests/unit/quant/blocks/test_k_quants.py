"""K-quants: what their bytes mean, weight by weight, and that the search finds no worse scales than llama.cpp's."""

from __future__ import annotations

from collections.abc import Callable
from struct import unpack_from

import numpy as np
import pytest
from numpy.typing import NDArray

from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import RowErrors, of_blocks
from qtquant_app.quant.kernels.cpu import CpuBackend

CPU = CpuBackend()
K_QUANTS = tuple(name for name in LAYOUTS if name.endswith("_K"))


def q2_k(block: bytes, k: int) -> float:
    d, dmin = unpack_from("<2e", block, 80)
    half, part, at = k // 128, k % 128 // 32, k % 32
    scales = block[k // 16]
    return d * (scales & 15) * (block[16 + 32 * half + at] >> 2 * part & 3) - dmin * (scales >> 4)


def q3_k(block: bytes, k: int) -> float:
    (d,) = unpack_from("<e", block, 108)
    half, part, at, group = k // 128, k % 128 // 32, k % 32, k // 16
    low = block[96 + group % 8] >> 4 * (group // 8) & 15
    scale = low | (block[104 + group % 4] >> 2 * (group // 4) & 3) << 4
    code = (block[32 + 32 * half + at] >> 2 * part & 3) | (block[at] >> k // 32 & 1) << 2
    return d * (scale - 32) * (code - 4)


def pair(block: bytes, group: int) -> tuple[int, int]:
    """A sub-block's scale and minimum in Q4_K and Q5_K."""
    packed = block[4:16]
    if group < 4:
        return packed[group] & 63, packed[group + 4] & 63
    last = packed[group + 4]
    return (last & 15) | packed[group - 4] >> 6 << 4, last >> 4 | packed[group] >> 6 << 4


def q4_k(block: bytes, k: int) -> float:
    d, dmin = unpack_from("<2e", block, 0)
    scale, minimum = pair(block, k // 32)
    return d * scale * (block[16 + k // 64 * 32 + k % 32] >> 4 * (k // 32 % 2) & 15) - dmin * minimum


def q5_k(block: bytes, k: int) -> float:
    d, dmin = unpack_from("<2e", block, 0)
    scale, minimum = pair(block, k // 32)
    low = block[48 + k // 64 * 32 + k % 32] >> 4 * (k // 32 % 2) & 15
    return d * scale * (low | (block[16 + k % 32] >> k // 32 & 1) << 4) - dmin * minimum


def q6_k(block: bytes, k: int) -> float:
    (d,) = unpack_from("<e", block, 208)
    half, part, at = k // 128, k % 128 // 32, k % 32
    low = block[64 * half + 32 * (part % 2) + at] >> 4 * (part // 2) & 15
    high = block[128 + 32 * half + at] >> 2 * part & 3
    return d * unpack_from("<b", block, 192 + k // 16)[0] * ((low | high << 4) - 32)


BY_HAND: dict[str, Callable[[bytes, int], float]] = {
    "Q2_K": q2_k,
    "Q3_K": q3_k,
    "Q4_K": q4_k,
    "Q5_K": q5_k,
    "Q6_K": q6_k,
}


@pytest.mark.parametrize("name", K_QUANTS)
def test_every_weight_of_any_block_is_what_the_layout_says(name: str) -> None:
    layout, random = LAYOUTS[name], np.random.default_rng(7)
    packed = random.integers(0, 256, (4, layout.nbytes), np.uint8)
    at = {"Q2_K": 80, "Q3_K": 108, "Q6_K": 208}.get(name, 0)
    packed[:, at : at + 4][:, : 2 if layout.symmetric else 4] = np.tile(np.array([0x12, 0x2C], np.uint8), (4, 2))[
        :, : 2 if layout.symmetric else 4
    ]
    chunk = of_blocks(packed, "F32", RowErrors.concat([]))
    ours = CPU.dequantize(chunk, "F32", Scheme.of_layout(name), 256)
    by_hand = [[BY_HAND[name](row.tobytes(), k) for k in range(256)] for row in packed]
    np.testing.assert_allclose(ours, by_hand, rtol=1e-5, atol=1e-6)


LLAMA_CPP = {
    "Q2_K": ((1.14584, 0.332906), (3.08838, 0.838749), (0.236452, 0.0774686), (4.87015, 1.3152)),
    "Q3_K": ((0.301839, 0.11289), (0.82338, 0.318531), (0.0682508, 0.0250148), (1.42799, 0.599239)),
    "Q4_K": ((0.0665027, 0.0260365), (0.190404, 0.0743429), (0.0129942, 0.00513599), (0.347985, 0.142884)),
    "Q5_K": ((0.017295, 0.0070496), (0.0483764, 0.020315), (0.00333888, 0.00130384), (0.0880628, 0.0386046)),
    "Q6_K": ((0.00413603, 0.00165004), (0.012403, 0.00518885), (0.000797188, 0.000321731), (0.0265472, 0.0113797)),
}
"""Squared errors of llama.cpp's quantizers (ggml_quantize_chunk of llama-cpp-python 0.3.36) on `drawn` weights: plain, and
weighted by an importance that was given to it."""


def drawn() -> tuple[list[NDArray[np.float32]], NDArray[np.float32]]:
    """Gaussian, Laplacian, uniform and heavy-tailed weights [32, 1024], and an importance of their columns."""
    random, shape = np.random.default_rng(0), (32, 1024)
    kinds = (
        random.standard_normal(shape),
        random.laplace(size=shape),
        random.uniform(-1, 1, shape),
        np.asarray(random.standard_t(3, shape)),
    )
    importance = random.gamma(0.5, size=1024).astype(np.float32) + np.float32(1e-3)
    return [(kind * 0.02).astype(np.float32) for kind in kinds], importance


@pytest.mark.parametrize("name", K_QUANTS)
def test_no_error_is_higher_than_llama_cpps(name: str) -> None:
    kinds, importance = drawn()
    scheme = Scheme.of_layout(name)
    for raw, (plain, weighted) in zip(kinds, LLAMA_CPP[name], strict=True):
        assert CPU.quantize(raw, "F32", scheme, 1).errors.square_error.sum() < plain
        chunk = CPU.quantize(raw, "F32", scheme, 1, None, importance)
        error = (raw - CPU.dequantize(chunk, "F32", scheme, 1024)).astype(np.float64)
        assert (importance * error**2).sum() < weighted


@pytest.mark.parametrize("name", K_QUANTS)
def test_weights_on_a_grid_of_the_type_keep_a_small_part_of_a_rounding_error(name: str) -> None:
    scheme, random, bits, step = Scheme.of_layout(name), np.random.default_rng(11), LAYOUTS[name].bits, 2.0**-7
    raw = ((random.integers(0, 1 << bits, (4, 1024)) - (1 << bits - 1)) * step).astype(np.float32)
    chunk = CPU.quantize(raw, "F32", scheme, 1)
    assert chunk.errors.square_error.sum() / raw.size < step**2 / 12 / 8
