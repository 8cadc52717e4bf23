"""What the compressed-tensors format stores, compressed-tensors' own decompressors decode to exactly our codes and zero points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32, unpack_from_int32
from compressed_tensors.quantization import QuantizationConfig
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.scheme import Scheme
from qtquant_app.formats import find
from qtquant_app.formats.base import Parameters
from qtquant_app.formats.compressed_tensors import _group
from qtquant_app.quant.kernels.packing import pack, unpack

FORMAT = find("compressed-tensors")
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I32": torch.int32, "I64": torch.int64}
DTYPES["I8"] = torch.int8
BITS = (2, 3, 4, 5, 6, 7, 8)
SHAPES = [(40, 96), (33, 32), (9, 160), (64, 64)]

SCHEMES = [
    Scheme(bits, strategy=strategy, group_size=32 if strategy == "group" else None, symmetric=symmetric)  # type: ignore[arg-type]
    for bits in BITS
    for strategy in ("group", "channel", "tensor")
    for symmetric in (True, False)
]
W8A8 = [Scheme(8, strategy=s, group_size=None, activations="int8") for s in ("channel", "tensor")]  # type: ignore[arg-type]

GOLDEN = {
    2: (0xE4E4E4E4, 0xE4E4E4E4),
    3: (0x88FAC688, 0xC688FAC6, 0xFAC688FA),
    4: (0x76543210, 0xFEDCBA98, 0x76543210, 0xFEDCBA98),
    5: (0x8A418820, 0xC5A92839, 0xCA307B9A, 0x38BDAB49, 0xFFBBCDEB),
    6: (0x440C2040, 0xA2481C61, 0x3CE34C2C, 0x544D2450, 0xA6585D65, 0x7DE75C6D),
    8: (0x03020100, 0x07060504, 0x0B0A0908, 0x0F0E0D0C, 0x13121110, 0x17161514, 0x1B1A1918, 0x1F1E1D1C),
}


class Made:
    """Random codes and parameters of one weight, and the tensors that the format stores for them."""

    def __init__(self, shape: tuple[int, int], scheme: Scheme, dtype: str) -> None:
        rows, columns = shape
        random = np.random.default_rng(rows * columns + scheme.bits)
        groups = (1, 1) if scheme.strategy == "tensor" else (rows, scheme.groups(columns))
        self.tensor, self.scheme = TensorInfo("m.weight", dtype, shape, "f", 0, 0), scheme
        self.codes = random.integers(0, scheme.levels, shape, dtype=np.uint8)
        self.zero = None if scheme.symmetric else random.integers(0, scheme.levels, groups, dtype=np.uint8)
        self.scale = torch.from_numpy(random.uniform(0.001, 0.01, groups)).to(DTYPES[dtype])
        carried = self.scale.view(torch.int16).numpy().view(np.uint16) if dtype == "BF16" else self.scale.numpy()
        self.parameters = Parameters(carried, self.zero)
        encoded = FORMAT.encode_parameters(self.tensor, scheme, self.parameters)
        self.packed = pack(self.codes, scheme.bits, FORMAT.align)
        encoded["codes"] = FORMAT.encode_codes(self.packed, scheme).reshape(-1)
        self.stored = {
            stored.name.removeprefix("m."): _as_torch(encoded[stored.role], stored.dtype, stored.shape)
            for stored in FORMAT.stored(self.tensor, scheme)
        }

    def scheme_of_reader(self) -> Any:
        groups = {"group_0": _group(self.scheme, ["Linear"])}
        config = QuantizationConfig.model_validate({"quant_method": "compressed-tensors", "config_groups": groups})
        return config.config_groups["group_0"]

    def weight(self) -> torch.Tensor:
        """(code - zero) * scale, rounded once to the scale's dtype."""
        columns = self.codes.shape[1]
        zero = np.uint8(1 << (self.scheme.bits - 1)) if self.zero is None else _spread(self.zero, self.scheme, columns)
        difference = torch.from_numpy(self.codes.astype(np.float32) - np.asarray(zero, np.float32))
        scale = torch.from_numpy(_spread(self.scale.float().numpy(), self.scheme, columns).copy())
        return (difference * scale).to(self.scale.dtype)


