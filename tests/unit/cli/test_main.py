"""The command line, in this process and in fresh ones."""

from __future__ import annotations

import json
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from qtquant_app.cli.main import main
from qtquant_app.cli.units import parse_size
from qtquant_app.core.errors import UsageError
from tests.checkpoints import llama_tensors, small_llama, write_checkpoint


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main([*words, "--json"]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def _refused(capsys: pytest.CaptureFixture[str], *words: str, status: int = 2) -> str:
    assert main(list(words)) == status
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert captured.out == ""
    assert lines[0].startswith("error: ") and len(lines) == 2 and lines[1].startswith("hint: "), captured.err
    return lines[0]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return str(small_llama(tmp_path / "m", shards=2))


def test_inspect_lists_the_tensors_with_the_keys_that_stay(capsys: pytest.CaptureFixture[str], source: str) -> None:
    document = _json(capsys, "inspect", source)
    assert {"source", "architecture", "parameters", "bytes", "tensors"} <= set(document)
    assert set(document["tensors"][0]) >= {"name", "module", "kind", "shape", "dtype", "bytes", "quantizable"}
    assert sum(t["bytes"] for t in document["tensors"]) == document["bytes"]


def test_plan_and_quantize_agree_and_verify_is_green(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path
) -> None:
    scheme = ["--bits", "4", "--group-size", "32", "--symmetric"]
    plan = _json(capsys, "plan", source, *scheme, "-o", str(tmp_path / "recipe.json"))
    out = str(tmp_path / "out")
    report = _json(capsys, "quantize", source, "-o", out, *scheme)
    assert plan["output_bytes"] == report["output_bytes"]
    assert set(report) >= {"output", "format", "output_bytes", "bits_per_weight", "seconds", "peak_ram_bytes"}
    assert set(report["coverage"]) == {"quantized", "kept", "parameters_quantized_percent"}
    assert report["verified"] is True and report["coverage"]["parameters_quantized_percent"] == 100.0
    assert set(report["tensors"][0]) >= {"name", "sqnr_db", "relative_error", "bytes"}
    found = _json(capsys, "verify", out, "--base", source)
    assert found["ok"] is True and found["mismatches"] == []
    again = _json(capsys, "quantize", source, "-o", out, "--recipe", str(tmp_path / "recipe.json"), "--overwrite")
    assert again["sha256"] == report["sha256"]


def test_the_recipe_in_a_result_makes_the_same_result(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path
) -> None:
    one = _json(
        capsys, "quantize", source, "-o", str(tmp_path / "a"), "--bits", "3", "--asymmetric", "--group-size", "64"
    )
    record = str(tmp_path / "a/qtquant.json")
    two = _json(capsys, "quantize", source, "-o", str(tmp_path / "b"), "--recipe", record)
    assert one["sha256"] == two["sha256"]
    assert (tmp_path / "a/qtquant.json").read_bytes() == (tmp_path / "b/qtquant.json").read_bytes()


def test_preview_of_a_layer_gives_the_numbers_that_the_run_writes(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path
) -> None:
    layer = "model.layers.0.mlp.down_proj"
    words = ["--bits", "3", "--group-size", "64"]
    shown = _json(capsys, "preview", source, "--layer", layer, *words, "--png", str(tmp_path / "map.png"))
    report = _json(capsys, "quantize", source, "-o", str(tmp_path / "out"), *words)
    written = next(t for t in report["tensors"] if t["name"] == f"{layer}.weight")
    for key in ("sqnr_db", "relative_error", "mse", "max_error", "cosine", "bytes"):
        assert shown[key] == written[key]
    assert set(shown) >= {"layer", "scheme", "bits_per_weight"}
    assert (tmp_path / "map.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_formats_and_methods_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    formats = _json(capsys, "formats")["formats"]
    assert {f["name"] for f in formats} >= {"compressed-tensors", "qtquant"}
    assert set(formats[0]) >= {"name", "extension", "bits", "readers", "available", "reason"}
    methods = {m["name"]: m for m in _json(capsys, "methods")["methods"]}
    assert methods["mse"]["stage"] == "rounding" and not methods["mse"]["needs_calibration"]
    assert methods["awq"]["stage"] == "folding" and methods["awq"]["needs_calibration"]


def test_a_preview_of_a_calibrated_method_says_that_it_shows_the_start(
    capsys: pytest.CaptureFixture[str], source: str
) -> None:
    words = ["preview", source, "--layer", "model.layers.0.mlp.down_proj", "--group-size", "64"]
    shown = {name: _json(capsys, *words, "--method", name) for name in ("mse", "gptq", "awq+gptq")}
    assert shown["gptq"]["sqnr_db"] == shown["mse"]["sqnr_db"] == shown["awq+gptq"]["sqnr_db"]
    for name in shown:
        assert main([*words, "--method", name]) == 0
        assert ("starts from" in capsys.readouterr().out) == (name != "mse")


def test_text_output_is_for_people(capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path) -> None:
    for words in (
        ["inspect", source],
        ["plan", source, "--group-size", "32"],
        ["quantize", source, "-o", str(tmp_path / "o"), "--group-size", "32"],
        ["verify", str(tmp_path / "o")],
        ["preview", source, "--layer", "model.layers.0.mlp.up_proj", "--group-size", "32"],
        ["formats"],
        ["methods"],
    ):
        assert main(words) == 0
        captured = capsys.readouterr()
        assert captured.out.strip() and "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--bits", "9"], "9 bits"),
        (["--bits", "1"], "1 bits"),
        (["--bits", "four"], "invalid int"),
        (["--group-size", "48"], "group size 48 does not divide"),
        (["--group-size", "0"], "group size 0"),
        (["--strategy", "channel", "--group-size", "32"], "takes no group size"),
        (["--ignore", "*.nothing"], "'*.nothing' matches no module"),
        (["--ignore", "re:["], "not a regular expression"),
        (["--method", "magic"], "magic"),
        (["--format", "zip"], "no format 'zip'"),
        (["--format", "qtquant", "--bits", "3", "--group-size", "32"], "not 3"),
        (["--type", "float", "--bits", "6"], "floating-point"),
        (["--activations", "int8", "--bits", "4"], "int8 activations"),
        (["--device", "abacus"], "not a device"),
        (["--max-memory", "lots"], "not a size"),
        (["--recipe", "nowhere.json"], "nowhere.json"),
        (["--colour"], "unrecognized"),
    ],
)
def test_bad_requests_are_refused_in_a_sentence_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path, words: list[str], says: str
) -> None:
    assert says in _refused(capsys, "quantize", source, "-o", str(tmp_path / "out"), *words)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]


