"""A mix that is made for a reader loads there, and computes what its dequantized weights do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from qtquant_app.core.errors import PlanError
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.target import Target
from qtquant_app.engine.budget import schemes_for, solve, weigh
from qtquant_app.engine.source import open_checkpoint
from tests.driving import result
from tests.end2end.round_trip import quantize
from tests.end2end.test_load_compressed_tensors import check
from tests.end2end.tiny_models import build


@pytest.mark.parametrize(("kind", "bits"), [("llama", 3.5), ("qwen3_moe", 4.5)])
def test_transformers_loads_a_mix_that_is_made_for_it(kind: str, bits: float, tmp_path: Path) -> None:
    model = build(kind, torch.bfloat16)
    model.save_pretrained(tmp_path / "given")
    checkpoint = open_checkpoint(tmp_path / "given")
    readers = ["transformers"]
    work = weigh(checkpoint, Recipe(), schemes=schemes_for(readers), runtimes=readers, device="cpu", cache=False)
    mix = solve(result(work), Target(bits_per_weight=bits))
    assert len({tensor.scheme for tensor in mix.plan.quantized}) > 1 and mix.plan.bits_per_weight <= bits
    check(quantize(model, tmp_path, mix.recipe), kind, torch.bfloat16)


def test_a_mix_of_asymmetric_schemes_is_not_made_for_transformers(tmp_path: Path) -> None:
    build("llama", torch.bfloat16).save_pretrained(tmp_path / "given")
    checkpoint = open_checkpoint(tmp_path / "given")
    asymmetric = [scheme for scheme in schemes_for([]) if not scheme.symmetric]
    work = weigh(checkpoint, Recipe(), schemes=asymmetric, runtimes=["transformers"], device="cpu", cache=False)
    with pytest.raises(PlanError, match=r"nothing in .* would be quantized"):
        solve(result(work), Target(bits_per_weight=3.5))
