"""A result made once, copied for each test that may change it; and a Hub with one signed-in user."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from qtquant_app.engine.publish import waiting
from tests.hub.client import use
from tests.hub.repos import Account
from tests.hub.server import HubServer, serving
from tests.unit.engine.publish.results import TOKEN, result


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of a small model and of a result made from it; not to be changed."""
    folder = tmp_path_factory.mktemp("result")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTQUANT_CACHE", str(folder / "cache"))
        return result(folder)


@pytest.fixture
def base(made: tuple[Path, Path]) -> Path:
    return made[0]


@pytest.fixture
def output(made: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy of the result, for this test alone."""
    return Path(shutil.copytree(made[1], tmp_path / "out"))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """An empty Hub, on which `someone` of `org` is signed in; waits for it are short."""
    with serving() as server:
        use(server.url, monkeypatch, tmp_path)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(waiting, "FIRST_WAIT", 0.01)
        monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.02)
        server.accounts[TOKEN] = Account("someone", ("org",))
        yield server
