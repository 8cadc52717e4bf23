"""`qtquant plan` with a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qtquant_app.cli.main import main
from tests.checkpoints import small_llama

ALLOW = ("--allow", "W2 g32 asym", "--allow", "W4 g64 sym", "--allow", "W8 ch sym", "--device", "cpu")


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(small_llama(tmp_path / "m"))


def test_a_budget_and_the_recipe_it_saves_give_the_same_plan(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path
) -> None:
    saved = str(tmp_path / "mix.json")
    assert main(["plan", source, "--target-size", "100kB", *ALLOW, "-o", saved, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    mix = document["budget"]
    assert mix["output_bytes"] == document["output_bytes"] <= 100_000
    assert {key: value for key, value in mix["target"].items() if value is not None} == {"bytes": 100_000}
    assert {point["label"] for point in mix["uniform"]} == {"W2 g32 asym", "W4 g64 sym", "W8 ch sym"}
    assert main(["plan", source, "--recipe", saved, "--device", "cpu", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    apart = {"findings", "peak_ram_bytes", "seconds_estimate"}  # what is not the plan's, or depends on this process
    assert {key: document[key] for key in again if key not in apart} == {
        key: again[key] for key in again if key not in apart
    }


def test_bits_per_weight_are_a_target_too(capsys: pytest.CaptureFixture[str], source: str) -> None:
    assert main(["plan", source, "--target-bpw", "4.5", *ALLOW, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bits_per_weight"] <= 4.5


def test_explain_gives_a_reason_for_every_tensor(capsys: pytest.CaptureFixture[str], source: str) -> None:
    assert main(["plan", source, "--target-bpw", "4.5", *ALLOW, "--keep", "*.0.mlp.down_proj", "--explain"]) == 0
    out = capsys.readouterr().out
    assert "would save" in out and "would take" in out
    assert "ignored by *.0.mlp.down_proj" in out and "one scheme for all" in out


def test_what_does_not_fit_is_refused_with_the_smallest_size(capsys: pytest.CaptureFixture[str], source: str) -> None:
    assert main(["plan", source, "--target-size", "20kB", *ALLOW]) == 2
    error = capsys.readouterr().err
    assert "does not fit into 20.0 kB" in error and "the smallest that is allowed is" in error and "hint:" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--explain"], "--explain belongs to a budget"),
        (["--allow", "W4 g64 sym"], "--allow belongs to a budget"),
        (["--target-bpw", "4", "--bits", "3"], "--bits and a budget contradict"),
        (["--target-bpw", "4", "--target-size", "1MB"], "not allowed with"),
        (["--target-bpw", "nan"], "no budget"),
        (["--target-bpw", "4", "--allow", "four bits"], "not a scheme"),
        (["--target-bpw", "4", "--keep", "*.up_prj"], "up_prj"),
        (["--context", "4096"], "--context belongs to --target-memory"),
        (["--target-bpw", "4", "--kv-bits", "8"], "--kv-bits belongs to --target-memory"),
        (["--target-memory", "8GB", "--target-size", "1MB"], "not allowed with"),
        (["--target-memory", "8GB", "--context", "0"], "positive whole numbers"),
        (["--target-quality", "good"], "not a scheme"),
        (["--target-quality", "-1"], "no budget"),
        (["--target-quality", "W4 g128 sym"], "it does not fit model.layers.0"),
        (["--target-quality", "W4 g64 sym", "--bits", "3"], "--bits and a budget contradict"),
    ],
)
def test_words_that_make_no_budget_are_refused(
    capsys: pytest.CaptureFixture[str], source: str, words: list[str], says: str
) -> None:
    assert main(["plan", source, "--device", "cpu", *words]) == 2
    assert says in capsys.readouterr().err


def test_a_card_is_a_target_and_its_parts_are_shown(capsys: pytest.CaptureFixture[str], source: str) -> None:
    words = [
        "plan",
        source,
        "--target-memory",
        "500.4MB",
        "--context",
        "64",
        "--sequences",
        "2",
        "--kv-bits",
        "8",
        *ALLOW,
    ]
    assert main([*words, "--json"]) == 0
    mix = json.loads(capsys.readouterr().out)["budget"]
    assert mix["target"]["memory"] == {"bytes": 500_400_000, "context": 64, "sequences": 2, "kv_bits": 8}
    use = mix["memory"]
    assert use["weights"] + use["cache"] + use["overhead"] == use["total"] <= use["limit"] == 500_400_000
    assert use["certain"] and use["cache"] == 2 * 2 * 2 * 16 * 64 * 2 * 17 // 16
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "500 MB of memory with 64 tokens of context for each of 2 sequences" in out
    assert (
        "weights" in out and "overhead: 500 MB for the runtime itself" in out and "2 layers with keys and values" in out
    )


def test_a_quality_is_a_target_by_a_scheme_or_a_number(capsys: pytest.CaptureFixture[str], source: str) -> None:
    def mix(quality: str) -> dict[str, Any]:
        assert main(["plan", source, "--target-quality", quality, *ALLOW, "--json"]) == 0
        found: dict[str, Any] = json.loads(capsys.readouterr().out)["budget"]
        return found

    found = mix("W3 g32 asym")
    assert found["target"]["like"]["bits"] == 3
    assert "W3 g32 asym" not in {one["choice"] for one in found["assignments"]}
    again = mix(str(found["error"] * 1.000001))
    assert again["assignments"] == found["assignments"]


def test_a_mix_for_a_reader_is_chosen_from_what_it_reads(capsys: pytest.CaptureFixture[str], source: str) -> None:
    assert main(["plan", source, "--target-bpw", "4.0", "--runtime", "transformers", "--device", "cpu", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {finding["severity"] for finding in document["findings"]} <= {"needs", "note"}
    assert all(one["scheme"] == "keep" or one["scheme"]["symmetric"] for one in document["budget"]["assignments"])
