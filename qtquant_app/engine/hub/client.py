"""Asks the Hub's API: the client's own session, headers and errors, with a bound on waiting that the client's lists do not have."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from qtquant_app.core.json_text import parse_json
from qtquant_app.engine.hub.faults import told, was_cut
from qtquant_app.engine.hub.names import HubId

TRIES = 5
"""Requests for one thing without a byte of it coming in between."""
LONGEST_WAIT = 120.0
"""Seconds: a Hub that wants longer waits is told as one that refuses."""
_CONNECT = 5.0
_STALLS = 2
"""How often an answer that does not come, or not whole, is asked for once more."""
_MOST = 64_000_000
"""Bytes of one answer of the API."""
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})


def ask(path: str, params: Mapping[str, Any] | None = None, *, place: HubId, token: str | None = None) -> Any:
    """What the API answers to a GET of `path`, as JSON; `token` in place of the one that is stored.

    Raises SourceError naming `place` where the Hub refuses, cannot be reached, or answers what is no JSON.
    """
    return ask_page(path, params, place=place, token=token)[0]


def ask_page(
    path: str, params: Mapping[str, Any] | None = None, *, place: HubId, token: str | None = None
) -> tuple[Any, str]:
    """As `ask`; and the address at which a list goes on, empty where this is its end."""
    from huggingface_hub import constants

    url = path if path.startswith("http") else constants.ENDPOINT + path
    with told(place):
        for attempt in range(TRIES):
            try:
                found = _once(url, params, token, attempt)
            except Exception as error:
                if attempt >= _STALLS or not was_cut(error):
                    raise
                continue
            if not isinstance(found, float):
                return found
            time.sleep(found)
    raise AssertionError("the last attempt answers or raises")


def _once(url: str, params: Mapping[str, Any] | None, token: str | None, attempt: int) -> tuple[Any, str] | float:
    """One request: what was answered, or the seconds after which to ask again."""
    from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status

    headers = build_hf_headers(token=token)
    with get_session().stream(
        "GET", url, params=params, headers=headers, timeout=timeouts(), follow_redirects=True
    ) as response:
        waiting = pause(response.status_code, response.headers, attempt)
        if waiting is not None:
            return waiting
        hf_raise_for_status(response)
        body = bytearray()
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > _MOST:
                raise ValueError("too long")
        return parse_json(bytes(body)), str(response.links.get("next", {}).get("url", ""))


def pause(status: int, headers: Mapping[str, str], attempt: int) -> float | None:
    """Seconds to wait before asking again, by what was answered; None where that makes no sense."""
    if status not in _AGAIN or attempt + 1 >= TRIES:
        return None
    named = str(headers.get("Retry-After", "")).strip()
    waiting = float(named) if named.isdecimal() and len(named) < 6 else 0.5 * 2**attempt
    return waiting if waiting <= LONGEST_WAIT else None


def timeouts() -> Any:
    """How long to wait for a connection and for each next byte, HF_HUB_DOWNLOAD_TIMEOUT in the client's own terms."""
    from huggingface_hub import constants

    wait = float(constants.HF_HUB_DOWNLOAD_TIMEOUT)
    return (min(_CONNECT, wait), wait, wait, wait)  # connect, read, write, and for a place in the pool
