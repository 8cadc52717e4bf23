"""The packed layout against known words, and against the packer of compressed-tensors itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.chunk import QuantizedChunk, RowErrors
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.kernels.packing import pack, unpack
from qtquant_app.quant.packing import pack_words, unpack_words

WORDS = {
    2: "e4e4e4e4 e4e4e4e4",
    3: "88fac688 c688fac6 fac688fa",
    4: "76543210 fedcba98 76543210 fedcba98",
    5: "8a418820 c5a92839 ca307b9a 38bdab49 ffbbcdeb",
    6: "440c2040 a2481c61 3ce34c2c 544d2450 a6585d65 7de75c6d",
    8: "03020100 07060504 0b0a0908 0f0e0d0c 13121110 17161514 1b1a1918 1f1e1d1c",
}
"""Thirty-two codes, k mod 2^b, as compressed-tensors 0.20 packs them."""


def counting(bits: int) -> np.ndarray:
    return (np.arange(32) % (1 << bits)).astype(np.uint8)[None]


@pytest.mark.parametrize("bits", WORDS)
def test_counting_codes_pack_to_the_known_words(bits: int) -> None:
    words = np.array([[int(word, 16) for word in WORDS[bits].split()]], np.uint32)
    assert np.array_equal(pack(counting(bits), bits, 4).view("<u4"), words)
    assert np.array_equal(pack_words(torch.from_numpy(counting(bits)), bits).numpy().view(np.uint32), words)
    assert np.array_equal(unpack(words.view(np.uint8), bits, 32), counting(bits))


@pytest.mark.parametrize("bits", WORDS)
def test_a_kernel_run_writes_the_known_words(bits: int) -> None:
    zero = 1 << (bits - 1)
    raw = (counting(bits).astype(np.float32) - zero) * np.float32(0.5)
    scheme = Scheme(bits=bits, strategy="tensor", group_size=None)
    fixed = CpuBackend().fix(-0.25 * ((1 << bits) - 1), 0.0, "F32", scheme)
    chunk = CpuBackend().quantize(raw, "F32", scheme, 4, fixed)
    assert fixed.scale.item() == 0.5
    assert " ".join(f"{word:08x}" for word in chunk.packed.view("<u4")[0]) == WORDS[bits]
    again = QuantizedChunk(chunk.packed, fixed.scale, None, RowErrors.concat([]))
    assert np.array_equal(CpuBackend().dequantize(again, "F32", scheme, 32), raw)


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("columns", [1, 31, 32, 33, 64, 100, 257])
def test_compressed_tensors_packs_and_unpacks_the_same_words(bits: int, columns: int) -> None:
    codes = np.random.default_rng(bits).integers(0, 1 << bits, (5, columns)).astype(np.uint8)
    signed = torch.from_numpy(codes.astype(np.int16) - (1 << (bits - 1))).to(torch.int8)
    theirs = pack_to_int32(signed, bits)
    ours = pack(codes, bits, 4).view("<i4")
    assert np.array_equal(theirs.numpy(), ours)
    assert torch.equal(unpack_from_int32(torch.from_numpy(ours.copy()), bits, signed.shape), signed)
    assert torch.equal(unpack_words(theirs, bits, columns), torch.from_numpy(codes))


@pytest.mark.parametrize("bits", range(2, 9))
def test_compressed_tensors_packs_zero_points_along_the_rows_the_same_way(bits: int) -> None:
    zeros = np.random.default_rng(bits).integers(0, 1 << bits, (37, 3)).astype(np.uint8)
    signed = torch.from_numpy(zeros.astype(np.int16) - (1 << (bits - 1))).to(torch.int8)
    theirs = pack_to_int32(signed, bits, packed_dim=0)
    ours = pack(np.ascontiguousarray(zeros.T), bits, 4).view("<i4").T
    assert np.array_equal(theirs.numpy(), ours)
