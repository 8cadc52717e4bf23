"""`qtquant plan` with a budget."""

from __future__ import annotations

import json
from pathlib import Path

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
    assert mix["target"] == {"bytes": 100_000, "bits_per_weight": None}
    assert {point["label"] for point in mix["uniform"]} == {"W2 g32 asym", "W4 g64 sym", "W8 ch sym"}
    assert main(["plan", source, "--recipe", saved, "--device", "cpu", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert {key: document[key] for key in again if key != "findings"} == {
        key: again[key] for key in again if key != "findings"
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
    ],
)
def test_words_that_make_no_budget_are_refused(
    capsys: pytest.CaptureFixture[str], source: str, words: list[str], says: str
) -> None:
    assert main(["plan", source, "--device", "cpu", *words]) == 2
    assert says in capsys.readouterr().err
