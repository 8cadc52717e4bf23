"""Weights of every dtype as numbers, against torch's own reading of the bytes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from qtquant_app.core.matrix import WORKED
from qtquant_app.quant.chunk import as_float32
from qtquant_app.quant.stored import number, worked

TORCH = {
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "I8": torch.int8,
    "U8": torch.uint8,
    "F64": torch.float64,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
}


@pytest.mark.parametrize("stored", [name for name in TORCH if WORKED[name] == "BF16"])
def test_every_byte_of_an_eight_bit_dtype_is_read_as_torch_reads_it(stored: str) -> None:
    codes = torch.arange(256).to(torch.uint8)
    expected = codes.view(TORCH[stored]).float().numpy()
    assert np.array_equal(as_float32(worked(codes.numpy(), stored), "BF16"), expected, equal_nan=True)
    assert np.array_equal(np.array([number(code, stored) for code in range(256)], np.float32), expected, equal_nan=True)


@pytest.mark.parametrize("stored", [name for name in TORCH if WORKED[name] == "F32"])
def test_wide_numbers_are_rounded_to_float32(stored: str) -> None:
    values = torch.tensor([0, 1, -1, 300, 32767, 12345]).to(TORCH[stored])
    assert np.array_equal(worked(values.numpy().view(np.uint8), stored), values.float().numpy())


def test_every_dtype_of_whole_bytes_can_be_looked_at() -> None:
    for stored in WORKED:
        assert len(worked(np.zeros(8, np.uint8), stored))


@pytest.mark.filterwarnings("error")
def test_what_is_beyond_float32_is_infinite_without_a_word_on_stderr() -> None:
    values = torch.tensor([1e300, -1e300, 1.0], dtype=torch.float64)
    assert worked(values.numpy().view(np.uint8), "F64").tolist() == [np.inf, -np.inf, 1.0]
