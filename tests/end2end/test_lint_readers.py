"""What the linter says of transformers is so: it refuses what is found, and loads what the mend makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers
from transformers import PreTrainedModel

from qtquant_app.core.errors import SourceError
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.runtimes import Finding
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.lint import lint
from qtquant_app.engine.load import load
from qtquant_app.engine.source import open_checkpoint
from tests.end2end.round_trip import Trip, quantize
from tests.end2end.test_load_compressed_tensors import ASYMMETRIC, CHANNEL_8, GROUP_4, W8A8, check, loaded
from tests.end2end.tiny_models import build

REFUSED = [
    ("asymmetric-experts", "mixtral", Recipe(ASYMMETRIC)),
    ("asymmetric-experts", "qwen3_moe", Recipe(GROUP_4, (Rule("*.experts.*", ASYMMETRIC),))),
    ("int8-experts", "mixtral", Recipe(GROUP_4, (Rule("*.experts.*", W8A8),))),
    ("kept-experts", "mixtral", Recipe(GROUP_4, (Rule("*experts*", "keep"),))),
    ("kept-experts", "qwen3_moe", Recipe(GROUP_4, (), ("*experts*",))),
    ("mixed-experts", "mixtral", Recipe(GROUP_4, (Rule("*experts.0.w1", CHANNEL_8),))),
    ("asymmetric", "llama", Recipe(ASYMMETRIC)),
    ("asymmetric-mixed", "llama", Recipe(CHANNEL_8, (Rule("*down_proj", ASYMMETRIC),))),
]


def found(trip: Trip, *runtimes: str) -> dict[str, Finding]:
    return {finding.code: finding for finding in lint(trip.plan, open_checkpoint(trip.source), runtimes)}


@pytest.mark.parametrize(("code", "kind", "recipe"), REFUSED, ids=lambda value: value if isinstance(value, str) else "")
def test_transformers_loads_what_the_mend_makes(code: str, kind: str, recipe: Recipe, tmp_path: Path) -> None:
    model = build(kind, torch.float32)
    finding = found(quantize(model, tmp_path / "before", recipe), "transformers")[code]
    assert finding.mend is not None
    trip = quantize(model, tmp_path / "after", finding.mend)
    assert code not in found(trip, "transformers")
    while finding := next(iter(found(trip, "transformers").values()), None):  # type: ignore[assignment]
        assert finding.mend is not None
        trip = quantize(model, tmp_path / f"after-{finding.code}", finding.mend)
    check(trip, kind)


def test_asymmetric_weights_do_not_load_as_they_are(tmp_path: Path) -> None:
    """Where this fails, transformers has learnt something: take the finding back."""
    trip = quantize(build("llama", torch.float32), tmp_path, Recipe(ASYMMETRIC))
    assert "asymmetric" in found(trip, "transformers")
    with pytest.raises(RuntimeError, match=r"size mismatch|mismatched"):
        loaded(trip, transformers.LlamaForCausalLM)


def test_a_projection_that_transformers_takes_apart_loads_once_it_is_mended(tmp_path: Path) -> None:
    model = split_projections()
    finding = found(quantize(model, tmp_path / "before", Recipe(GROUP_4)), "transformers")["split-projections"]
    assert finding.mend is not None and finding.tensors
    loaded(quantize(model, tmp_path / "after", finding.mend), transformers.NomicBertModel)


def split_projections() -> PreTrainedModel:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4}
    return transformers.NomicBertModel(transformers.NomicBertConfig(vocab_size=128, **sizes))


def test_a_reader_of_one_format_refuses_the_other(tmp_path: Path) -> None:
    model = build("llama", torch.float32)
    trip = quantize(model, tmp_path / "before", Recipe(Scheme(3, group_size=32)))
    finding = found(trip, "qtquant")["format"]
    with pytest.raises(SourceError):
        load(trip.output)
    assert finding.mend is not None
    load(quantize(model, tmp_path / "after", finding.mend).output)
