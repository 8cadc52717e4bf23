from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.quant.kernels import packing as kernels
from qtquant_app.quant.packing import (
    pack_bits,
    pack_uint8,
    pack_words,
    unpack_bits,
    unpack_uint8,
    unpack_words,
)

WIDTHS = range(2, 9)


@st.composite
def codes(draw: st.DrawFn) -> tuple[NDArray[np.uint8], int]:
    """(codes [rows, columns], bits)."""
    bits, rows, columns = draw(st.integers(2, 8)), draw(st.integers(1, 5)), draw(st.integers(1, 300))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.integers(0, 1 << bits, (rows, columns)).astype(np.uint8), bits


@settings(max_examples=300, deadline=None)
@given(codes(), st.sampled_from([1, 4]))
def test_packing_is_the_bit_stream_and_comes_undone_at_any_width_and_length(
    drawn: tuple[NDArray[np.uint8], int], align: int
) -> None:
    values, bits = drawn
    packed = kernels.pack(values, bits, align)
    for row, stored in zip(values.tolist(), packed, strict=True):
        stream = sum(code << (bits * place) for place, code in enumerate(row))
        assert stored.tobytes() == stream.to_bytes(len(stored), "little")
    assert packed.shape[1] % align == 0
    assert np.array_equal(kernels.unpack(packed, bits, values.shape[1]), values)
    tensor = torch.from_numpy(values)
    assert np.array_equal(pack_bits(tensor, bits, align).numpy(), packed)
    assert torch.equal(unpack_bits(torch.from_numpy(packed), bits, values.shape[1]), tensor)


@settings(deadline=None)
@given(codes())
def test_words_are_the_same_bytes_by_fours(drawn: tuple[NDArray[np.uint8], int]) -> None:
    values, bits = drawn
    words = pack_words(torch.from_numpy(values), bits)
    assert words.dtype == torch.int32 and words.shape == (len(values), -(-values.shape[1] * bits // 32))
    assert words.numpy().tobytes() == kernels.pack(values, bits, 4).tobytes()
    assert np.array_equal(unpack_words(words, bits, values.shape[1]).numpy(), values)


@settings(deadline=None)
@given(codes())
def test_bytes_after_the_last_code_do_not_matter(drawn: tuple[NDArray[np.uint8], int]) -> None:
    values, bits = drawn
    packed = np.pad(kernels.pack(values, bits), ((0, 0), (0, 3)), constant_values=255)
    assert np.array_equal(kernels.unpack(packed, bits, values.shape[1]), values)
    assert np.array_equal(unpack_bits(torch.from_numpy(packed), bits, values.shape[1]).numpy(), values)


def test_packing_writes_into_no_byte_beside_its_own() -> None:
    for bits in WIDTHS:
        for columns in (1, 7, 63, 64, 65, 129):
            values = np.full((1, columns), (1 << bits) - 1, np.uint8)
            size = -(-columns * bits // 8)
            room = np.full(size + 16, 0xAA, np.uint8)
            kernels.pack_row(values.reshape(-1), 0, columns, bits, room, 8, 8 + size)
            assert (room[:8] == 0xAA).all() and (room[8 + size :] == 0xAA).all()
            back = np.full(columns + 16, 0xAA, np.uint8)
            kernels.unpack_row(room, 8, bits, back, 8, columns)
            assert (back[:8] == 0xAA).all() and (back[8 + columns :] == 0xAA).all()
            assert np.array_equal(back[8 : 8 + columns], values[0])


def test_codes_one_zero_three_two_make_the_byte_177() -> None:
    four = torch.tensor([1, 0, 3, 2], dtype=torch.uint8)
    assert pack_uint8(four, 2).tolist() == [177]
    assert unpack_uint8(torch.tensor([177], dtype=torch.uint8), 2, 4).tolist() == [1, 0, 3, 2]
    assert kernels.pack(four.numpy()[None], 2).tolist() == [[177]]
    assert pack_uint8(torch.tensor([1, 2], dtype=torch.uint8), 4).tolist() == [33]


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("shape", [(5,), (3, 7), (2, 3, 9)])
def test_plain_bytes_come_undone_for_any_shape(bits: int, shape: tuple[int, ...]) -> None:
    values = torch.randint(0, 1 << bits, shape, dtype=torch.uint8)
    packed = pack_uint8(values, bits)
    assert packed.shape == (*shape[:-1], -(-shape[-1] * bits // 8))
    assert torch.equal(unpack_uint8(packed, bits, shape[-1]), values)


def test_what_cannot_be_packed_is_refused() -> None:
    values = torch.tensor([[4, 1]], dtype=torch.uint8)
    with pytest.raises(ValueError, match="code 4 needs more than 2 bits"):
        pack_bits(values, 2)
    with pytest.raises(ValueError, match="2, 4 or 8 bits, not 3"):
        pack_uint8(values, 3)
    for pack in (lambda bits: pack_bits(values, bits), lambda bits: kernels.pack(values.numpy(), bits)):
        for bits in (1, 9):
            with pytest.raises(ValueError, match="outside 2 to 8"):
                pack(bits)


def test_too_few_bytes_are_refused() -> None:
    packed = np.zeros((2, 3), np.uint8)
    with pytest.raises(ValueError, match="3 bytes do not hold 9 codes of 3 bits"):
        kernels.unpack(packed, 3, 9)
    with pytest.raises(ValueError, match="3 bytes do not hold 9 codes of 3 bits"):
        unpack_bits(torch.from_numpy(packed), 3, 9)


def test_only_the_low_bits_of_a_code_are_packed_by_the_kernel() -> None:
    values = np.full((1, 70), 255, np.uint8)
    for bits in WIDTHS:
        assert np.array_equal(kernels.unpack(kernels.pack(values, bits), bits, 70), values & ((1 << bits) - 1))
