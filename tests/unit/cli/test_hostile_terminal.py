"""No command lets a name from a checkpoint speak to the terminal; --json keeps each name exactly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.cli.main import main
from qtquant_app.core.escaping import visible_lines
from tests.hostile import EVIL, LAYER, LONG, hostile_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_checkpoint(tmp_path_factory.mktemp("hostile"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTQUANT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("QTQUANT_CONFIG", str(tmp_path / "config"))


COMMANDS = {
    "inspect": ["inspect", "MODEL"],
    "preview": ["preview", "MODEL", "--layer", LAYER],
    "plan": ["plan", "MODEL"],
    "plan for readers": ["plan", "MODEL", "--runtime", "vllm"],
    "plan of a budget": ["plan", "MODEL", "--target-bpw", "6", "--explain"],
    "refused plan": ["plan", "MODEL", "--group-size", "7"],
    "refused pattern": ["plan", "MODEL", "--ignore", f"*{EVIL}nothing*"],
    "no such layer": ["preview", "MODEL", "--layer", f"x{EVIL}"],
    "scan": ["scan", "MODEL"],
    "report": ["report", "MODEL", "-o", "OUT.html"],
    "compare": ["compare", "MODEL", "--layer", "*down_proj*", "--scheme", "W4 g64 sym"],
    "remedies": ["remedies", "MODEL", "--layer", LAYER],
    "explain": ["explain", "MODEL", "--layer", LAYER, "--row", "1", "--column", "1"],
    "quantize": ["quantize", "MODEL", "-o", "OUT"],
    "no such model": ["inspect", f"/nowhere/{EVIL}"],
    "no such recipe": ["plan", "MODEL", "--recipe", f"/nowhere/{EVIL}.json"],
    "no such preset": ["plan", "MODEL", "--preset", EVIL],
    "no such result": ["verify", f"/nowhere/{EVIL}"],
    "debug": ["inspect", f"/nowhere/{EVIL}", "--debug"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_but_text_reaches_the_terminal(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"MODEL": str(model), "OUT": str(tmp_path / "out"), "OUT.html": str(tmp_path / "out.html")}
    main([places.get(word, word) for word in COMMANDS[name]])
    for shown in capsys.readouterr():
        assert shown == visible_lines(shown)
        if name != "debug":  # a traceback is Python's own text
            assert not any(line.startswith(EVIL.split("\n")[1]) for line in shown.split("\n"))


@pytest.mark.parametrize("name", ["inspect", "preview", "plan", "scan", "compare", "quantize"])
def test_a_document_keeps_the_names_and_no_control_character(
    name: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"MODEL": str(model), "OUT": str(tmp_path / "out")}
    assert main([*(places.get(word, word) for word in COMMANDS[name]), "--json"]) == 0
    shown = capsys.readouterr().out
    assert shown == visible_lines(shown)
    assert LAYER in _texts(json.loads(shown))


def _texts(value: object) -> set[str]:
    if isinstance(value, dict):
        return set().union(*map(_texts, value.values()), *map(_texts, value))
    if isinstance(value, list):
        return set().union(*map(_texts, value))
    return {value} if isinstance(value, str) else set()


def test_one_long_name_does_not_stretch_every_row(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["inspect", str(model)])
    shown = capsys.readouterr().out
    assert LONG not in shown and max(map(len, shown.split("\n"))) < 400


def test_what_is_quantized_verifies_and_names_its_tensors_exactly(model: Path, tmp_path: Path) -> None:
    assert main(["quantize", str(model), "-o", str(tmp_path / "out")]) == 0
    assert main(["verify", str(tmp_path / "out"), "--base", str(model)]) == 0
    record = json.loads((tmp_path / "out" / "qtquant.json").read_text(encoding="utf-8"))
    assert LAYER in {tensor["name"] for tensor in record["tensors"]}
