"""A Hub for each test, which the client of this process asks in place of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub.client import use
from tests.hub.server import HubServer, serving


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with serving() as server:
        use(server.url, monkeypatch, tmp_path)
        monkeypatch.chdir(tmp_path)
        yield server
