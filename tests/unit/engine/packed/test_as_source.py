"""A quantized checkpoint is a source like any other: it is looked at, planned, quantized again, and decoded to float files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qtquant_app.core.errors import PlanError, RuleError
from qtquant_app.core.plan import Plan, RunOptions
from qtquant_app.core.recipe import Recipe, Rule
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.explain import explain
from qtquant_app.engine.inspect import describe
from qtquant_app.engine.planner import make_plan
from qtquant_app.engine.preview import preview
from qtquant_app.engine.quantize import run
from qtquant_app.engine.scan import scan
from qtquant_app.engine.source import open_checkpoint
from qtquant_app.engine.verify import verify
from tests.checkpoints import small_llama
from tests.driving import quantize, result, weight_bytes
from tests.unit.engine.packed.reading import decoded

Q = "model.layers.0.self_attn.q_proj.weight"
FLOAT = Recipe(format="safetensors")


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    quantize(
        small_llama(tmp_path / "base", shards=2), tmp_path / "packed", Scheme(bits=4, group_size=32, symmetric=False)
    )
    return tmp_path / "packed"


def planned(source: Path, recipe: Recipe) -> Plan:
    return make_plan(open_checkpoint(source), recipe, device="cpu")


def test_inspect_says_what_the_weights_are_and_what_they_take(packed: Path) -> None:
    found = describe(open_checkpoint(packed))
    (row,) = [tensor for tensor in found["tensors"] if tensor["name"] == Q]
    assert (row["dtype"], row["shape"], row["bytes"], row["quantizable"]) == ("BF16", [64, 64], 8192, True)
    assert row["packed"] == "pack-quantized W4 g32 asym" and row["stored_bytes"] < row["bytes"] / 3
    assert found["quantized_by"] == "compressed-tensors" and found["stored_bytes"] < found["bytes"]


def test_a_preview_and_a_scan_see_the_decoded_weights(packed: Path) -> None:
    source = open_checkpoint(packed)
    again = result(preview(source, Q, Scheme(bits=4, group_size=32, symmetric=False, method="rtn"), device="cpu"))
    # The codes that are there come back, but for what rounding the weights to bfloat16 moves.
    assert again.errors.relative_error < 0.03
    scans = result(scan(source, (Scheme(bits=4, group_size=32),), device="cpu"))
    assert {tensor.name for tensor in scans.tensors} == {tensor.name for tensor in source.tensors}
    by_name = {tensor.name: tensor.stats for tensor in scans.tensors}
    assert by_name[Q].maximum == float(decoded(source, Q).max())
    k, v = (by_name[f"model.layers.0.self_attn.{leaf}_proj.weight"] for leaf in "kv")
    assert k != v  # tensors of one shape in one file are told apart
    again = result(scan(source, (Scheme(bits=4, group_size=32),), device="cpu"))
    assert again.tensors == scans.tensors


def test_one_weight_is_explained_from_its_decoded_value(packed: Path) -> None:
    source = open_checkpoint(packed)
    found = result(explain(source, Q, Scheme(bits=8, group_size=32), (3, 4), (40, 41), device="cpu"))
    assert found.weight == found.stored.value == float(decoded(source, Q)[3, 40])


def test_quantizing_again_warns_that_errors_add_up_and_verifies(packed: Path, tmp_path: Path) -> None:
    plan = planned(packed, Recipe(Scheme(bits=8, group_size=32)))
    assert [w.text for w in plan.warnings if w.code == "already-quantized"] == [
        f"{packed} is already quantized, compressed-tensors: errors add up"
    ]
    report = result(run(plan, RunOptions(str(tmp_path / "again"))))
    assert report.verified and report.output_bytes == plan.output_bytes
    assert json.loads((tmp_path / "again" / "config.json").read_text())["quantization_config"]["quant_method"]
    assert result(verify(tmp_path / "again", packed)).ok


def test_float_files_hold_what_the_reader_decodes_and_their_bytes_were_foretold(packed: Path, tmp_path: Path) -> None:
    plan = planned(packed, FLOAT)
    report = result(run(plan, RunOptions(str(tmp_path / "float"))))
    assert report.verified and report.output_bytes == plan.output_bytes and report.tensors == ()
    assert not {"already-quantized", "low-coverage"} & {warning.code for warning in plan.warnings}
    source, back = open_checkpoint(packed), open_checkpoint(tmp_path / "float")
    assert back.packed_by == "" and "quantization_config" not in back.config and len(back.weight_files) == 2
    weights: dict[str, torch.Tensor] = {}
    for file in back.weight_files:
        weights |= load_file(tmp_path / "float" / file)
    for tensor in source.tensors:
        assert torch.equal(weights[tensor.name], decoded(source, tensor.name))
    assert result(verify(tmp_path / "float", packed)).ok


def test_a_run_that_decodes_goes_on_where_it_was_stopped(packed: Path, tmp_path: Path) -> None:
    plan = planned(packed, FLOAT)
    result(run(plan, RunOptions(str(tmp_path / "whole"))))
    events = run(plan, RunOptions(str(tmp_path / "stopped")))
    for _ in range(25):
        next(events)
    events.close()
    assert (tmp_path / "stopped.partial").is_dir()
    result(run(plan, RunOptions(str(tmp_path / "stopped"), resume=True)))
    whole, stopped = weight_bytes(tmp_path / "whole"), weight_bytes(tmp_path / "stopped")
    assert {k: v for k, v in whole.items() if k != "qtquant.json"} == {
        k: v for k, v in stopped.items() if k != "qtquant.json"
    }


def test_a_changed_weight_of_a_decoded_file_is_found(packed: Path, tmp_path: Path) -> None:
    result(run(planned(packed, FLOAT), RunOptions(str(tmp_path / "float"))))
    tensor = open_checkpoint(tmp_path / "float").by_name[Q]
    file = tmp_path / "float" / tensor.file
    data = bytearray(file.read_bytes())
    data[tensor.offset] ^= 1
    file.write_bytes(data)
    record = json.loads((tmp_path / "float" / "qtquant.json").read_text())
    record["sha256"].pop(file.name)
    (tmp_path / "float" / "qtquant.json").write_text(json.dumps(record))
    found = result(verify(tmp_path / "float", packed))
    assert [(m.where, m.text) for m in found.mismatches] == [(Q, "is not what it was")]


def test_float_files_take_no_rules(packed: Path) -> None:
    with pytest.raises(RuleError, match="holds float weights and quantizes nothing"):
        planned(packed, Recipe(format="safetensors", rules=(Rule("*.q_proj", Scheme(group_size=32)),)))


def test_a_source_that_disagrees_with_itself_is_told_of_in_the_plan(packed: Path) -> None:
    config = json.loads((packed / "config.json").read_text())
    config["quantization_config"]["config_groups"]["group_0"]["weights"]["group_size"] = 64
    (packed / "config.json").write_text(json.dumps(config))
    (warning,) = [w for w in planned(packed, FLOAT).warnings if w.code == "source-disagrees"]
    assert "config.json says group size 64" in warning.text and "and 13 more like it" in warning.text


def test_a_source_in_a_layout_that_is_not_known_is_refused_by_the_tensors_name(packed: Path) -> None:
    file = packed / open_checkpoint(packed).by_name[Q].file
    weights = load_file(file)
    weights[Q.replace("weight", "weight_scale")] = torch.ones(7, 3, dtype=torch.bfloat16)
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(PlanError, match=r"q_proj\.weight_.* is not stored in a way that is known here"):
        planned(packed, FLOAT)
