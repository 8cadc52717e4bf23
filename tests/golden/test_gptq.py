"""What the gptq format stores decodes to exactly our codes, by gptqmodel's definition of its layout, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import find
from qtquant_app.quant.kernels.packing import pack
from tests.golden.stored_weights import Stored, stream

FORMAT = find("gptq")
SCHEMES = [
    Scheme(bits, strategy="group" if size else "channel", group_size=size, symmetric=symmetric)
    for bits in (2, 3, 4, 8)
    for size in (32, None)
    for symmetric in (True, False)
]
SHAPES = [(32, 64), (96, 32), (64, 160)]
# Columns 0 to 31 of one channel, code k mod 2^bits: the words that gptqmodel and compressed-tensors pack.
GOLDEN = {
    2: (0xE4E4E4E4, 0xE4E4E4E4),
    3: (0x88FAC688, 0xC688FAC6, 0xFAC688FA),
    4: (0x76543210, 0xFEDCBA98, 0x76543210, 0xFEDCBA98),
    8: (0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C, 0x13121110, 0x17161514, 0x1B1A1918, 0x1F1E1D1C),
}


@pytest.mark.parametrize("bits", GOLDEN)
def test_a_channel_is_a_column_of_the_published_words(bits: int) -> None:
    codes = (np.arange(32) % (1 << bits)).astype(np.uint8)
    packed = pack(np.stack([codes, codes * 0]), bits, FORMAT.align)
    words = FORMAT.encode_codes(packed, Scheme(bits)).view("<u4")
    assert words[:, 0].tolist() == list(GOLDEN[bits]) and not words[:, 1].any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label.replace(" ", "-"))
def test_codes_zero_points_and_groups_are_decoded_to_ours(scheme: Scheme, shape: tuple[int, int]) -> None:
    made, (rows, columns) = Stored(FORMAT, shape, scheme), shape
    assert np.array_equal(stream(made.arrays["qweight"].T, scheme.bits, columns), made.codes)
    zeros = stream(made.arrays["qzeros"], scheme.bits, rows).T
    assert np.array_equal(zeros + (1 if scheme.symmetric else 0), made.zero)
    assert made.arrays["g_idx"].tolist() == [column // (scheme.group_size or columns) for column in range(columns)]
    assert np.array_equal(made.floats("scales").T, made.scale.float().numpy())


@pytest.mark.parametrize(("bits", "word"), [(4, 0x77777777), (8, 0x7F7F7F7F), (2, 0x55555555)])
def test_symmetric_zero_points_are_the_words_that_every_version_one_file_has(bits: int, word: int) -> None:
    made = Stored(FORMAT, (32, 64), Scheme(bits, group_size=32))
    assert (made.arrays["qzeros"] == word).all()


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label.replace(" ", "-"))
def test_what_is_encoded_is_decoded_again(scheme: Scheme, dtype: str) -> None:
    made = Stored(FORMAT, (64, 96), scheme, dtype)
    found = FORMAT.decode_parameters(made.tensor, scheme, made.encoded)
    assert np.array_equal(found.scale, made.parameters.scale)
    assert (found.zero is None) == scheme.symmetric and (found.zero is None or np.array_equal(found.zero, made.zero))
    packed = pack(made.codes, scheme.bits, FORMAT.align)
    assert np.array_equal(FORMAT.decode_codes(made.encoded["codes"], scheme), packed)


def test_a_zero_point_that_contradicts_the_scheme_is_refused() -> None:
    made = Stored(FORMAT, (64, 96), Scheme(4, group_size=32))
    made.encoded["zero"] = made.encoded["zero"].copy()
    made.encoded["zero"].reshape(-1)[3] ^= 1
    with pytest.raises(ValueError, match="zero point"):
        FORMAT.decode_parameters(made.tensor, made.scheme, made.encoded)


def test_a_g_idx_out_of_order_is_refused() -> None:
    made = Stored(FORMAT, (64, 96), Scheme(4, group_size=32))
    made.encoded["index"] = np.ascontiguousarray(made.encoded["index"].view("<i4")[::-1]).view(np.uint8)
    with pytest.raises(ValueError, match="g_idx"):
        FORMAT.decode_parameters(made.tensor, made.scheme, made.encoded)
