"""`qtquant scan` and `qtquant report`."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from qtquant_app.cli.main import main
from qtquant_app.core.scan import DEFAULT_SCHEMES
from qtquant_app.engine.scan_cache import default_file
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint

LAYER = "model.layers.0.mlp.down_proj"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QTQUANT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(small_llama(tmp_path / "m"))


def test_a_scan_and_a_preview_say_the_same(capsys: pytest.CaptureFixture[str], source: str) -> None:
    assert main(["scan", source, "--scheme", "W3 g32 asym mse", "--scheme", "w8 ch sym", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    words = ["--bits", "3", "--group-size", "32", "--asymmetric", "--method", "mse"]
    assert main(["preview", source, "--layer", LAYER, *words, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    tensor = next(t for t in document["tensors"] if t["name"] == f"{LAYER}.weight")
    report = tensor["reports"][0]
    assert all(
        report[key] == shown[key] for key in ("mse", "sqnr_db", "relative_error", "max_error", "cosine", "bytes")
    )
    assert [total["label"] for total in document["totals"]] == ["W3 g32 asym mse", "W8 ch sym"]


def test_the_text_names_schemes_worst_tensors_and_flags(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    tensors = llama_tensors()
    tensors["model.layers.1.mlp.up_proj.weight"][5] = 0
    source = str(write_checkpoint(tmp_path / "m", tensors))
    assert main(["scan", source]) == 0
    out = capsys.readouterr().out
    assert all(scheme.label in out for scheme in DEFAULT_SCHEMES)
    assert "dead channels" in out and "largest errors" in out and "0 from the cache" in out
    assert main(["scan", source]) == 0
    assert f"{len(tensors)} from the cache" in capsys.readouterr().out


def test_without_the_cache_nothing_is_kept(capsys: pytest.CaptureFixture[str], source: str, cache: Path) -> None:
    assert main(["scan", source, "--no-cache", "--scheme", "W8 ch sym"]) == 0
    assert not default_file().exists()


def test_the_csv_has_a_row_for_each_tensor_and_scheme(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path
) -> None:
    file = tmp_path / "scan.csv"
    assert main(["scan", source, "--csv", str(file), "--scheme", "W8 ch sym", "--scheme", "W4 g32 sym"]) == 0
    with file.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert len([row for row in rows if row["tensor"] == f"{LAYER}.weight"]) == 2
    norm = next(row for row in rows if row["tensor"] == "model.norm.weight")
    assert norm["scheme"] == "" and "is not quantized" in norm["skipped"] and norm["flags"] == "constant"


def test_a_name_that_is_a_formula_or_holds_control_characters_stays_text(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = write_checkpoint(tmp_path / "m", {"=1+1\x1b[31m": torch.ones(4)})
    assert main(["scan", str(source), "--csv", str(tmp_path / "x.csv")]) == 0
    assert "\x1b" not in capsys.readouterr().out
    assert "'=1+1\ufffd[31m," in (tmp_path / "x.csv").read_text(encoding="utf-8")


def test_what_is_no_scheme_is_refused_with_an_example(capsys: pytest.CaptureFixture[str], source: str) -> None:
    assert main(["scan", source, "--scheme", "four bits"]) == 2
    error = capsys.readouterr().err
    assert "error: 'four bits' is not a scheme" in error and "W4 g128 sym" in error


def test_a_report_is_saved_and_another_file_is_not_replaced(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    words = ["report", source, "-o", str(page), "--scheme", "W4 g32 sym", "--worst", "2"]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"output": str(page), "bytes": page.stat().st_size}
    page.write_text("mine")
    assert main(words) == 2 and "is no report of QtQuant" in capsys.readouterr().err
    assert main([*words, "--overwrite"]) == 0 and "one page" in capsys.readouterr().out
