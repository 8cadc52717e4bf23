"""Results in runtimes that are installed for the tests, beside our own reading of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.cli.main import main
from qtquant_app.core.scheme_label import parse_label
from qtquant_app.engine.runtime_check import check_in_runtime
from tests.driving import quantize, result

TOKENS, NEW = 48, 16


def test_transformers_computes_what_we_decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    quantize("sample", out, parse_label("W4 g32 sym"))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert main(["verify", str(out), "--runtime", "transformers", "--base", "sample", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["loaded"] and found["agrees"] and found["error"] == found["tokenization"] == ""
    assert found["difference"]["relative"] < 1e-4
    assert found["difference"]["top1_agreement"] == 1
    assert (found["tokens"], found["same_tokens"], found["new_tokens"]) == (TOKENS, NEW, NEW)
    assert found["continued"] == found["own_continued"] != ""
    assert set(found["versions"]) == {"transformers", "compressed-tensors", "torch"}
    assert found["peak_ram_bytes"] > 100_000_000
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_asymmetric_weights_load_with_dequantize_and_the_report_says_so(tmp_path: Path) -> None:
    quantize("sample", tmp_path / "out", parse_label("W4 g32 asym"))
    found = result(check_in_runtime(tmp_path / "out", "sample", "transformers"))
    assert found.agrees
    assert found.option == "CompressedTensorsConfig(dequantize=True)"


def test_our_own_loader_is_a_runtime_too(tmp_path: Path) -> None:
    quantize("sample", tmp_path / "out", parse_label("W4 g32 asym"), format="qtquant")
    assert result(check_in_runtime(tmp_path / "out", "sample", "qtquant")).agrees


def test_activations_of_fp8_are_rounded_as_transformers_rounds_them(tmp_path: Path) -> None:
    quantize("sample", tmp_path / "out", parse_label("FP8 ch A8"))
    found = result(check_in_runtime(tmp_path / "out", "sample", "transformers"))
    assert found.difference is not None and found.difference.relative < 1e-3
