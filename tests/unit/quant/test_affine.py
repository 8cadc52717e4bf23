from __future__ import annotations

import pytest
import torch

from qtquant_app.quant.affine import encode, grouped, parameters, restore, ungrouped


@pytest.mark.parametrize("size", [1, 3, 4, 5, 9])
def test_grouping_fills_the_last_group_with_zeros_and_comes_undone(size: int) -> None:
    values = torch.arange(1.0, 11.0).reshape(2, 5)
    parts = grouped(values, size)
    assert parts.shape == (2, -(-5 // size), size)
    assert parts.reshape(2, -1)[:, 5:].eq(0).all()
    assert torch.equal(ungrouped(parts, 5), values)


def test_symmetric_scales_divide_the_largest_size_by_half_the_codes() -> None:
    scale, zero = parameters(torch.tensor([-7.5]), torch.tensor([3.0]), 1.0, 4, True, torch.float32)
    assert scale.tolist() == [1.0] and zero.tolist() == [8]


def test_asymmetric_scales_divide_the_range_by_the_steps() -> None:
    scale, zero = parameters(torch.tensor([-5.0]), torch.tensor([10.0]), 1.0, 4, False, torch.float32)
    assert scale.tolist() == [1.0] and zero.tolist() == [5]


def test_a_factor_shrinks_the_range() -> None:
    scale, zero = parameters(torch.tensor([-5.0]), torch.tensor([10.0]), 0.5, 4, False, torch.float32)
    assert scale.tolist() == [0.5] and zero.tolist() == [5]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_scales_are_in_the_dtype_that_stores_them(dtype: torch.dtype) -> None:
    scale, _ = parameters(torch.tensor([-1.0]), torch.tensor([1.0]), 1.0, 4, True, dtype)
    assert scale.dtype == dtype and scale.item() == torch.tensor(1 / 7.5).to(dtype).item()


def test_codes_are_cut_off_at_both_ends_and_come_back_within_the_range() -> None:
    values = torch.tensor([[-100.0, -8.0, 0.4, 7.0, 100.0]])
    scale, zero = torch.tensor([1.0]), torch.tensor([8], dtype=torch.int32)
    codes = encode(values, scale, zero, 4)
    assert codes.tolist() == [[0, 0, 8, 15, 15]]
    assert restore(codes, scale, zero).tolist() == [[-8.0, -8.0, 0.0, 7.0, 7.0]]
