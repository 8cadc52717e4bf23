"""Runs under floating-point schemes: predicted to the byte, verified, resumed, and the same as their previews."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from qtquant_app.core.errors import PlanError, UsageError
from qtquant_app.core.plan import RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.core.view import View, Window
from qtquant_app.engine.explain import explain
from qtquant_app.engine.look import look
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.preview import preview
from qtquant_app.engine.quantize import run
from qtquant_app.engine.remedies import remedies
from qtquant_app.engine.scan import scan
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.sparing import SparingBackend
from qtquant_app.engine.verify import verify
from qtquant_app.quant.kernels.cpu import CpuBackend
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint
from tests.driving import plan_for, quantize, result, weight_bytes
from tests.unit.engine.test_device_memory_short import SmallDevice
from tests.unit.quant.cases import gaussian, same_errors

LABELS = ("FP8 tensor", "FP8 ch", "FP8 ch mse", "FP8 128x128", "FP8 128x128 A8", "NVFP4", "NVFP4 mse", "MXFP4")
GATE = "model.layers.0.mlp.gate_proj"


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_llama(tmp_path_factory.mktemp("m") / "llama")


@pytest.fixture(scope="module")
def tall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One weight of 5000 rows: several chunks, and blocks that do not end where it does."""
    tensors = {**llama_tensors(1), "model.layers.0.mlp.gate_proj.weight": torch.randn(5000, 1000).bfloat16() * 0.05}
    return write_checkpoint(tmp_path_factory.mktemp("m") / "tall", tensors)


@pytest.mark.parametrize("label", LABELS)
def test_a_run_writes_what_was_planned_and_what_it_reported(label: str, llama: Path, tmp_path: Path) -> None:
    scheme = parse_label(label)
    plan = plan_for(llama, scheme)
    report = quantize(llama, tmp_path / "out", scheme)
    assert report.verified and report.output_bytes == plan.output_bytes
    assert not result(verify(tmp_path / "out", llama)).mismatches


@pytest.mark.parametrize("label", ["FP8 tensor", "FP8 128x128", "NVFP4", "MXFP4"])
def test_a_run_that_was_stopped_goes_on_and_ends_in_the_same_bytes(label: str, llama: Path, tmp_path: Path) -> None:
    plan = plan_for(llama, parse_label(label))
    quantize(llama, tmp_path / "whole", parse_label(label))
    events = run(plan, RunOptions(str(tmp_path / "out")))
    for _ in range(20):
        next(events)
    events.close()
    result(run(plan, RunOptions(str(tmp_path / "out"), resume=True)))
    whole, resumed = weight_bytes(tmp_path / "whole"), weight_bytes(tmp_path / "out")
    assert whole["model.safetensors"] == resumed["model.safetensors"]


def test_chunks_of_any_size_give_the_same_bytes(tall: Path, tmp_path: Path) -> None:
    recipe = Recipe(parse_label("FP8 ch"), (Rule("*gate_proj", parse_label("FP8 128x128")),))
    made = []
    for name, memory in (("one", None), ("two", 1_500_000_000)):
        plan = make_plan(open_checkpoint(tall), recipe, device="cpu", max_memory=memory)
        result(run(plan, RunOptions(str(tmp_path / name))))
        made.append(weight_bytes(tmp_path / name)["model.safetensors"])
    assert made[0] == made[1]
    scale = load_file(tmp_path / "one" / "model.safetensors")[f"{GATE}.weight_scale"]
    assert scale.shape == (40, 8)


@pytest.mark.parametrize("label", ["FP8 ch", "FP8 128x128", "NVFP4", "MXFP4 mse"])
def test_a_preview_shows_what_a_run_writes(label: str, tall: Path, tmp_path: Path) -> None:
    source = open_checkpoint(tall)
    name = "model.layers.0.self_attn.q_proj" if label in ("NVFP4", "MXFP4 mse") else GATE
    recipe = Recipe(parse_label(label), (), () if name == GATE else ("*gate_proj", "*up_proj"))
    report = result(run(make_plan(source, recipe, device="cpu"), RunOptions(str(tmp_path / "out"))))
    shown = result(preview(source, name, parse_label(label), device="cpu"))
    written = next(tensor for tensor in report.tensors if tensor.name == f"{name}.weight")
    assert shown.errors == written.errors and shown.bytes == written.bytes
    assert len(shown.levels) == (253 if "FP8" in label else 15) and (np.diff(shown.levels) > 0).all()


