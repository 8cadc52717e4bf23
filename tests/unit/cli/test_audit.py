"""`qtquant audit` as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from qtquant_app.cli.main import main
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.audit import audit
from qtquant_app.engine.source import open_checkpoint
from tests.checkpoints import small_llama
from tests.driving import quantize, result


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return small_llama(tmp_path / "base")


@pytest.fixture
def out(base: Path, tmp_path: Path) -> Path:
    quantize(base, tmp_path / "out", Scheme(bits=4, group_size=32))
    return tmp_path / "out"


def test_a_file_in_order_ends_with_status_0_and_its_table(
    base: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", str(out), "--base", str(base)]) == 0
    said = capsys.readouterr().out
    assert "14 quantized" in said and "pack-quantized W4 g32 sym" in said and "0 findings" in said
    assert "model.norm.weight" not in said
    assert main(["audit", str(out), "--base", str(base), "--all"]) == 0
    assert "model.norm.weight" in capsys.readouterr().out


def test_a_file_at_fault_ends_with_status_1_and_a_sentence(
    base: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tensors = load_file(out / "model.safetensors")
    tensors["model.layers.0.mlp.up_proj.weight_scale"][7, 1] *= 2
    save_file(tensors, out / "model.safetensors")
    assert main(["audit", str(out), "--base", str(base)]) == 1
    said = capsys.readouterr().out
    assert (
        "1 finding: 1 wrong" in said and "wrong: model.layers.0.mlp.up_proj.weight: 1 group has a scale, of 256" in said
    )


def test_json_is_the_report_and_nothing_else(base: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", str(out), "--base", str(base), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads(json.dumps(result(audit(open_checkpoint(out), open_checkpoint(base))).to_json()))
    assert found["ok"] is True and found["method"] == "compressed-tensors" and len(found["tensors"]) == 21


def test_a_model_that_is_not_there_ends_with_status_2(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "no/such/model", "--base", str(base)]) == 2
    assert "error:" in capsys.readouterr().err
