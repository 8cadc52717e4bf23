"""What the awq format stores decodes to exactly our codes, nibble by nibble in the order of AWQ's GEMM kernels."""

from __future__ import annotations

import numpy as np
import pytest

from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import find
from qtquant_app.quant.kernels.packing import pack
from tests.golden.stored_weights import Stored

FORMAT = find("awq")
ORDER = (0, 2, 4, 6, 1, 3, 5, 7)
SCHEMES = [
    Scheme(4, strategy="group" if size else "channel", group_size=size, symmetric=symmetric)
    for size in (8, 32, None)
    for symmetric in (True, False)
]


def channels(
    words: np.ndarray[tuple[int, int], np.dtype[np.uint32]],
) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Words [n, channels / 8] as the number of each channel, [n, channels]."""
    found = np.empty((len(words), 8 * words.shape[1]), np.int64)
    for nibble, channel in enumerate(ORDER):
        found[:, channel::8] = words >> np.uint32(4 * nibble) & np.uint32(15)
    return found


def test_eight_channels_are_the_published_word() -> None:
    codes = np.repeat(np.arange(8, dtype=np.uint8)[:, None], 2, axis=1)
    assert FORMAT.encode_codes(pack(codes, 4, 4)[:, :1].copy(), Scheme(4)).view("<u4").tolist() == [[0x75316420]] * 2


@pytest.mark.parametrize("shape", [(8, 32), (64, 160), (24, 96), (136, 224)])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label.replace(" ", "-"))
def test_codes_zero_points_and_scales_are_decoded_to_ours(scheme: Scheme, shape: tuple[int, int]) -> None:
    made = Stored(FORMAT, shape, scheme)
    assert np.array_equal(channels(made.arrays["qweight"]).T, made.codes)
    assert np.array_equal(channels(made.arrays["qzeros"]).T, made.zero)
    assert np.array_equal(made.floats("scales").T, made.scale.float().numpy())


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label.replace(" ", "-"))
def test_what_is_encoded_is_decoded_again(scheme: Scheme, dtype: str) -> None:
    made = Stored(FORMAT, (40, 160), scheme, dtype)
    found = FORMAT.decode_parameters(made.tensor, scheme, made.encoded)
    assert np.array_equal(found.scale, made.parameters.scale)
    assert (found.zero is None) == scheme.symmetric and (found.zero is None or np.array_equal(found.zero, made.zero))
    assert np.array_equal(FORMAT.decode_codes(made.encoded["codes"], scheme), pack(made.codes, 4, FORMAT.align))


def test_a_zero_point_that_contradicts_the_scheme_is_refused() -> None:
    made = Stored(FORMAT, (64, 96), Scheme(4, group_size=32))
    made.encoded["zero"] = made.encoded["zero"].copy()
    made.encoded["zero"].reshape(-1)[3] ^= 1
    with pytest.raises(ValueError, match="zero point"):
        FORMAT.decode_parameters(made.tensor, made.scheme, made.encoded)