def test_bad_sources_are_refused_in_a_sentence_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "lying.safetensors").write_bytes(struct.pack("<Q", 10**12) + b"{}")
    nan = llama_tensors()
    nan["model.layers.0.self_attn.q_proj.weight"][3, 4] = torch.nan
    write_checkpoint(tmp_path / "nan", nan)
    for name, says in (
        ("empty", "no weights"),
        ("lying.safetensors", "lying.safetensors"),
        ("missing", "missing"),
        ("nan", "q_proj.weight holds nan at row 3, column 4"),
    ):
        words = ["quantize", str(tmp_path / name), "-o", str(tmp_path / "out"), "--group-size", "32"]
        assert says in _refused(capsys, *words)
        assert not (tmp_path / "out").exists()


def test_an_output_that_exists_is_refused_before_the_source_is_read(
    capsys: pytest.CaptureFixture[str], source: str, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    assert "exists" in _refused(capsys, "quantize", source, "-o", str(tmp_path / "out"))


def test_control_characters_in_names_do_not_reach_the_terminal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = write_checkpoint(tmp_path / "m", {"a\x1b[31m.q_proj.weight": torch.zeros(4, 4)}, {})
    assert main(["inspect", str(folder)]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_verify_of_a_folder_that_is_no_result_says_so(capsys: pytest.CaptureFixture[str], source: str) -> None:
    assert "qtquant.json" in _refused(capsys, "verify", source, status=1)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("600MB", 600_000_000), ("4.2GB", 4_200_000_000), ("2GiB", 2 << 30), ("7", 7)]
)
def test_sizes_are_read_as_people_write_them(text: str, bytes_: int) -> None:
    assert parse_size(text) == bytes_


@pytest.mark.parametrize("text", ["", "GB", "-3MB", "1e99GB", "nan", "3 apples"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_size(text)


def _fresh(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_version_and_a_data_free_run_load_neither_torch_nor_qt(source: str, tmp_path: Path) -> None:
    run = f"main(['quantize', {source!r}, '-o', {str(tmp_path / 'o')!r}, '--group-size', '32', '--device', 'cpu', '--json'])"
    layer = "model.layers.0.mlp.down_proj"
    looks = [
        ["scan", source, "--json"],
        ["explain", source, "--layer", layer, "--row", "1", "--column", "2", "--json"],
        ["compare", source, "--layer", layer, "--scheme", "W4 g32 sym", "--json"],
        ["remedies", source, "--layer", layer, "--group-size", "32", "--json"],
        ["report", source, "-o", str(tmp_path / "report.html"), "--worst", "1", "--json"],
    ]
    for call in ("main(['formats', '--json'])", run, *(f"main({[*look, '--device', 'cpu']!r})" for look in looks)):
        code = (
            "import sys, io, contextlib; from qtquant_app.cli.main import main\n"
            f"with contextlib.redirect_stdout(io.StringIO()): assert {call} == 0\n"
            "print([m for m in ('torch', 'transformers', 'PySide6') if m in sys.modules])"
        )
        assert _fresh(code) == "[]"


def test_ctrl_c_ends_with_130_a_hint_and_a_journal_to_resume(source: str, tmp_path: Path) -> None:
    code = (
        "import sys, time\nfrom qtquant_app.engine import tensor_work\nreal = tensor_work._quantize_rows\n"
        "def slow(*a):\n    time.sleep(0.3)\n    return real(*a)\ntensor_work._quantize_rows = slow\n"
        "from qtquant_app.cli.main import main\nprint('ready', flush=True)\n"
        f"sys.exit(main(['quantize', {source!r}, '-o', {str(tmp_path / 'o')!r}, '--group-size', '32']))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    deadline = time.monotonic() + 30
    while not (tmp_path / "o.partial/journal.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.4)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 130 and "--resume" in errors and "Traceback" not in errors
    assert not (tmp_path / "o").exists() and (tmp_path / "o.partial/journal.jsonl").exists()
    assert main(["quantize", source, "-o", str(tmp_path / "o"), "--group-size", "32", "--resume"]) == 0
    assert (tmp_path / "o/qtquant.json").is_file()
