"""Runs on stacked experts: everything is quantized, predicted to the byte and verified; what is kept whole is kept as it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from qtquant_app.core.coverage import linear_coverage
from qtquant_app.core.events import TensorDone
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.report import RunReport
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.preview import preview
from qtquant_app.engine.quantize import run
from qtquant_app.engine.scan import scan
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import verify
from tests.checkpoints import write_checkpoint
from tests.driving import result
from tests.stacked_experts import KINDS, stacked_tensors, write_stacked

W4 = Scheme(4, group_size=32)


def carried_out(source: Path, output: Path, recipe: Recipe) -> tuple[Plan, RunReport]:
    plan = make_plan(open_checkpoint(source), recipe, output=output, device="cpu")
    return plan, result(run(plan, RunOptions(str(output))))


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("format", ["compressed-tensors", "qtquant"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_expert_is_quantized_as_if_it_had_been_stored_on_its_own(kind: str, format: str, tmp_path: Path) -> None:
    source, matrices = write_stacked(tmp_path / "stacked", kind, shards=2)
    plan, report = carried_out(source, tmp_path / "out", Recipe(W4, format=format))
    assert report.coverage.parameters_quantized_percent == 100 and report.verified
    assert (report.output_bytes == plan.output_bytes and not plan.warnings) or format != "qtquant"
    assert result(verify(tmp_path / "out", source)).ok
    alone, _ = stacked_tensors(KINDS[kind])
    alone = {name: tensor for name, tensor in alone.items() if tensor.ndim < 3} | {
        n: m.clone() for n, m in matrices.items()
    }
    carried_out(write_checkpoint(tmp_path / "alone", alone), tmp_path / "same", Recipe(W4, format=format))
    ours, same = stored(tmp_path / "out"), stored(tmp_path / "same")
    assert ours.keys() == same.keys() and all(torch.equal(ours[name], same[name]) for name in ours)


@pytest.mark.parametrize("kind", KINDS)
def test_stacks_of_which_nothing_is_quantized_stay_as_they_are(kind: str, tmp_path: Path) -> None:
    source, matrices = write_stacked(tmp_path / "stacked", kind)
    recipe = Recipe(W4, (), ("*experts*",))
    plan, report = carried_out(source, tmp_path / "out", recipe)
    original, written = stored(source), stored(tmp_path / "out")
    whole = {name for name, tensor in original.items() if tensor.ndim == 3}
    assert all(torch.equal(written[name], original[name]) for name in whole) and len(whole) == 4
    assert not any(name in written for name in matrices)
    kept = {tensor.name: tensor for tensor in plan.tensors if tensor.name in whole}
    assert kept.keys() == whole and all(t.reason == "ignored by *experts*" for t in kept.values())
    assert report.coverage.low and "low-coverage" in {warning.code for warning in plan.warnings}
    ignored = json.loads(plan.texts["config.json"])["quantization_config"]["ignore"]
    assert set(ignored) >= {name.removesuffix(".weight") for name in matrices}
    assert result(verify(tmp_path / "out", source)).ok


@pytest.mark.parametrize("kind", KINDS)
def test_one_quantized_expert_has_all_of_its_stack_written_one_by_one(kind: str, tmp_path: Path) -> None:
    source, matrices = write_stacked(tmp_path / "stacked", kind)
    chosen = KINDS[kind]
    one = f"*.0.{chosen.prefix}.1.{chosen.leaves[0]}"
    carried_out(source, tmp_path / "mixed", Recipe(W4, (Rule(one, W4), Rule("*experts*", "keep"))))
    written, original = stored(tmp_path / "mixed"), stored(source)
    halves = [
        name for name in matrices if ".0." + chosen.prefix in name and name.endswith((*_weights(chosen.leaves[:2]),))
    ]
    packed = next(name for name in halves if f".1.{chosen.leaves[0]}." in name)
    assert packed not in written and f"{packed.removesuffix('weight')}weight_packed" in written
    assert all(torch.equal(written[name], matrices[name]) for name in halves if name != packed)
    others = [name for name, tensor in original.items() if tensor.ndim == 3 and name in written]
    assert len(others) == 3 and all(torch.equal(written[name], original[name]) for name in others)
    assert result(verify(tmp_path / "mixed", source)).ok


def _weights(leaves: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f".{leaf}.weight" for leaf in leaves)


def test_a_run_that_stopped_among_the_experts_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    source, _ = write_stacked(tmp_path / "stacked", "gpt-oss")
    _, whole = carried_out(source, tmp_path / "whole", Recipe(W4))
    plan = make_plan(open_checkpoint(source), Recipe(W4), device="cpu")
    events = run(plan, RunOptions(str(tmp_path / "out")))
    done = 0
    for event in events:
        done += isinstance(event, TensorDone)
        if done == 9:
            break
    events.close()
    report = result(run(plan, RunOptions(str(tmp_path / "out"), resume=True)))
    assert report.sha256 == whole.sha256


@pytest.mark.parametrize("kind", ["granite", "gpt-oss"])
def test_the_inspector_sees_what_the_run_writes(kind: str, tmp_path: Path) -> None:
    source, matrices = write_stacked(tmp_path / "stacked", kind)
    _, report = carried_out(source, tmp_path / "out", Recipe(W4))
    checkpoint = open_checkpoint(source)
    scanned = result(scan(checkpoint, (W4,), device="cpu", cache=tmp_path / "cache"))
    again = result(scan(checkpoint, (W4,), device="cpu", cache=tmp_path / "cache"))
    written = {tensor.name: tensor.errors.square_error for tensor in report.tensors}
    for name in matrices:
        looked, known = (next(t for t in found.tensors if t.name == name).report(W4) for found in (scanned, again))
        assert looked is not None and known is not None
        assert looked.errors.square_error == pytest.approx(written[name], rel=1e-9)
        assert known.errors.square_error == looked.errors.square_error
    name = sorted(matrices)[4]
    seen = result(preview(checkpoint, name, W4, format="compressed-tensors", device="cpu"))
    assert seen.errors.square_error == pytest.approx(written[name], rel=1e-9)


def test_three_dimensional_experts_count_whatever_they_are_called(tmp_path: Path) -> None:
    stored_tensors, _ = stacked_tensors(KINDS["granite"])
    named = {name.replace("block_sparse_moe", "mixture"): tensor for name, tensor in stored_tensors.items()}
    config = {"model_type": "unheard_of", "hidden_size": 64, "num_local_experts": 3, "architectures": ["X"]}
    checkpoint = open_checkpoint(write_checkpoint(tmp_path, named, config))
    plan = make_plan(checkpoint, Recipe(W4), device="cpu")
    total = sum(t.parameters for t in checkpoint.tensors if t.kind in ("linear", "expert"))
    experts = sum(tensor.numel() for tensor in named.values() if tensor.ndim == 3)
    assert linear_coverage(plan.tensors) == pytest.approx(100 * (1 - experts / total)) and experts > total / 2
    text = next(warning.text for warning in plan.warnings if warning.code == "low-coverage")
    assert "not known here" in text
