"""A Hub for each test, with a model in shards on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.client import use
from tests.hub.server import HubServer, serving
from tests.unit.engine.fetching.models import Model, sharded


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with serving() as server:
        use(server.url, monkeypatch, tmp_path)
        yield server


@pytest.fixture
def model(hub: HubServer, tmp_path: Path) -> Model:
    return sharded(tmp_path / "here", hub)
