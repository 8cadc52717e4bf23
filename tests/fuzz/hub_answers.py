"""What a Hub answers, as bytes on the wire: the client of this process is pointed at a server that says whatever it is told to."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.hub_server import HubServer

_TEMPLATE = "/{repo_id}/resolve/{revision}/{filename}"


@contextmanager
def answering(data: bytes, cache_folder: Path) -> Iterator[None]:
    """While it lasts the Hub answers every request with `data`, and what is fetched is kept in `cache_folder`."""
    import huggingface_hub  # noqa: F401 - its logger is there from here on
    from huggingface_hub import constants

    logging.getLogger("huggingface_hub.file_download").setLevel(logging.CRITICAL)
    logging.getLogger("huggingface_hub.utils._http").setLevel(logging.CRITICAL)

    server = _server()
    server.raw = data
    there: dict[str, Any] = {
        "ENDPOINT": server.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": server.url + _TEMPLATE,
        "HF_HUB_CACHE": str(cache_folder),
        "HF_TOKEN_PATH": str(cache_folder / "token"),
        "HF_HUB_OFFLINE": False,
        "HF_HUB_ETAG_TIMEOUT": 1,
        "HF_HUB_DOWNLOAD_TIMEOUT": 1,
    }
    with patch.multiple(constants, **there), patch("time.sleep", _no_wait):
        yield


def _no_wait(seconds: float) -> None:
    """The client waits before it asks again; a fuzzer does not."""


@cache
def _server() -> HubServer:
    server = HubServer()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    return server


def answer(status: str, headers: dict[str, str], body: bytes = b"") -> bytes:
    """An answer in HTTP."""
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
