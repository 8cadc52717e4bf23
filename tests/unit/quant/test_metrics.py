from __future__ import annotations

from math import inf, log10, sqrt

import pytest
import torch

from qtquant_app.core.scheme import Scheme
from qtquant_app.quant import metrics
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.unit.quant.cases import gaussian

WEIGHT = torch.tensor([[3.0, 4.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
RESTORED = torch.tensor([[3.0, 3.0, 0.0, 1.0, 2.0], [0.0, 0.0, 0.0, 0.0, 0.0]])


def test_the_measures_are_those_of_their_definitions() -> None:
    assert metrics.mse(WEIGHT, RESTORED) == pytest.approx(0.1)
    assert metrics.sqnr_db(WEIGHT, RESTORED) == pytest.approx(10 * log10(30))
    assert metrics.relative_error(WEIGHT, RESTORED) == pytest.approx(1 / sqrt(30))
    assert metrics.max_error(WEIGHT, RESTORED) == 1.0
    assert metrics.cosine(WEIGHT, RESTORED) == pytest.approx(26 / sqrt(30 * 23))


def test_each_channel_is_measured_by_itself() -> None:
    found = metrics.per_channel(WEIGHT, RESTORED)
    assert found.mse.tolist() == pytest.approx([0.2, 0.0])
    assert found.sqnr_db.tolist() == pytest.approx([10 * log10(30), inf])
    assert found.relative_error.tolist() == pytest.approx([1 / sqrt(30), 0.0])
    assert found.max_error.tolist() == [1.0, 0.0]
    assert found.cosine.tolist()[1] == 1.0


def test_each_group_is_measured_by_itself_and_the_last_may_be_shorter() -> None:
    found = metrics.per_group(WEIGHT, RESTORED, 2)
    assert found.mse.shape == (2, 3)
    assert found.mse[0].tolist() == pytest.approx([0.5, 0.0, 0.0])
    assert torch.equal(metrics.per_group(WEIGHT, WEIGHT + 1, 2).mse, torch.ones(2, 3).double())


def test_weights_that_became_zero_or_came_from_zero_have_defined_measures() -> None:
    zeros, ones = torch.zeros(1, 4), torch.ones(1, 4)
    lost, made = metrics.measures(ones, zeros), metrics.measures(zeros, ones)
    assert (lost.relative_error.item(), lost.sqnr_db.item(), lost.cosine.item()) == (1.0, 0.0, 0.0)
    assert (made.relative_error.item(), made.sqnr_db.item(), made.cosine.item()) == (inf, -inf, 0.0)


def test_the_measures_equal_those_from_the_sums_of_a_run() -> None:
    raw, scheme = gaussian("F32", 8, 192), Scheme(bits=3, group_size=64)
    chunk = CpuBackend().quantize(raw, "F32", scheme, 4)
    restored = torch.from_numpy(CpuBackend().dequantize(chunk, "F32", scheme, 192))
    found, sums = metrics.measures(torch.from_numpy(raw), restored), chunk.errors.sums(192)
    assert found.mse.item() == pytest.approx(sums.mse, rel=1e-6)
    assert found.sqnr_db.item() == pytest.approx(sums.sqnr_db, rel=1e-6)
    assert found.relative_error.item() == pytest.approx(sums.relative_error, rel=1e-6)
    assert found.max_error.item() == pytest.approx(sums.max_error, rel=1e-6)
    assert found.cosine.item() == pytest.approx(sums.cosine, rel=1e-6)
