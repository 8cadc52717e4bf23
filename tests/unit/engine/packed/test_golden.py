"""What other libraries wrote decodes to what they themselves decode it to.

The files under golden/ hold stored tensors, and under `expected.` what the library made of them, on Linux on a CPU:
`mlx.core.quantize` and `dequantize` of mlx 0.32; `functional.quantize_4bit`,
`dequantize_4bit`, `int8_vectorwise_quant` and `int8_vectorwise_dequant` of bitsandbytes 0.50, in shapes that its CPU kernel decodes
aright (it does not where a block of 64 ends within a row of an even number of columns). Each file names its version in its metadata
(`made_by`). Weights were random normal.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.unit.engine.packed.reading import decoded, golden


@pytest.mark.parametrize("step", [0, 1, 4])
def test_mlx_weights_decode_to_what_mlx_makes_of_them(tmp_path: Path, step: int) -> None:
    checkpoint, expected = golden(tmp_path, "mlx")
    assert len(expected) == 13
    for module, weight in expected.items():
        found = decoded(checkpoint, f"{module}.weight", step)
        assert found.shape == weight.shape and found.dtype == weight.dtype
        # mlx rounds scale times code before it adds the bias; here the sum is rounded once.
        steps = torch.finfo(weight.dtype).eps * weight.abs().max()
        assert (found.float() - weight.float()).abs().max() <= steps
        assert checkpoint.by_name[f"{module}.weight"].packed.notes == ()


@pytest.mark.parametrize("step", [0, 1, 4])
def test_bitsandbytes_weights_decode_to_what_bitsandbytes_makes_of_them(tmp_path: Path, step: int) -> None:
    checkpoint, expected = golden(tmp_path, "bitsandbytes")
    assert len(expected) == 9
    for module, weight in expected.items():
        found = decoded(checkpoint, f"{module}.weight", step)
        assert found.shape == weight.shape
        assert torch.equal(found, weight.to(found.dtype))


def test_a_golden_file_leaves_nothing_but_weights(tmp_path: Path) -> None:
    for name in ("mlx", "bitsandbytes"):
        checkpoint, expected = golden(tmp_path / name, name)
        assert {tensor.module for tensor in checkpoint.tensors} == set(expected)
