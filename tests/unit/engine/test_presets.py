"""The presets there are: each does what it says on the sample model, and the user's own are kept whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.core.calibration import Calibration
from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.fitting import fitted
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.runtimes import RUNTIMES, Severity
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.lint import lint
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.presets import delete_preset, find, presets, save_preset, user_folder
from qtquant_app.engine.quantize import run
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import result

SHIPPED = [entry.name for entry in presets() if entry.preset and not entry.preset.own]
EDGES = 0.25
"""Bits per weight that the sample model's few and small layers may add to what is typical."""


def planned(name: str) -> Plan:
    checkpoint = open_checkpoint("sample")
    few = Calibration(samples=4, length=64, own=0)
    return make_plan(checkpoint, fitted(find(name).recipe, checkpoint), device="cpu", calibration=few)


def test_there_are_some_for_servers_for_quality_for_size_and_for_the_course() -> None:
    assert {"vllm-4bit", "vllm-w8a8", "vllm-4bit-quality", "near-original", "smallest", "course"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_preset_says_for_whom_it_is_what_it_costs_and_who_loads_it(name: str) -> None:
    preset = find(name)
    assert preset.title and preset.audience.endswith(".") and preset.cost.endswith(".")
    assert preset.runtimes and set(preset.runtimes) <= {runtime.name for runtime in RUNTIMES}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_preset_runs_on_the_sample_model_and_takes_the_bits_it_says(name: str, tmp_path: Path) -> None:
    plan = planned(name)
    report = result(run(plan, RunOptions(str(tmp_path / "out"))))
    assert report.verified
    typical = find(name).bits_per_weight
    if name == "BF16":
        assert report.bits_per_weight == 0  # the sample's weights are bfloat16: they are kept
        return
    assert typical is not None and typical - 0.01 <= report.bits_per_weight <= typical + EDGES + 0.1 * (
        len(plan.rules) > 0
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_none_of_its_runtimes_refuses_a_preset(name: str) -> None:
    found = lint(planned(name), open_checkpoint("sample"), find(name).runtimes)
    assert not [finding for finding in found if finding.severity in (Severity.REFUSES, Severity.WRONG)]


def test_a_group_that_does_not_divide_the_width_is_refused_with_one_that_does(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(small_llama(tmp_path / "m"))
    with pytest.raises(PlanError) as caught:
        make_plan(checkpoint, fitted(find("vllm-4bit").recipe, checkpoint), device="cpu")
    assert "group size 128 does not divide its 64 columns" in caught.value.message
    assert "--group-size 64" in caught.value.hint


def test_a_preset_of_ones_own_is_kept_listed_replaced_and_deleted() -> None:
    recipe = Recipe(Scheme(5, group_size=32), (Rule("*.down_proj", "keep"),))
    saved = save_preset("My  server!", recipe)
    assert find("my-server") == saved and saved.own and saved.recipe == recipe
    assert presets()[-1].to_json()["own"] is True
    with pytest.raises(UsageError) as caught:
        save_preset("my server", Recipe())
    assert caught.value.code == "preset-exists"
    save_preset("my server", Recipe(), replace=True)
    assert find("my-server").recipe == Recipe()
    assert [file.name for file in user_folder().iterdir()] == ["my-server.json"]
    delete_preset("my-server")
    assert [entry.name for entry in presets()] == SHIPPED
    with pytest.raises(UsageError):
        delete_preset("my-server")


def test_the_programs_own_presets_are_neither_replaced_nor_deleted() -> None:
    with pytest.raises(UsageError) as caught:
        save_preset("course", Recipe(), replace=True)
    assert caught.value.code == "preset-taken"
    with pytest.raises(UsageError):
        delete_preset("course")


def test_a_spoilt_file_is_listed_with_its_fault_and_spoils_no_other(tmp_path: Path) -> None:
    save_preset("good", Recipe())
    folder = user_folder()
    good = json.loads((folder / "good.json").read_text())
    (folder / "half.json").write_text("{")
    (folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (folder / "other.json").write_text(json.dumps(good))
    (folder / "newer.json").write_text(json.dumps({**good, "name": "newer", "recipe": {"format": "stone"}}))
    (folder / "course.json").write_text(json.dumps({**good, "name": "course"}))
    found = {entry.name: entry.reason for entry in presets()}
    assert found["good"] == "" and found["course"] == ""
    assert "half.json" in found["half"] and "bytes.json" in found["bytes"]
    assert found["other"] == "other.json holds a preset called 'good'"
    assert "stone" in found["newer"]
    with pytest.raises(UsageError) as caught:
        find("newer")
    assert "stone" in caught.value.message
    rows = {row["name"]: row for row in (entry.to_json() for entry in presets())}
    assert rows["half"]["available"] is False and rows["half"]["reason"]
    delete_preset("half")


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError) as caught:
        find("nobody")
    assert "vllm-4bit" in caught.value.hint
