"""Presets and the linter on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qtquant_app.cli.main import main
from qtquant_app.core.recipe import Recipe
from qtquant_app.engine.presets import save_preset, user_folder
from tests.checkpoints import small_llama


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_presets_are_listed_as_formats_are(capsys: pytest.CaptureFixture[str]) -> None:
    save_preset("Mine", Recipe())
    (user_folder() / "spoilt.json").write_text("{")
    rows = {row["name"]: row for row in document(capsys, "presets")["presets"]}
    assert {"name", "title", "bits", "readers", "available", "reason", "recipe", "own"} <= set(rows["course"])
    assert rows["smallest"]["bits"] == [3, 4] and rows["course"]["format"] == "qtquant"
    assert rows["mine"]["own"] and not rows["spoilt"]["available"] and rows["spoilt"]["reason"]
    assert main(["presets"]) == 0
    text = capsys.readouterr().out
    assert "vLLM server, 4 bits" in text and "spoilt (not available:" in text


def test_a_preset_is_fitted_to_the_model_and_options_change_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    plan = document(capsys, "plan", "sample", "--preset", "smallest")
    assert [rule["pattern"] for rule in plan["rules"]] == ["model.layers.0.*", "model.layers.3.*", "*.down_proj"]
    changed = document(capsys, "plan", "sample", "--preset", "smallest", "--bits", "2", "--ignore", "*.o_proj")
    assert changed["recipe"]["default"]["bits"] == 2 and changed["recipe"]["default"]["method"] == "mse"
    assert changed["rules"][2] == plan["rules"][2]
    assert changed["recipe"]["ignore"] == ["*.o_proj"]
    assert document(capsys, "plan", "sample", "--preset", "course")["format"] == "qtquant"


def test_a_preview_shows_what_the_preset_gives_the_layer(capsys: pytest.CaptureFixture[str]) -> None:
    def bits(layer: str, *more: str) -> int:
        words = ("--layer", layer, "--preset", "smallest", *more)
        return int(document(capsys, "preview", "sample", *words)["scheme"]["bits"])

    assert bits("model.layers.1.mlp.down_proj") == 4
    assert bits("model.layers.1.mlp.up_proj") == 3
    assert bits("model.embed_tokens") == 3
    assert bits("model.layers.1.mlp.up_proj", "--bits", "6") == 6


def test_a_preset_quantizes_and_the_saved_recipe_does_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    made = document(capsys, "plan", "sample", "--preset", "vllm-4bit", "-o", str(tmp_path / "r.json"))
    one = document(capsys, "quantize", "sample", "-o", str(tmp_path / "a"), "--preset", "vllm-4bit")
    two = document(capsys, "quantize", "sample", "-o", str(tmp_path / "b"), "--recipe", str(tmp_path / "r.json"))
    assert one["output_bytes"] == made["output_bytes"] and one["sha256"] == two["sha256"]


def test_what_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "there is no preset 'none'" in refused(capsys, "plan", "sample", "--preset", "none")
    both = ("--preset", "course", "--recipe", "r.json")
    assert "--preset and --recipe are both whole recipes" in refused(capsys, "plan", "sample", *both)
    assert "there is no runtime 'ollama'" in refused(capsys, "plan", "sample", "--runtime", "ollama")
    model = str(small_llama(tmp_path / "m"))
    assert "group size 128 does not divide its 64 columns" in refused(capsys, "plan", model, "--preset", "vllm-4bit")


def test_a_plan_says_what_the_runtimes_have_against_it_and_keeps_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "sample", "--bits", "3", "--runtime", "vllm-cpu", "--runtime", "transformers-old")
    plan = document(capsys, *words)
    assert {"format", "output_bytes", "tensors", "rules", "warnings"} <= set(plan)
    assert {(f["runtime"], f["code"], f["severity"]) for f in plan["findings"]} == {
        ("vllm-cpu", "cpu-width", "refuses"),
        ("transformers-old", "old-widths", "refuses"),
    }
    assert all(len(f["tensors"]) == 28 and f["mend"]["default"]["bits"] == 4 for f in plan["findings"])
    assert main([*words, "--runtime", "vllm-cpu"]) == 0
    text = capsys.readouterr().out
    assert "refuses: vLLM on a CPU (0.32)" in text and "and 27 more" in text and "would help: give them 4 bits" in text


def test_a_plan_says_so_where_nothing_is_against_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert document(capsys, "plan", "sample")["findings"] == []
    assert main(["plan", "sample", "--runtime", "vllm", "--runtime", "transformers"]) == 0
    assert "nothing to say against vllm, transformers" in capsys.readouterr().out


def test_shares_of_several_devices_are_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("plan", "sample", "--runtime", "vllm", "--tensor-parallel")
    assert document(capsys, *words, "2")["findings"] == []
    assert [f["code"] for f in document(capsys, *words, "4")["findings"]] == ["rank-groups"]
    assert "0 ranks" in refused(capsys, *words, "0")


def test_a_preset_of_ones_own_is_kept_shown_used_and_removed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    recipe = document(capsys, "plan", "sample", "--bits", "3", "--ignore", "*.o_proj", "-o", str(tmp_path / "r.json"))
    words = ("--recipe", str(tmp_path / "r.json"), "--runtime", "vllm", "--runtime", "transformers")
    row = document(capsys, "presets", "--save", "My 3 bits", *words)
    assert row["name"] == "my-3-bits" and row["own"] and row["runtimes"] == ["vllm", "transformers"]
    assert document(capsys, "presets", "--show", "my-3-bits") == recipe["recipe"]
    assert document(capsys, "plan", "sample", "--preset", "my-3-bits")["recipe"] == recipe["recipe"]
    assert "there is a preset my-3-bits already" in refused(capsys, "presets", "--save", "My 3 bits", *words)
    document(capsys, "presets", "--save", "My 3 bits", *words, "--replace")
    assert document(capsys, "presets", "--delete", "my-3-bits") == {"deleted": "my-3-bits"}
    assert "there is no preset 'my-3-bits'" in refused(capsys, "presets", "--show", "my-3-bits")


def test_a_preset_is_shown_as_it_is_or_fitted_to_a_model(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    plain = document(capsys, "presets", "--show", "smallest")
    assert "{first}" in plain["rules"][0]["pattern"]
    fitted = document(capsys, "presets", "--show", "smallest", "--model", "sample")
    assert fitted["rules"][0]["pattern"] == "model.layers.0.*"
    assert main(["presets", "--show", "smallest", "--model", "sample"]) == 0
    (tmp_path / "r.json").write_text(capsys.readouterr().out)
    assert document(capsys, "plan", "sample", "--recipe", str(tmp_path / "r.json"))["recipe"] == fitted


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--save", "Mine"), "a preset needs a recipe"),
        (("--model", "sample"), "--model belongs to --show"),
        (("--recipe", "r.json"), "--recipe belongs to --save"),
        (("--show", "course", "--delete", "course"), "not allowed with"),
        (("--delete", "course"), "you have no preset 'course'"),
        (("--save", "Course", "--recipe", "sample.json"), "sample.json cannot be read"),
        (("--save", "Mine", "--recipe", "r.json", "--runtime", "ollama"), "there is no runtime 'ollama'"),
    ],
)
def test_presets_asked_for_wrongly_are_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    assert told in refused(capsys, "presets", *words)
