"""`qtquant jobs`, and `quantize --queue`: the same queue that the window has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qtquant_app.cli.main import main
from qtquant_app.engine.job_store import JobStore


def listed(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    capsys.readouterr()
    assert main(["jobs", *words, "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["jobs"]
    return found


def test_runs_are_queued_listed_run_and_forgotten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for bits in ("4", "8"):
        assert main(["quantize", "sample", "-o", str(tmp_path / bits), "--bits", bits, "--queue"]) == 0
    assert not (tmp_path / "4").exists()
    assert [job["state"] for job in listed(capsys)] == ["waiting", "waiting"]
    assert [job["state"] for job in listed(capsys, "--run")] == ["done", "done"]
    assert main(["verify", str(tmp_path / "8")]) == 0
    first = str(listed(capsys)[0]["id"])
    assert main(["jobs", first]) == 0
    assert "finishing" in capsys.readouterr().out
    assert first not in [job["id"] for job in listed(capsys, "--remove", first)]
    assert listed(capsys, "--clear") == []


def test_a_run_of_the_command_line_is_in_the_history_and_a_refused_one_names_its_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["quantize", "sample", "-o", str(tmp_path / "out")]) == 0
    assert main(["quantize", "sample", "-o", str(tmp_path / "out"), "--queue", "--overwrite"]) == 0
    (tmp_path / "out" / "qtquant.json").unlink()
    assert main(["jobs", "--run"]) == 1
    failed, done = JobStore().jobs().records
    assert (str(failed.state), str(done.state)) == ("failed", "done")
    assert failed.error is not None and failed.error.code == "not-ours"


def test_a_job_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["nobody"], ["--remove", "nobody"], ["--resume", "nobody"], ["../../etc/passwd"]):
        assert main(["jobs", *words]) == 2
        assert "there is no job" in capsys.readouterr().err
