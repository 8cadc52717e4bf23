"""A result beside its original: the numbers of a direct computation with transformers, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from qtquant_app import load
from qtquant_app.cli.main import main
from qtquant_app.core.errors import EvaluateError, VerifyError
from qtquant_app.core.evaluation import Evaluation
from qtquant_app.core.events import TextRead
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.evaluate import evaluate
from qtquant_app.engine.language_model import open_language_model
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.text import BUILT_IN, read_text
from tests.checkpoints import small_llama
from tests.driving import finish, quantize, result

_, HELD_OUT = read_text(BUILT_IN).halves()
WINDOWS, SEQLEN = 3, 64


@pytest.fixture(scope="module")
def coarse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("evaluate") / "out"
    quantize("sample", out, parse_label("W3 g32 sym"))
    return out


def directly(original: torch.nn.Module, own: torch.nn.Module) -> tuple[float, float, float, float]:
    """Perplexity of both, KL divergence and agreement, by cross entropy and kl_div over all windows."""
    losses, own_losses, kls, same, count = 0.0, 0.0, 0.0, 0, 0
    for ids in open_language_model(open_checkpoint("sample")).windows(HELD_OUT, WINDOWS, SEQLEN):
        with torch.no_grad():
            before, after = original(ids[None]).logits[0, :-1].float(), own(ids[None]).logits[0, :-1].float()
        losses += float(torch.nn.functional.cross_entropy(before, ids[1:], reduction="sum"))
        own_losses += float(torch.nn.functional.cross_entropy(after, ids[1:], reduction="sum"))
        logs = torch.log_softmax(before, -1), torch.log_softmax(after, -1)
        kls += float(torch.nn.functional.kl_div(logs[1], logs[0], reduction="sum", log_target=True))
        same += int((before.argmax(-1) == after.argmax(-1)).sum())
        count += len(ids) - 1
    mean = [total / count for total in (losses, own_losses, kls, same)]
    return float(torch.tensor(mean[0]).exp()), float(torch.tensor(mean[1]).exp()), mean[2], mean[3]


def evaluated(folder: Path, **words: object) -> Evaluation:
    return result(evaluate(folder, "sample", windows=WINDOWS, seqlen=SEQLEN, device="cpu", **words))  # type: ignore[arg-type]


def transformers_reads(folder: Path | str) -> torch.nn.Module:
    model: torch.nn.Module = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


@pytest.fixture(scope="module")
def direct(coarse: Path) -> tuple[float, float, float, float]:
    return directly(transformers_reads(open_checkpoint("sample").root), transformers_reads(coarse))


@pytest.mark.parametrize("streamed", [False, True])
def test_the_numbers_are_those_of_a_direct_computation_with_transformers_in_both_ways(
    streamed: bool, coarse: Path, direct: tuple[float, float, float, float]
) -> None:
    base, own, kl, agreement = direct
    found = evaluated(coarse, streamed=streamed)
    assert found.streamed is streamed
    assert found.base_perplexity == pytest.approx(base, rel=2e-5)
    assert found.perplexity == pytest.approx(own, rel=2e-5)
    assert found.kl == pytest.approx(kl, rel=5e-5)
    assert found.top1_agreement == pytest.approx(agreement, abs=1e-9)
    assert found.tokens == WINDOWS * (SEQLEN - 1)
    assert found.kl_p99 is not None and found.kl < found.kl_p99
    assert found.kl_interval is not None and found.kl_interval > 0
    assert found.activations == "none"
    assert [output.name for output in found.outputs] == ["logits"]


@pytest.mark.parametrize(("label", "activations"), [("W8 ch sym A8", "int8"), ("FP8 ch A8", "fp8")])
def test_activations_of_8_bits_are_rounded_as_the_loaded_layers_round_them(
    label: str, activations: str, tmp_path: Path
) -> None:
    quantize("sample", tmp_path / "out", parse_label(label), format="qtquant")
    original = transformers_reads(open_checkpoint("sample").root)
    _, own, kl, _ = directly(original, load(tmp_path / "out", dtype="float32"))
    for streamed in (False, True):
        found = evaluated(tmp_path / "out", streamed=streamed)
        assert found.activations == activations
        assert found.perplexity == pytest.approx(own, rel=5e-4)
        assert found.kl == pytest.approx(kl, rel=2e-2)


def test_both_formats_evaluate_alike(tmp_path: Path, coarse: Path) -> None:
    scheme = parse_label("W4 g32 sym")
    quantize("sample", tmp_path / "one", scheme)
    quantize("sample", tmp_path / "two", scheme, format="qtquant")
    one, two, three = evaluated(tmp_path / "one").kl, evaluated(tmp_path / "two").kl, evaluated(coarse).kl
    assert one is not None and three is not None
    assert one == pytest.approx(two, rel=1e-6)
    assert one < three


def test_progress_counts_the_tokens_that_were_read(coarse: Path) -> None:
    for streamed in (False, True):
        events, _ = finish(evaluate(coarse, "sample", windows=WINDOWS, seqlen=SEQLEN, device="cpu", streamed=streamed))
        read = [event for event in events if isinstance(event, TextRead)]
        assert read[-1] == TextRead(192, 192)
        assert {event.total for event in read} == {192}
        assert [event.done for event in read] == sorted(event.done for event in read)


def test_text_of_the_users_is_read(coarse: Path, tmp_path: Path) -> None:
    file = tmp_path / "prose.txt"
    file.write_text(HELD_OUT.content[:4000])
    found = evaluated(coarse, text=str(file))
    assert "prose.txt" in found.text
    assert found.tokens < WINDOWS * (SEQLEN - 1) + 1


def test_another_base_is_refused_by_the_tensor_that_differs(coarse: Path, tmp_path: Path) -> None:
    other = small_llama(tmp_path / "other")
    with pytest.raises(VerifyError, match="is not what this was made from"):
        result(evaluate(coarse, other, device="cpu"))


def test_a_folder_that_is_no_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match=r"no qtquant\.json"):
        result(evaluate(tmp_path, "sample", device="cpu"))


def test_predictions_that_are_not_numbers_are_named_and_not_averaged(coarse: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(coarse, broken)
    file = next(broken.glob("*.safetensors"))
    tensors = load_file(file)
    name = next(name for name in sorted(tensors) if name.endswith("weight_scale"))
    tensors[name][0, 0] = float("inf")
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises((EvaluateError, VerifyError)):
        evaluated(broken)


def test_the_command_prints_the_keys_that_stay(coarse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", str(coarse), "--base", "sample", "--windows", "2", "--seqlen", "32", "--device", "cpu"]
    assert main([*words, "--json", "--no-record"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["base"]["perplexity"] < found["quantized"]["perplexity"]
    assert found["kl"] > 0
    assert 0 < found["top1_agreement"] <= 1
    assert found["tokens"] == 62
    assert main(words) == 0
    assert "KL divergence" in capsys.readouterr().out


def test_windows_that_predict_nothing_are_refused(coarse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(coarse), "--base", "sample", "--seqlen", "1"]) == 2
    assert "predict nothing" in capsys.readouterr().err
