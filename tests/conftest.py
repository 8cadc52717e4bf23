"""No test reads or writes the caches or the presets of whoever runs it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# The suite says the same each time it runs. `QTQUANT_TESTS=explore make test` looks for new examples instead; keep what it finds as
# an @example.
settings.register_profile("repeat", derandomize=True, database=None)
settings.register_profile("explore")
os.environ["HF_ENDPOINT"] = "http://127.0.0.1:9"  # nobody answers there; a test that wants a Hub starts one
settings.load_profile(os.environ.get("QTQUANT_TESTS", "repeat"))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for what scans remember."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("QTQUANT_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def own_config(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own for the user's presets."""
    folder = tmp_path_factory.mktemp("config")
    monkeypatch.setenv("QTQUANT_CONFIG", str(folder))
    return folder
