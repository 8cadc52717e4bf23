"""The real client, in this process, with a made-up Hub for the one it asks."""

from __future__ import annotations

import os
from pathlib import Path

import huggingface_hub.constants
import huggingface_hub.hf_api
import pytest
from huggingface_hub.utils import close_session


def point_at(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `url` the Hub of this process, as HF_ENDPOINT does for a new one."""
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", url)


def use(url: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Makes `url` the Hub, and keeps what comes from it, and the token, in `folder`; no token is there yet."""
    constants = huggingface_hub.constants
    close_session()
    point_at(url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(folder / "stored_tokens"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 2)
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 2)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def environment(url: str, folder: Path) -> dict[str, str]:
    """The variables of a new process whose Hub is `url`."""
    return {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(folder / "home"), "HF_HUB_DISABLE_TELEMETRY": "1"}
