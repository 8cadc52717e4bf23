"""A Hub model on the command line: what will be fetched is said before, and what becomes of it can be chosen."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtquant_app.cli import progress
from qtquant_app.cli.main import main
from qtquant_app.core.events import ChunkDone, Fetched, RunStarted
from qtquant_app.core.job import JobOptions
from qtquant_app.core.plan import RunOptions
from tests.checkpoints import small_llama
from tests.hub.client import use
from tests.hub.server import HubServer, serving

SCHEME = ("--group-size", "32", "--device", "cpu")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with serving() as server:
        use(server.url, monkeypatch, tmp_path)
        monkeypatch.chdir(tmp_path)
        folder = small_llama(tmp_path / "m", shards=3, blocks=8)
        server.add("org/small", {path.name: path.read_bytes() for path in folder.iterdir()})
        yield server


@pytest.mark.usefixtures("hub")
def test_what_will_be_fetched_is_said_before_anything_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "org/small", *SCHEME]) == 0
    assert "to fetch" in capsys.readouterr().out
    assert main(["plan", "org/small", *SCHEME, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["download_bytes"] > 0 < made["source_disk_bytes"]
    assert main(["quantize", "org/small", "-o", "out", *SCHEME]) == 0
    assert capsys.readouterr().err.startswith("fetching ")
    assert main(["plan", "m", *SCHEME]) == 0
    assert "to fetch" not in capsys.readouterr().out


def test_shards_stay_in_the_cache_for_who_wants_them(hub: HubServer, tmp_path: Path) -> None:
    assert main(["quantize", "org/small", "-o", "a", *SCHEME]) == 0
    cached = tmp_path / "cache" / "models--org--small"
    assert not list(cached.rglob("*.safetensors"))
    assert main(["quantize", "org/small", "-o", "b", *SCHEME, "--source-shards", "cache"]) == 0
    assert len(list(cached.rglob("*.safetensors"))) == 3
    for path in (tmp_path / "a").glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_job_keeps_what_is_to_become_of_the_shards(tmp_path: Path) -> None:
    options = JobOptions("out", more={"source_shards": "cache"})
    assert options.run_options == RunOptions("out", source_shards="cache")


def test_the_bar_says_how_far_the_source_has_come_in(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "_REFRESH_SECONDS", 0.0)
    bar = progress.Bar()
    bar.show(RunStarted(1, 100))
    bar.show(Fetched("a.safetensors", 25_000_000, 100_000_000, 5_000_000.0, 15.0))
    assert "fetched 25% of 100 MB, 5.00 MB/s, 15 s left" in screen.getvalue()
    bar.show(Fetched("a.safetensors", 100_000_000, 100_000_000, 5_000_000.0, 0.0))
    screen.truncate(screen.seek(0))
    bar.show(ChunkDone("w", 50))
    assert "fetched" not in screen.getvalue()
