"""Differences of logits: against a direct computation, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qtquant_app.engine.logit_difference import logit_difference

SEEDS = st.integers(0, 2**16)


def pair(seed: int, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    ours = random.normal(0, 3, (7, 50)).astype(np.float32)
    return ours, (ours + random.normal(0, noise, ours.shape)).astype(np.float32)


@settings(deadline=None)  # torch may be slow to begin
@given(SEEDS)
def test_the_divergence_is_that_of_torch(seed: int) -> None:
    ours, theirs = pair(seed)
    logs = [torch.log_softmax(torch.from_numpy(x).double(), -1) for x in (ours, theirs)]
    each = torch.nn.functional.kl_div(logs[1], logs[0], reduction="none", log_target=True).sum(-1)
    found = logit_difference(ours, theirs)
    assert found.kl == pytest.approx(float(each.mean()), rel=1e-5)
    assert found.kl_worst == pytest.approx(float(each.max()), rel=1e-5)


@given(SEEDS, st.floats(-50, 50))
def test_a_constant_added_to_all_logits_of_a_token_is_no_difference(seed: int, constant: float) -> None:
    ours, _ = pair(seed)
    found = logit_difference(ours, ours + np.float32(constant))
    assert found.relative < 1e-4
    assert found.kl == pytest.approx(0, abs=1e-6)


@given(SEEDS, st.floats(0.5, 0.99))
def test_logits_that_are_smaller_by_a_part_differ_by_that_part(seed: int, factor: float) -> None:
    ours, _ = pair(seed)
    found = logit_difference(ours, ours * np.float32(factor))
    assert found.relative == pytest.approx(1 - factor, rel=1e-3)
    assert found.relative_worst == pytest.approx(1 - factor, rel=1e-3)
    assert found.top1_agreement == 1


def test_the_worst_token_is_told_apart_from_the_mean() -> None:
    ours, _ = pair(1)
    theirs = ours.copy()
    theirs[3] = -theirs[3]
    found = logit_difference(ours, theirs)
    assert found.relative_worst == pytest.approx(2)
    assert found.relative < 1.2
    assert found.top1_agreement == pytest.approx(6 / 7)
