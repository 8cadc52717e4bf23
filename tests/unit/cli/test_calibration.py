"""`qtquant calibration`: what the samples are, before they are used."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import pytest

from qtquant_app.cli.calibration import add_calibration_options, calibration_of
from qtquant_app.cli.main import main
from qtquant_app.core.calibration import Calibration

USUAL = ["--samples", "4", "--seqlen", "64"]


def test_the_samples_are_counted_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibration", "sample", *USUAL]) == 0
    out = capsys.readouterr().out
    for words in (
        "4 samples from the first half of",
        "256 tokens, 64 in a sample",
        "probably English",
        "input_ids 1 \N{MULTIPLICATION SIGN} 64",
    ):
        assert words in out, words


def test_the_document_holds_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibration", "sample", *USUAL, "--held-out", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["count"], found["tokens"], found["kind"], len(found["shown"])) == (4, 256, "text", 3)
    assert found["name"].startswith("the second half of") and len(found["sha256"]) == 64


def test_what_is_refused_is_said_with_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("It was a day like any other, and nobody had thought of rain. " * 100)
    (tmp_path / "b.bin").write_bytes(bytes(range(256)) * 4)
    assert main(["calibration", "sample", *USUAL, "--calibration", str(tmp_path)]) == 0
    assert "refused: 1: files that are no text" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words", [["--samples", "0"], ["--seqlen", "0"], ["--calibration", "nowhere.txt"], ["--calibration", "hub:../a"]]
)
def test_what_cannot_be_used_ends_with_a_sentence_and_a_hint(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["calibration", "sample", *words]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and "\nhint: " in said.err and not said.out


def test_other_commands_can_ask_for_data_too() -> None:
    parser = ArgumentParser()
    parser.set_defaults(seed=3)
    add_calibration_options(parser)
    assert calibration_of(parser.parse_args([])) is None
    asked = parser.parse_args(["--calibration", "notes.txt", "--chat"])
    assert calibration_of(asked) == Calibration("notes.txt", chat=True, seed=3)
