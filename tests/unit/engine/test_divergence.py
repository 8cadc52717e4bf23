"""KL divergence of a plan from its original: beside a direct computation, and where transformers rearranges weights."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers

from qtquant_app.assets import resource
from qtquant_app.core.checkpoint import Checkpoint
from qtquant_app.core.errors import DeviceError, EvaluateError
from qtquant_app.core.events import TextRead
from qtquant_app.core.recipe import Recipe
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine import language_model
from qtquant_app.engine.divergence import divergences, restored
from qtquant_app.engine.language_model import open_language_model
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, Text, read_text
from tests.driving import finish, quantize, result
from tests.end2end.tiny_models import bert, llama, mixtral

_, HELD_OUT = read_text(BUILT_IN).halves()
SCHEME = parse_label("W3 g32 sym")


def with_tokenizer(model: transformers.PreTrainedModel, folder: Path) -> Checkpoint:
    """The model, saved beside the sample's tokenizer."""
    model.to(torch.bfloat16).save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(resource("sample") / name, folder / name)
    return open_checkpoint(folder)


def test_it_is_what_a_direct_computation_with_the_written_file_gives(tmp_path: Path) -> None:
    checkpoint = open_checkpoint("sample")
    plan = make_plan(checkpoint, Recipe(default=SCHEME), device="cpu")
    events, ((kl,), tokens) = finish(divergences(checkpoint, [plan], HELD_OUT, 3, 64, "cpu"))
    quantize("sample", tmp_path / "out", SCHEME)
    windows = open_language_model(checkpoint).windows(HELD_OUT, 3, 64)
    original = transformers.AutoModelForCausalLM.from_pretrained(checkpoint.root, dtype=torch.float32)
    reread = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    total = 0.0
    with torch.no_grad():
        for ids in windows:
            before = torch.log_softmax(original(ids[None]).logits[0], -1)
            after = torch.log_softmax(reread(ids[None]).logits[0], -1)
            total += float(torch.nn.functional.kl_div(after, before, reduction="sum", log_target=True))
    assert tokens == 3 * 64
    assert kl == pytest.approx(total / tokens, rel=1e-3)
    assert [event.done for event in events if isinstance(event, TextRead)] == [64, 128, 192] * 2


def test_the_original_does_not_diverge_from_itself() -> None:
    checkpoint = open_checkpoint("sample")
    fine = make_plan(checkpoint, Recipe(default=parse_label("W8 g32 asym")), device="cpu")
    coarse = make_plan(checkpoint, Recipe(default=parse_label("W2 g64 sym")), device="cpu")
    (little, much), _ = result(divergences(checkpoint, [fine, coarse], HELD_OUT, 2, 64, "cpu"))
    assert 0 < little < 1e-3 < much


def test_experts_that_transformers_puts_together_are_restored_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    checkpoint = with_tokenizer(mixtral(vocab_size=1536), tmp_path / "experts")
    plan = make_plan(checkpoint, Recipe(default=SCHEME), device="cpu")
    assert any(tensor.kind == "expert" for tensor in plan.quantized)
    (kl,), _ = result(divergences(checkpoint, [plan], HELD_OUT, 2, 32, "cpu"))
    quantize(checkpoint.path, tmp_path / "out", SCHEME)
    model = open_language_model(checkpoint, weights=result(restored(checkpoint, plan)))
    reread = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    ids = torch.arange(20)
    with torch.no_grad():
        expected = torch.log_softmax(reread(ids[None]).logits[0], -1)
    apart = (model.log_probabilities(ids) - expected).abs().max()
    moved = (open_language_model(checkpoint).log_probabilities(ids) - expected).abs().max()
    assert apart < 2e-3 < moved / 10
    assert kl > 0


def test_a_model_that_is_no_causal_language_model_is_refused(tmp_path: Path) -> None:
    checkpoint = with_tokenizer(bert(), tmp_path / "encoder")
    with pytest.raises(EvaluateError, match="BertForMaskedLM is no causal language model") as refused:
        open_language_model(checkpoint)
    assert refused.value.hint


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    llama().to(torch.bfloat16).save_pretrained(tmp_path / "bare")
    with pytest.raises(EvaluateError, match="no tokenizer"):
        open_language_model(open_checkpoint(tmp_path / "bare"))


def test_a_lone_weight_file_is_refused(tmp_path: Path) -> None:
    llama().save_pretrained(tmp_path / "bare")
    alone = tmp_path / "alone" / "model.safetensors"
    alone.parent.mkdir()
    shutil.copy(tmp_path / "bare" / "model.safetensors", alone)
    with pytest.raises(EvaluateError, match="config"):
        open_language_model(open_checkpoint(alone))


def test_a_model_that_does_not_fit_into_memory_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language_model, "available_bytes", lambda: 100_000_000)
    with pytest.raises(DeviceError, match="100 MB are free"):
        open_language_model(open_checkpoint("sample"))


def test_a_config_that_transformers_cannot_build_is_refused_in_a_sentence() -> None:
    checkpoint = open_checkpoint("sample")
    broken = replace(checkpoint, root=Path("/nowhere"))
    with pytest.raises(EvaluateError, match="transformers cannot run sample"):
        open_language_model(broken)


def test_a_text_that_is_too_short_is_refused() -> None:
    with pytest.raises(EvaluateError, match="too short"):
        open_language_model(open_checkpoint("sample")).windows(Text("a note", "only a few words"), 4, 64)


def test_a_short_text_gives_one_shorter_window() -> None:
    model = open_language_model(open_checkpoint("sample"))
    (window,) = model.windows(Text("a note", HELD_OUT.content[:400]), 4, 256)
    assert 32 <= len(window) < 256
