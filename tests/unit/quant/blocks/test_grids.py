"""Blocks as grids: codes come out and go in again bit for bit, and what they stand for is what a reader of the blocks computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from qtquant_app.core.layouts import LAYOUTS
from qtquant_app.core.scheme import Scheme
from qtquant_app.quant.blocks import codec
from qtquant_app.quant.blocks.grids import chunk_of, grid_of, searched, searched_for_outputs, with_codes
from qtquant_app.quant.chunk import NonFinite, ScaleOverflow, as_float32
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.solvers.gptq import Found, enlarged, gptq_on
from qtquant_app.quant.solvers.grid import Solved, restored
from qtquant_app.quant.solvers.learned_codes import Codes
from qtquant_app.quant.solvers.loss import row_losses
from tests.unit.quant.blocks.cases import importance_of, rows_of_weights
from tests.unit.quant.solvers.layers import inputs, output_error, second_moments, weights

CPU = CpuBackend()
NAMES = tuple(name for name, layout in LAYOUTS.items() if layout.block > 1)
BRIEF = settings(max_examples=25, deadline=None)
COLUMNS = 512


def random_blocks(name: str, seed: int, rows: int = 3) -> torch.Tensor:
    """Blocks of any bytes at all, [rows, bytes of 512 columns]."""
    data = np.random.default_rng(seed).integers(0, 256, (rows, LAYOUTS[name].row_bytes(COLUMNS)), np.uint8)
    return torch.from_numpy(data)


def layer(name: str, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, Solved]:
    """A weight, the second moments of its inputs, and what the search alone gives."""
    weight, hessian = weights(24, 256, seed), second_moments(inputs(1500, 256, seed))
    return weight, hessian, searched(weight, name, enlarged(hessian).diagonal())


def solved_by(found: Found, hessian: torch.Tensor, weight: torch.Tensor) -> float:
    return float(row_losses(weight, found.solved, hessian).sum())


@pytest.mark.parametrize("name", NAMES)
@BRIEF
@given(st.integers(0, 2**32))
def test_any_bytes_come_back_from_their_codes_and_stand_for_what_a_reader_computes(name: str, seed: int) -> None:
    blocks = random_blocks(name, seed)
    solved = grid_of(blocks, name, COLUMNS)
    assert torch.equal(with_codes(blocks, name, solved.codes), blocks)
    assert int(solved.codes.max()) < solved.grid.levels
    theirs = codec.dequantize(blocks, name, COLUMNS)
    assert torch.equal(restored(solved).nan_to_num(7), theirs.nan_to_num(7))


@pytest.mark.parametrize("name", NAMES)
@BRIEF
@given(st.integers(0, 2**32))
def test_other_codes_change_the_codes_and_nothing_else(name: str, seed: int) -> None:
    blocks = random_blocks(name, seed)
    before = grid_of(blocks, name, COLUMNS)
    codes = torch.randint(0, before.grid.levels, (3, COLUMNS), generator=torch.Generator().manual_seed(seed))
    after = grid_of(with_codes(blocks, name, codes.byte()), name, COLUMNS)
    assert torch.equal(after.codes, codes.byte())
    for part in ("scale", "zero"):
        assert torch.equal(getattr(after.grid, part).nan_to_num(7), getattr(before.grid, part).nan_to_num(7))


@pytest.mark.parametrize("name", NAMES)
@BRIEF
@given(rows_of_weights(256, wild=False), st.booleans())
def test_a_search_gives_the_blocks_that_a_run_writes(
    name: str, drawn: tuple[NDArray[Any], str], weighted: bool
) -> None:
    raw, dtype = drawn
    importance = importance_of(raw.shape[1]) if weighted else None
    scheme = Scheme.of_layout(name, "mse")
    chunk = CPU.quantize(raw, dtype, scheme, 1, None, importance)
    weight = torch.from_numpy(as_float32(raw, dtype).copy())
    found = searched(weight, name, None if importance is None else torch.from_numpy(importance))
    ours = chunk_of(found, scheme, dtype, 1)
    assert np.array_equal(ours.packed, chunk.packed) and ours.scale.shape == chunk.scale.shape and ours.zero is None
    assert restored(found).numpy().tobytes() == CPU.dequantize(chunk, dtype, scheme, raw.shape[1]).tobytes()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(2))
def test_gptq_loses_no_row_against_the_search_and_keeps_the_scales(name: str, seed: int) -> None:
    weight, hessian, start = layer(name, seed)
    found = gptq_on(weight, hessian, start)
    larger = enlarged(hessian)
    assert bool((row_losses(weight, found.solved, larger) <= row_losses(weight, start, larger)).all())
    exact = gptq_on(weight, hessian, start, shrinkage=0, damping=0)
    assert solved_by(exact, hessian, weight) < float(row_losses(weight, start, hessian).sum())
    assert found.solved.grid is start.grid and int(found.solved.codes.max()) < start.grid.levels
    written = chunk_of(found.solved, Scheme.of_layout(name), "BF16", 1)
    assert torch.equal(codec.dequantize(torch.from_numpy(written.packed), name, 256), restored(found.solved))


@pytest.mark.parametrize("name", NAMES)
def test_gptq_lowers_the_error_of_the_outputs_by_a_tenth_at_least(name: str) -> None:
    values = inputs(3000, 256, 5)
    weight, hessian = weights(24, 256, 5), second_moments(values)
    plain = searched(weight, name)
    start = searched(weight, name, enlarged(hessian).diagonal())
    found = gptq_on(weight, hessian, start)
    assert output_error(weight, restored(found.solved), values) < 0.9 * output_error(weight, restored(plain), values)


def test_gptq_makes_no_use_of_sub_blocks_without_a_scale() -> None:
    weight, hessian, _ = layer("Q4_K")
    weight[:, 64:96] = 0
    weight[3] = 0
    start = searched(weight, "Q4_K", enlarged(hessian).diagonal())
    empty = start.grid.scale.repeat_interleave(start.grid.group, 1) == 0
    found = gptq_on(weight, hessian, start)
    assert bool(empty[3].all()) and torch.equal(found.solved.codes[empty], start.codes[empty])
    assert float(restored(found.solved)[3].abs().max()) == 0


def test_columns_that_no_sample_uses_keep_their_nearest_codes() -> None:
    values = inputs(1500, 256, 1)
    values[:, 40:44] = 0
    weight, hessian = weights(24, 256, 1), second_moments(values)
    start = searched(weight, "Q3_K", enlarged(hessian).diagonal())
    found = gptq_on(weight, hessian, start)
    assert torch.equal(found.solved.codes[:, 40:44], start.codes[:, 40:44])


@pytest.mark.parametrize("name", NAMES)
def test_ranges_for_outputs_lose_no_row_against_ranges_for_weights(name: str) -> None:
    weight, hessian, _ = layer(name, 3)
    found, plain = searched_for_outputs(weight, name, hessian), searched(weight, name)
    losses = row_losses(weight, found, hessian), row_losses(weight, plain, hessian)
    assert bool((losses[0] <= losses[1]).all()) and bool((losses[0] < losses[1]).any())
    written = torch.from_numpy(chunk_of(found, Scheme.of_layout(name), "F32", 1).packed)
    assert torch.equal(codec.dequantize(written, name, 256), restored(found))


@pytest.mark.parametrize("name", NAMES)
def test_learning_moves_weights_against_their_gradient_whatever_the_sign_of_a_scale(name: str) -> None:
    weight, _, start = layer(name, 2)
    codes, out = Codes(weight, start, "BF16"), torch.empty_like(weight)
    codes.write(out)
    assert torch.equal(out, restored(start))
    gradient = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    before = out.clone()
    for _ in range(120):
        codes.learn(gradient, 0.02, 0.01, out)
    moved = out - before
    assert bool((moved * gradient <= 0).all()) and float((moved != 0).float().mean()) > 0.5
    after = codes.solved()
    assert torch.equal(after.grid.scale, start.grid.scale) and torch.equal(restored(after), out)
    assert after.grid.blocks is start.grid.blocks and int(after.codes.max()) < start.grid.levels


def test_a_row_that_cannot_be_stored_is_named_wherever_a_thread_found_it() -> None:
    weight = weights(64, 256)
    weight[41, 3] = 1e9
    with pytest.raises(ScaleOverflow) as caught:
        searched(weight, "Q4_0")
    assert caught.value.row == 41
    weight[41, 3] = float("nan")
    with pytest.raises(NonFinite) as told:
        searched(weight, "Q4_K")
    assert (told.value.row, told.value.column) == (41, 3)
