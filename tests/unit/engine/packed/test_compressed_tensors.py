"""compressed-tensors decodes its own files to what the source reader decodes them to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationConfig

from tests.unit.engine.packed.reading import decoded, write

SHAPES = [(40, 96), (33, 64)]
PACKED = [
    {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": strategy}
    for bits in (2, 3, 4, 5, 6, 7, 8)
    for symmetric in (True, False)
    for strategy in ("group", "channel", "tensor")
]


def config_of(weights: dict[str, Any], format: str) -> dict[str, Any]:
    group = {"targets": ["Linear"], "weights": weights, "format": format}
    return {"quant_method": "compressed-tensors", "format": format, "config_groups": {"group_0": group}, "ignore": []}


def stored_and_decoded(
    weights: dict[str, Any], format: str, shape: tuple[int, int], dtype: torch.dtype
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """What compressed-tensors stores for random weights, and what it makes of that."""
    random = torch.Generator().manual_seed(shape[0] + weights["num_bits"])
    rows, columns = shape
    size = weights.get("group_size")
    groups = {"tensor": (1,), "channel": (rows, 1)}.get(weights["strategy"], (rows, columns // (size or 1)))
    if weights["strategy"] == "block":
        groups = (-(-rows // 32), -(-columns // 32))
    state = {
        "weight": (torch.randn(shape, generator=random) * 0.05).to(dtype),
        "weight_scale": (torch.rand(groups, generator=random) * 0.01 + 0.001).to(dtype),
    }
    if not weights["symmetric"]:
        top = 1 << weights["num_bits"] - 1
        state["weight_zero_point"] = torch.randint(-top, top, groups, generator=random, dtype=torch.int8)
    if "fp4" in format:
        state["weight_scale"] = torch.rand(groups, generator=random) * 4 + 1
        if format.startswith("nvfp4"):
            state["weight_global_scale"] = torch.tensor([700.0])
    scheme = QuantizationConfig.model_validate(config_of(weights, format)).config_groups["group_0"]
    compressor = BaseCompressor.get_value_from_registry(format)
    stored = compressor.compress(state, scheme)
    return stored, compressor.decompress(dict(stored), scheme)["weight"]


@pytest.mark.parametrize("weights", PACKED, ids=lambda w: f"{w['num_bits']} {w['strategy']} {w['symmetric']}")
def test_packed_integers_decode_as_their_library_decodes_them(tmp_path: Path, weights: dict[str, Any]) -> None:
    weights = weights | ({"group_size": 32} if weights["strategy"] == "group" else {})
    for at, (shape, dtype) in enumerate(zip(SHAPES, (torch.bfloat16, torch.float16), strict=True)):
        stored, expected = stored_and_decoded(weights, "pack-quantized", shape, dtype)
        tensors = {f"m.{name}": tensor for name, tensor in stored.items()}
        checkpoint = write(tmp_path / str(at), tensors, {"quantization_config": config_of(weights, "pack-quantized")})
        for step in (0, 7):
            assert torch.equal(decoded(checkpoint, "m.weight", step), expected)
        (tensor,) = checkpoint.tensors
        assert tensor.packed is not None and tensor.packed.notes == ()
        assert (tensor.packed.bits, tensor.packed.symmetric) == (weights["num_bits"], weights["symmetric"])
        assert tensor.packed.group_size == (32 if weights["strategy"] == "group" else None)


@pytest.mark.parametrize("strategy", ["channel", "tensor", "group", "block"])
@pytest.mark.parametrize("type", ["int", "float"])
def test_a_byte_for_each_weight_decodes_as_its_library_decodes_it(tmp_path: Path, strategy: str, type: str) -> None:
    weights: dict[str, Any] = {"num_bits": 8, "type": type, "symmetric": True, "strategy": strategy}
    weights |= (
        {"group_size": 32} if strategy == "group" else {"block_structure": [32, 32]} if strategy == "block" else {}
    )
    format = f"{type}-quantized"
    if strategy == "block" and type == "int":
        pytest.skip("compressed-tensors has blocks of floats alone")
    stored, expected = stored_and_decoded(weights, format, (64, 96), torch.bfloat16)
    tensors = {f"m.{name}": tensor for name, tensor in stored.items()}
    checkpoint = write(tmp_path, tensors, {"quantization_config": config_of(weights, format)})
    for step in (0, 5):
        assert torch.equal(decoded(checkpoint, "m.weight", step), expected)


@pytest.mark.parametrize(("format", "size"), [("nvfp4-pack-quantized", 16), ("mxfp4-pack-quantized", 32)])
def test_four_bit_floats_decode_as_their_library_decodes_them(tmp_path: Path, format: str, size: int) -> None:
    weights = {"num_bits": 4, "type": "float", "symmetric": True, "strategy": "group", "group_size": size}
    if size == 16:
        weights["strategy"] = "tensor_group"
    stored, expected = stored_and_decoded(weights, format, (24, 96), torch.bfloat16)
    tensors = {f"m.{name}": tensor for name, tensor in stored.items()}
    checkpoint = write(tmp_path, tensors, {"quantization_config": config_of(weights, format)})
    assert torch.equal(decoded(checkpoint, "m.weight"), expected.to(torch.bfloat16))
    assert torch.equal(decoded(checkpoint, "m.weight", 5), expected.to(torch.bfloat16))


def test_the_layout_of_before_0_18_is_told_by_its_width_and_named(tmp_path: Path) -> None:
    # The words that compressed-tensors 0.17 writes for the codes 0 to 7, four times.
    words = torch.tensor([[0x08FAC688, 0x1A23EB1A, 0x2C688FAC, 0x0000003E]], dtype=torch.int64).to(torch.int32)
    tensors = {
        "m.weight_packed": words,
        "m.weight_scale": torch.ones(1, 1, dtype=torch.bfloat16),
        "m.weight_shape": torch.tensor([1, 32]),
    }
    weights = {"num_bits": 3, "type": "int", "symmetric": True, "strategy": "channel"}
    checkpoint = write(tmp_path, tensors, {"quantization_config": config_of(weights, "pack-quantized")})
    assert decoded(checkpoint, "m.weight").tolist() == [[float(k % 8 - 4) for k in range(32)]]
    packed = checkpoint.by_name["m.weight"].packed
    assert packed is not None and packed.legacy and [note.code for note in packed.notes] == ["legacy-layout"]
