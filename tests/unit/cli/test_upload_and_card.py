"""`qtquant card` and `qtquant upload`, as they are typed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtquant_app.cli.main import main
from tests.hub.client import use
from tests.hub.repos import Account
from tests.hub.server import HubServer, serving
from tests.unit.engine.publish.results import REPO, TOKEN, result


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return result(tmp_path_factory.mktemp("result"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with serving() as server:
        use(server.url, monkeypatch, tmp_path)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        server.accounts[TOKEN] = Account("someone")
        yield server


def test_upload_says_where_it_stands(
    made: tuple[Path, Path], hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["upload", str(made[1]), REPO, "--private"]) == 0
    said = capsys.readouterr()
    assert f"{hub.url}/{REPO}" in said.out and "private" in said.out and "licence is not known" in said.err
    assert hub.repos[REPO].private


def test_upload_as_json_is_one_document(
    made: tuple[Path, Path], hub: HubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["upload", str(made[1]), REPO, "--json", "--branch", "w4", "--message", "A title", "--verify", "full"]
    assert main([*words, "--base", str(made[0]), "--base-model", "org/small"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["repo"] == REPO and document["branch"] == "w4" and len(document["files"]) == 8
    assert {"url", "commit", "pull_request", "private", "removed", "bytes_sent", "seconds"} < set(document)
    assert hub.repos[REPO].log[0][2] == "A title"


def test_upload_proposes_with_the_card_it_is_given(
    made: tuple[Path, Path], hub: HubServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "card.md").write_text("# Given\n")
    hub.add("other/small", {})
    words = ["upload", str(made[1]), "other/small", "--pull-request", "--card", str(tmp_path / "card.md")]
    assert main(words) == 0
    assert "/discussions/1" in capsys.readouterr().out
    assert hub.repos["other/small"].revisions["refs/pr/1"]["README.md"] == b"# Given\n"


def test_what_the_hub_refuses_is_an_error_with_a_hint(
    made: tuple[Path, Path], hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add(REPO, {"model.safetensors": b"others"})
    assert main(["upload", str(made[1]), REPO]) == 1
    assert "holds other weights" in (said := capsys.readouterr()).err and "--overwrite" in said.err and not said.out
    assert main(["upload", str(made[1]), REPO, "--overwrite"]) == 0
    capsys.readouterr()
    monkeypatch.delenv("HF_TOKEN")
    assert main(["upload", str(made[1]), REPO]) == 1
    assert "error: you are not signed in" in capsys.readouterr().err
    assert main(["upload", str(made[1]), REPO, "--card", str(made[0])]) == 2


def test_ctrl_c_says_how_to_go_on(
    made: tuple[Path, Path], hub: HubServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("qtquant_app.cli.progress.drive", interrupted)
    assert main(["upload", str(made[1]), REPO]) == 130
    assert "cancelled" in (said := capsys.readouterr().err) and "same command again" in said and "--resume" not in said


def test_card_prints_writes_and_keeps(
    made: tuple[Path, Path], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = str(made[1])
    assert main(["card", out, "--repo", REPO]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("---\n") and REPO in printed.out and "licence is not known" in printed.err
    file = tmp_path / "README.md"
    assert main(["card", out, "-o", str(file), "--base", str(made[0])]) == 0
    assert capsys.readouterr().out.split() == [str(file), str(tmp_path / "error-map.png")]
    file.write_text(file.read_text() + "\nMine.\n")
    assert main(["card", out, "-o", str(file)]) == 1 and "was edited" in capsys.readouterr().err
    assert main(["card", out, "-o", str(file), "--overwrite"]) == 0
    assert "Mine." not in file.read_text()


def test_card_as_json_is_one_document(made: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", str(made[1]), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["format"] == "compressed-tensors" and document["text"].startswith("---\n")
    assert document["license"] == [] and document["warnings"] and document["worst"][0]["sqnr_db"] > 0
    assert main(["card", str(made[0])]) == 1 and "no finished result" in capsys.readouterr().err
