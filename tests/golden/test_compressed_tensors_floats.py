"""What is stored for FP8, NVFP4 and MXFP4, compressed-tensors' own decompressors decode to exactly our dequantized weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.compressors.nvfp4.helpers import pack_fp4_to_uint8
from compressed_tensors.quantization import QuantizationConfig, preset_name_to_scheme
from numpy.typing import NDArray

from qtquant_app.core.checkpoint import TensorInfo
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.formats import find
from qtquant_app.formats.base import Parameters
from qtquant_app.formats.compressed_tensors import _group
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.unit.quant.cases import gaussian, outliers

FORMAT, CPU = find("compressed-tensors"), CpuBackend()
LABELS = (
    "FP8 tensor",
    "FP8 ch",
    "FP8 128x128",
    "FP8 ch A8",
    "FP8 128x128 A8",
    "NVFP4",
    "MXFP4",
    "NVFP4 mse",
    "MXFP4 mse",
)
SCHEMES = [pytest.param(parse_label(label), id=label.replace(" ", "-")) for label in LABELS]
LAYOUTS = {"FP8": "float-quantized", "NVFP4": "nvfp4-pack-quantized", "MXFP4": "mxfp4-pack-quantized"}
DTYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "U8": torch.uint8,
}


class Made:
    """A weight under a scheme: its chunk, and the tensors that the format stores for it."""

    def __init__(self, raw: NDArray[Any], scheme: Scheme, dtype: str) -> None:
        self.tensor, self.scheme = TensorInfo("m.weight", dtype, raw.shape, "f", 0, raw.nbytes), scheme
        self.chunk = CPU.quantize(raw, dtype, scheme, FORMAT.align)
        self.restored = torch.from_numpy(CPU.dequantize(self.chunk, dtype, scheme, raw.shape[1]))
        self.parameters = Parameters(self.chunk.scale, None, self.chunk.whole)
        self.encoded = FORMAT.encode_parameters(self.tensor, scheme, self.parameters)
        kinds = {part.role: part for part in FORMAT.stored(self.tensor, scheme)}
        row = kinds["codes"].nbytes // raw.shape[0]
        self.encoded["codes"] = FORMAT.encode_codes(self.chunk.packed, scheme)[:, :row].reshape(-1)
        self.stored = {
            part.name.removeprefix("m."): torch.from_numpy(self.encoded[role].copy())
            .view(DTYPES[part.dtype])
            .reshape(part.shape)
            for role, part in kinds.items()
        }

    def scheme_of_reader(self) -> Any:
        groups = {"group_0": _group(self.scheme, ["Linear"])}
        config = QuantizationConfig.model_validate({"quant_method": "compressed-tensors", "config_groups": groups})
        return config.config_groups["group_0"]


@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16"])
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_decompressor_returns_our_weights(scheme: Scheme, dtype: str) -> None:
    for raw in (gaussian(dtype, 200, 320), outliers(dtype, 40, 96, 1)):
        made = Made(raw, scheme, dtype)
        reader = made.scheme_of_reader()
        assert reader.format == LAYOUTS[scheme.label.split()[0]]
        weight = BaseCompressor.get_value_from_registry(reader.format).decompress(dict(made.stored), reader)["weight"]
        # Four-bit codes come back in bfloat16, whatever the model's dtype.
        assert weight.dtype == (DTYPES[dtype] if scheme.bits == 8 else torch.bfloat16)
        assert torch.equal(weight, made.restored.to(weight.dtype))


@pytest.mark.parametrize(
    ("preset", "label"),
    [
        ("FP8_DYNAMIC", "FP8 ch A8"),
        ("FP8_BLOCK", "FP8 128x128 A8"),
        ("NVFP4A16", "NVFP4"),
        ("MXFP4A16", "MXFP4"),
    ],
)
def test_the_config_says_what_the_readers_own_presets_say(preset: str, label: str) -> None:
    ours = Made(gaussian("BF16", 128, 128), parse_label(label), "BF16").scheme_of_reader()
    theirs = preset_name_to_scheme(preset, ["Linear"])
    for args in ("weights", "input_activations"):
        assert _said(getattr(ours, args)) == _said(getattr(theirs, args))


def _said(args: Any) -> dict[str, Any] | None:
    return None if args is None else {key: value for key, value in args.model_dump().items() if key != "observer"}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_compressor_stores_the_same_tensors(scheme: Scheme) -> None:
    made = Made(gaussian("BF16", 128, 256), scheme, "BF16")
    reader = made.scheme_of_reader()
    names = BaseCompressor.get_value_from_registry(reader.format).compression_param_names(reader)
    assert set(made.stored) == set(names)


def test_nibbles_lie_as_the_reader_packs_them() -> None:
    made = Made(gaussian("BF16", 8, 64), parse_label("MXFP4"), "BF16")
    codes = np.stack([made.chunk.packed & 15, made.chunk.packed >> 4], axis=-1).reshape(8, 64)
    values = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6], np.float32)[codes & 7] * np.where(codes > 7, -1, 1)
    assert torch.equal(
        pack_fp4_to_uint8(torch.from_numpy(values.astype(np.float32)).bfloat16()), made.stored["weight_packed"]
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_is_encoded_is_decoded_again(scheme: Scheme) -> None:
    made = Made(gaussian("F16", 130, 96), scheme, "F16")
    found = FORMAT.decode_parameters(made.tensor, scheme, made.encoded)
    assert found.scale.tobytes() == made.parameters.scale.tobytes() and found.zero is None
    assert (found.whole is None) == (made.parameters.whole is None)
    assert found.whole is None or np.array_equal(found.whole, made.parameters.whole)
    for row, column in ((0, 0), (129, 95), (64, 33)):
        place = FORMAT.place(made.tensor, scheme, row, column)
        scale = made.stored[place.scale.tensor.removeprefix("m.")]
        assert scale[place.scale.elements[0]].numel() == 1


def test_a_divisor_that_nothing_can_be_divided_by_is_refused() -> None:
    made = Made(gaussian("BF16", 4, 32), parse_label("NVFP4"), "BF16")
    for wrong in (0.0, float("nan"), -1.0):
        made.encoded["global"] = np.array([wrong], "<f4").view(np.uint8)
        with pytest.raises(ValueError, match="weight_global_scale"):
            FORMAT.decode_parameters(made.tensor, made.scheme, made.encoded)
