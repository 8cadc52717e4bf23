"""What the mlx format stores decodes to exactly our codes and weights: dense words, scales, and biases as mlx adds them."""

from __future__ import annotations

import numpy as np
import pytest

from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import find
from qtquant_app.quant.chunk import QuantizedChunk, RowErrors
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.kernels.packing import pack
from tests.golden.stored_weights import Stored, stream

FORMAT = find("mlx")
SYMMETRIC = [Scheme(bits, group_size=size) for bits in (2, 3, 4, 5, 6, 8) for size in (32, 64, 128)]
SCHEMES = [
    *SYMMETRIC,
    *(Scheme(s.bits, group_size=s.group_size, symmetric=False, offset="float") for s in SYMMETRIC),
]


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label.replace(" ", "-"))
def test_codes_are_the_dense_stream_of_each_row(scheme: Scheme) -> None:
    made = Stored(FORMAT, (9, 256), scheme)
    assert np.array_equal(stream(made.arrays["weight"], scheme.bits, 256), made.codes)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label.replace(" ", "-"))
def test_scale_times_code_plus_bias_is_what_the_backend_restores(scheme: Scheme, dtype: str) -> None:
    made = Stored(FORMAT, (9, 256), scheme, dtype)
    product = made.spread(made.floats("scales")) * made.codes.astype(np.float32)
    read = product + made.spread(made.floats("biases"))
    zero = made.parameters.zero
    chunk = QuantizedChunk(pack(made.codes, scheme.bits, 4), made.parameters.scale, zero, RowErrors.concat([]))
    ours = CpuBackend().dequantize(chunk, dtype, scheme, 256)
    if scheme.symmetric and dtype == "F32":
        # A float32 has no room for the product; mlx rounds it before the bias is added.
        assert np.allclose(read, ours, rtol=0, atol=float(np.abs(product).max()) * 2**-23)
    else:
        assert np.array_equal(read, ours)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda s: s.label.replace(" ", "-"))
def test_what_is_encoded_is_decoded_again(scheme: Scheme, dtype: str) -> None:
    made = Stored(FORMAT, (40, 256), scheme, dtype)
    found = FORMAT.decode_parameters(made.tensor, scheme, made.encoded)
    assert np.array_equal(found.scale, made.parameters.scale)
    assert (found.zero is None) == scheme.symmetric
    assert found.zero is None or np.array_equal(found.zero, made.parameters.zero)


def test_a_bias_that_contradicts_the_scheme_is_refused() -> None:
    made = Stored(FORMAT, (64, 128), Scheme(4, group_size=32))
    made.encoded["zero"] = made.encoded["zero"].copy()
    made.encoded["zero"][6] ^= 1
    with pytest.raises(ValueError, match="bias"):
        FORMAT.decode_parameters(made.tensor, made.scheme, made.encoded)