def test_weights_that_a_reader_fuses_share_their_global_scale(llama: Path, tmp_path: Path) -> None:
    quantize(llama, tmp_path / "out", parse_label("NVFP4"))
    weights, made = load_file(llama / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    attention, rest = "model.layers.1.self_attn", f"{GATE.rpartition('.')[0]}"
    for names in (
        [f"{attention}.{n}_proj" for n in "qkv"],
        [f"{rest}.gate_proj", f"{rest}.up_proj"],
        [f"{rest}.down_proj"],
    ):
        largest = max(weights[f"{name}.weight"].abs().max().item() for name in names)
        for name in names:
            assert made[f"{name}.weight_global_scale"].item() == np.float32(2688) / np.float32(largest)


def test_only_weights_of_the_same_codes_count_for_the_global_scale(llama: Path, tmp_path: Path) -> None:
    recipe = Recipe(parse_label("NVFP4"), (Rule("*.q_proj", parse_label("FP8 ch")),))
    result(run(make_plan(open_checkpoint(llama), recipe, device="cpu"), RunOptions(str(tmp_path / "out"))))
    weights, made = load_file(llama / "model.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    both = [f"model.layers.0.self_attn.{name}_proj" for name in "kv"]
    largest = max(weights[f"{name}.weight"].abs().max().item() for name in both)
    assert made[f"{both[0]}.weight_global_scale"].item() == np.float32(2688) / np.float32(largest)


@pytest.mark.parametrize("label", ["FP8 tensor", "FP8 128x128", "NVFP4"])
def test_a_window_of_rows_in_any_order_shows_the_whole_maps_errors(label: str, tall: Path) -> None:
    source, scheme = open_checkpoint(tall), parse_label(label)
    name = GATE if label != "NVFP4" else "model.layers.0.self_attn.q_proj"
    known = result(preview(source, name, scheme, device="cpu"))
    window = Window(View.ABSOLUTE, 3, 40, 0, known.shape[1], sort_rows=True)
    picture = result(look(source, name, scheme, window, known, device="cpu"))
    assert np.array_equal(picture.extreme.max(axis=1), known.channel_max_error[picture.rows])


@pytest.mark.parametrize("view", [view for view in View if view is not View.ZERO])
def test_every_view_but_the_zero_points_can_be_drawn(view: View, llama: Path) -> None:
    source = open_checkpoint(llama)
    for label in ("FP8 tensor", "FP8 128x128", "NVFP4", "MXFP4"):
        picture = result(preview(source, GATE, parse_label(label), view=view, device="cpu")).picture
        assert picture.extreme.shape == (128, 64) and np.isfinite(picture.extreme).all()
        if view is View.SCALE:
            assert (picture.extreme > 0).all()
        if view is View.SATURATION:
            assert set(np.unique(picture.extreme)) <= {0, 1}


def test_what_a_floating_point_scheme_has_not_is_said_in_a_sentence(llama: Path) -> None:
    source, scheme = open_checkpoint(llama), parse_label("MXFP4")
    with pytest.raises(UsageError, match="MXFP4 has no zero point"):
        result(preview(source, GATE, scheme, view=View.ZERO, device="cpu"))
    with pytest.raises(UsageError, match="plain integer codes only, not under MXFP4"):
        result(explain(source, GATE, scheme, (0, 1), (0, 1)))


def test_a_group_that_does_not_divide_the_columns_is_refused_with_another_width(tmp_path: Path) -> None:
    tensors = {**llama_tensors(1), "model.layers.0.mlp.gate_proj.weight": torch.randn(64, 40).bfloat16()}
    source = write_checkpoint(tmp_path / "odd", tensors)
    with pytest.raises(PlanError, match="does not divide its 40 columns") as caught:
        plan_for(source, parse_label("NVFP4"))
    assert "--type float --bits 8" in caught.value.hint
    with pytest.raises(PlanError, match="qtquant format"):
        plan_for(source, parse_label("MXFP4"), format="qtquant")


def test_a_scan_measures_floating_point_schemes_as_a_run_does(tall: Path, tmp_path: Path) -> None:
    scheme = parse_label("FP8 128x128")
    found = result(scan(open_checkpoint(tall), [scheme, parse_label("FP8 ch")], device="cpu", cache=False))
    report = quantize(tall, tmp_path / "out", scheme)
    measured = {row.name: row.report(scheme) for row in found.tensors}
    assert report.tensors
    for tensor in report.tensors:
        row = measured[tensor.name]
        assert row is not None and row.errors == tensor.errors


@pytest.mark.parametrize("label", ["FP8 128x128", "NVFP4", "FP8 tensor"])
@pytest.mark.parametrize("rows", [1, 128, 200])
def test_a_device_with_room_for_some_rows_gives_the_same_codes(label: str, rows: int) -> None:
    scheme, raw = parse_label(label), gaussian("BF16", 300, 256)
    small = SmallDevice(rows * 256)
    sparing = SparingBackend(small, CpuBackend())
    made, expected = sparing.quantize(raw, "BF16", scheme, 4), CpuBackend().quantize(raw, "BF16", scheme, 4)
    assert made.packed.tobytes() == expected.packed.tobytes() and made.scale.tobytes() == expected.scale.tobytes()
    assert same_errors(sparing.compare(raw, "BF16", made, scheme), expected.errors)
    restored = CpuBackend().dequantize(expected, "BF16", scheme, 256)
    assert np.array_equal(sparing.dequantize(made, "BF16", scheme, 256), restored)


def test_remedies_of_a_floating_point_scheme_are_finer_groups_wider_codes_and_a_search(llama: Path) -> None:
    found = result(remedies(open_checkpoint(llama), GATE, parse_label("MXFP4"), device="cpu"))
    labels = {remedy.scheme.label for remedy in found if isinstance(remedy.scheme, Scheme)}
    assert {"NVFP4", "FP8 ch", "MXFP4 mse"} <= labels
    assert len(result(remedies(open_checkpoint(llama), GATE, parse_label("FP8 128x128"), device="cpu"))) == 2