def _as_torch(data: NDArray[np.uint8], dtype: str, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.from_numpy(data.copy()).view(DTYPES[dtype]).reshape(shape)


def _spread(values: NDArray[Any], scheme: Scheme, columns: int) -> NDArray[Any]:
    return values if values.shape == (1, 1) else np.repeat(values, scheme.group_size or columns, axis=1)


def label(value: Any) -> str:
    return value.label.replace(" ", "-") if isinstance(value, Scheme) else str(value)


@pytest.mark.parametrize("bits", GOLDEN)
def test_the_packed_words_are_the_published_ones(bits: int) -> None:
    codes = (np.arange(32) % (1 << bits)).astype(np.uint8)[None]
    assert tuple(pack(codes, bits, FORMAT.align).view("<u4")[0]) == GOLDEN[bits]
    reference = pack_to_int32(torch.from_numpy(codes.astype(np.int16) - (1 << (bits - 1))).to(torch.int8), bits)
    assert tuple(reference.numpy().view("<u4")[0]) == GOLDEN[bits]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scheme", SCHEMES, ids=label)
def test_packed_codes_and_zero_points_are_decoded_to_ours(scheme: Scheme, shape: tuple[int, int]) -> None:
    made, middle = Made(shape, scheme, "BF16"), 1 << (scheme.bits - 1)
    decoded = unpack_from_int32(made.stored["weight_packed"], scheme.bits, torch.Size(made.stored["weight_shape"]))
    assert np.array_equal(decoded.numpy().astype(np.int64) + middle, made.codes)
    if made.zero is not None and scheme.strategy != "tensor":
        shape_of_zeros = torch.Size(made.zero.shape)
        zeros = unpack_from_int32(made.stored["weight_zero_point"], scheme.bits, shape_of_zeros, packed_dim=0)
        assert np.array_equal(zeros.numpy().astype(np.int64) + middle, made.zero)


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=label)
def test_the_packed_decompressor_returns_our_weights(scheme: Scheme, dtype: str) -> None:
    made = Made((40, 96), scheme, dtype)
    compressor = BaseCompressor.get_value_from_registry("pack-quantized")
    weight = compressor.decompress(dict(made.stored), made.scheme_of_reader())["weight"]
    assert weight.dtype == DTYPES[dtype] and torch.equal(weight, made.weight())


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("scheme", W8A8, ids=label)
def test_the_int_decompressor_returns_our_weights(scheme: Scheme, dtype: str) -> None:
    made = Made((40, 96), scheme, dtype)
    assert set(made.stored) == {"weight", "weight_scale"}
    compressor = BaseCompressor.get_value_from_registry("int-quantized")
    weight = compressor.decompress(dict(made.stored), made.scheme_of_reader())["weight"]
    assert torch.equal(weight, made.weight())


@pytest.mark.parametrize("scheme", [s for s in SCHEMES if s.strategy != "tensor"], ids=label)
def test_the_compressor_stores_the_same_bytes(scheme: Scheme) -> None:
    made, middle = Made((40, 96), scheme, "F32"), 1 << (scheme.bits - 1)
    given = {"weight": made.weight(), "weight_scale": made.scale}
    if made.zero is not None:
        given["weight_zero_point"] = torch.from_numpy((made.zero.astype(np.int16) - middle).astype(np.int8))
    written = BaseCompressor.get_value_from_registry("pack-quantized").compress(given, made.scheme_of_reader())
    assert written.keys() == made.stored.keys()
    assert {name: tensor.dtype for name, tensor in written.items()} == {n: t.dtype for n, t in made.stored.items()}
    assert all(torch.equal(written[name], tensor) for name, tensor in made.stored.items())


@pytest.mark.parametrize("scheme", [*SCHEMES, *W8A8], ids=label)
def test_what_is_encoded_is_decoded_again(scheme: Scheme) -> None:
    made = Made((33, 64), scheme, "BF16")
    encoded = FORMAT.encode_parameters(made.tensor, scheme, made.parameters)
    parameters = FORMAT.decode_parameters(made.tensor, scheme, encoded)
    assert np.array_equal(parameters.scale, made.parameters.scale)
    assert made.zero is None if parameters.zero is None else np.array_equal(parameters.zero, made.zero)
    rows = FORMAT.decode_codes(FORMAT.encode_codes(made.packed, scheme), scheme)
    assert np.array_equal(unpack(rows, scheme.bits, 64), made.codes)
