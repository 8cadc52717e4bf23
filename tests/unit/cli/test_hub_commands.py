"""The Hub on the command line: models found, one looked at, and every command that takes a model takes its name."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qtquant_app.cli.main import main
from tests.checkpoints import small_llama
from tests.hub.client import environment, use
from tests.hub.giants import CONFIG, giant
from tests.hub.repos import Account
from tests.hub.server import HubServer, serving

LAYER = "model.layers.1.mlp.up_proj"
TOKEN = "hf_TOKENmadeupforatestonly"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with serving() as server:
        use(server.url, monkeypatch, tmp_path)
        monkeypatch.chdir(tmp_path)
        folder = small_llama(tmp_path / "m")
        server.add("org/small", {path.name: path.read_bytes() for path in folder.iterdir()})
        server.repos["org/small"].info |= {
            "downloads": 1234,
            "pipeline_tag": "text-generation",
            "tags": ["license:mit"],
        }
        tags = ["base_model:quantized:org/small", "gguf"]
        server.add("them/small-GGUF", {"a.gguf": bytes(500)}).info |= {"downloads": 5, "tags": tags}
        yield server


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def document(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said(capsys, *words, "--json"))
    return found


@pytest.mark.usefixtures("hub")
def test_search_lists_models_and_says_what_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = document(capsys, "search", "small")["models"]
    assert (first["id"], first["downloads"], first["licence"]) == ("org/small", 1234, "mit")
    assert second["licence"] is None and second["parameters"] == 0
    lines = said(capsys, "search", "small", "--sort", "downloads").splitlines()
    assert lines[1].startswith("org/small") and "1,234" in lines[1] and "mit" in lines[1]
    assert "unknown" in lines[2]
    assert document(capsys, "search", "--task", "fill-mask")["models"] == []


@pytest.mark.usefixtures("hub")
def test_search_lists_what_is_quantized_of_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = document(capsys, "search", "--quantized-from", "org/small")["models"]
    assert (found["id"], found["format"], found["most_bytes"]) == ("them/small-GGUF", "gguf", 500)
    assert "500 B" in said(capsys, "search", "--quantized-from", "org/small")


def test_hub_shows_one_model_or_who_is_signed_in_and_what_is_here(
    hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = document(capsys, "hub", "org/small")
    assert {"config.json", "model.safetensors"} <= {file["name"] for file in page["files"]} and page["branches"] == [
        "main"
    ]
    assert "model.safetensors" in said(capsys, "hub", "org/small")
    assert document(capsys, "hub")["account"] is None and "nobody is signed in" in said(capsys, "hub")
    hub.accounts = {TOKEN: Account("ada")}
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert document(capsys, "hub")["account"] == "ada" and "signed in as ada" in said(capsys, "hub")
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    assert "expired" in document(capsys, "hub")["error"]


def test_inspect_plan_preview_and_quantize_take_a_name_on_the_hub(
    hub: HubServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    hub.add("org/small", dict(hub.repos["org/small"].revisions["main"]), "v1")
    there, here = (document(capsys, "inspect", name) for name in ("org/small@v1", str(tmp_path / "m")))
    assert there["tensors"] == here["tensors"]
    scheme = ["--bits", "4", "--group-size", "32"]
    plan = document(capsys, "plan", "org/small", *scheme, "--runtime", "vllm")
    report = document(capsys, "quantize", "org/small", "-o", str(tmp_path / "out"), *scheme)
    assert plan["output_bytes"] == report["output_bytes"] and report["verified"]
    shown = document(capsys, "preview", "org/small", "--layer", LAYER, *scheme)
    assert shown["layer"] == f"{LAYER}.weight"
    assert document(capsys, "verify", str(tmp_path / "out"), "--base", "org/small")["ok"]


def test_preview_says_first_what_it_fetches_and_fetches_no_more(
    hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 3, "vocab_size": 1000}
    hub.add("org/model", giant({**CONFIG, **sizes}, shards=3))
    for expected in ("fetching 1.05 MB of org/model from the Hub", ""):
        assert main(["preview", "org/model", "--layer", LAYER, "--bits", "4"]) == 0
        assert expected in capsys.readouterr().err
    assert 1_048_576 < sum(sent for file, sent in hub.sent.items() if "safetensors" in file) < 1_070_000


def test_a_fresh_process_plans_for_a_target_from_headers_alone(hub: HubServer, tmp_path: Path) -> None:
    hub.add("org/giant", giant())
    words = ["plan", "org/giant", "--bits", "4", "--json"]
    command = [sys.executable, "-m", "qtquant_app", *words]
    variables = environment(hub.url, tmp_path) | {"HF_TOKEN": TOKEN}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output_bytes"] > 30e9 and sum(hub.sent.values()) < 5_000_000
    assert TOKEN not in done.stdout + done.stderr
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not [path for path in kept if TOKEN.encode() in path.read_bytes()]


@pytest.mark.parametrize("words", [["inspect", "org/none"], ["hub", "no name"], ["search", "--limit", "0"]])
@pytest.mark.usefixtures("hub")
def test_what_is_not_there_is_refused_in_one_sentence(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("error: ") and lines[1].startswith("hint: ") and len(lines) == 2
