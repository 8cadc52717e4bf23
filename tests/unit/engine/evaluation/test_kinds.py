"""Every kind of model beside what was made of it: the outputs of a direct computation, streamed or whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from qtquant_app import load
from qtquant_app.core.calibration import Calibration
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.evaluate import evaluate
from qtquant_app.engine.samples import open_samples
from qtquant_app.engine.source import open_checkpoint
from tests.driving import quantize, result
from tests.end2end import tiny_models

KINDS = {
    "bert": (["logits"], "text"),
    "vit": (["logits"], "images"),
    "whisper": (["logits", "encoder_last_hidden_state"], "mixed"),
    "clip": (["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"], "mixed"),
    "mixtral": (["logits"], "text"),
}
COUNT, LENGTH = 3, 20


def made(kind: str, folder: Path) -> tuple[Path, Path]:
    """A tiny checkpoint without a tokenizer, and a result of it."""
    torch.manual_seed(0)
    tiny_models.KINDS[kind][0]().save_pretrained(folder / "base")
    quantize(folder / "base", folder / "out", parse_label("W4 g32 asym"), format="qtquant")
    return folder / "base", folder / "out"


def evaluated(base: Path, out: Path, **words: object) -> Evaluation:
    given = {"text": "random", "windows": COUNT, "seqlen": LENGTH, "device": "cpu", **words}
    return result(evaluate(out, base, **given))  # type: ignore[arg-type]


def directly(base: Path, out: Path, names: list[str]) -> dict[str, tuple[float, float]]:
    """Cosine and relative error of each output by the loaded models, sample by sample, and all of it kept."""
    samples = open_samples(open_checkpoint(base), Calibration("random", COUNT, LENGTH), held_out=True)
    mine, theirs = load(out, dtype="float32"), _original(base)
    batches = [{key: torch.cat([sample[key] for sample in samples]) for key in samples[0]}]
    found = {}
    for name in names:
        with torch.no_grad():
            before = torch.cat([theirs(**batch)[name] for batch in batches]).double()
            after = torch.cat([mine(**batch)[name] for batch in batches]).double()
        if name == "logits" and before.dim() == 3 and "mixtral" in str(type(mine)).lower():
            before, after = before[:, :-1], after[:, :-1]
        error = float((after - before).norm() / before.norm())
        if name.startswith("logits_per_"):
            before, after = before.flatten(), after.flatten()
        found[name] = float(torch.cosine_similarity(before, after, dim=-1).mean()), error
    return found


def _original(base: Path) -> PreTrainedModel:
    import transformers

    name = open_checkpoint(base).architecture
    model: PreTrainedModel = getattr(transformers, name).from_pretrained(base, dtype=torch.float32)
    return model.eval()


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_agree_as_a_direct_computation_says_in_both_ways(kind: str, tmp_path: Path) -> None:
    names, samples = KINDS[kind]
    base, out = made(kind, tmp_path)
    wanted = directly(base, out, names)
    whole, streamed = (evaluated(base, out, streamed=streamed) for streamed in (False, True))
    for found in (whole, streamed):
        assert [output.name for output in found.outputs] == names
        assert found.kind == samples
        assert found.windows == COUNT
        assert found.perplexity is None and found.base_perplexity is None, "chance means nothing to be said"
        for output in found.outputs:
            assert output.cosine == pytest.approx(wanted[output.name][0], abs=2e-6)
            assert output.relative_error == pytest.approx(wanted[output.name][1], rel=1e-4)
    assert (whole.kl is None) == ("logits" not in names)
    if whole.kl is not None:
        assert whole.kl == pytest.approx(streamed.kl, rel=1e-4)
        assert whole.top1_agreement == streamed.top1_agreement
        assert whole.kl > 0


def test_what_is_given_back_unchanged_agrees_wholly(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny_models.vit().save_pretrained(tmp_path / "base")
    quantize(tmp_path / "base", tmp_path / "out", parse_label("W8 ch sym"), format="qtquant")
    near = evaluated(tmp_path / "base", tmp_path / "out")
    assert near.outputs[0].cosine == pytest.approx(1, abs=1e-3)
    assert near.outputs[0].relative_error < 0.05
    assert near.tokens == COUNT


def test_experts_inputs_are_rounded_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny_models.mixtral().save_pretrained(tmp_path / "base")
    schemes = ("W8 ch sym", "W8 ch sym A8")
    found = []
    for at, label in enumerate(schemes):
        quantize(tmp_path / "base", tmp_path / str(at), parse_label(label), format="qtquant")
        found += [evaluated(tmp_path / "base", tmp_path / str(at), streamed=streamed) for streamed in (False, True)]
    plain, _, rounded, rounded_too = found
    assert (plain.activations, rounded.activations) == ("none", "int8")
    assert plain.kl is not None and rounded.kl is not None
    assert rounded.kl > plain.kl
    assert rounded.kl == pytest.approx(rounded_too.kl, rel=1e-4)
