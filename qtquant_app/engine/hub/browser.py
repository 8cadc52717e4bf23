"""Signs in by a browser: the Hub gives an address and a short code, a person says yes there, and the token goes into the client's
own store, renewed by the client when it runs out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from qtquant_app.core.errors import SourceError
from qtquant_app.core.hub import HubAccount
from qtquant_app.engine.hub.access import PLACE, refuse_environment, who
from qtquant_app.engine.hub.faults import told

_STEP = 0.2


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person is shown: where to go, and the code to type there."""

    address: str
    code: str
    seconds: float
    """For which the code holds."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody has said yes yet; comes several times a second, so that closing the generator ends it at once."""


def sign_in_by_browser() -> Generator[Asked | Unanswered, None, HubAccount]:
    """Yields `Asked` once, then `Unanswered` until somebody answers.

    Raises SourceError where it is denied, where the code runs out, or where this version of the client cannot do it.
    """
    refuse_environment()
    try:
        from huggingface_hub._login import _save_oauth_token
        from huggingface_hub.errors import DeviceCodeError
        from huggingface_hub.utils._oauth_device import poll_device_token, request_device_code
    except ImportError:
        hint = "sign in with a token, or with `hf auth login`"
        raise SourceError(
            "this version of huggingface_hub signs nobody in by a browser", hint=hint, code="hub-old"
        ) from None
    with told(PLACE):
        info = _requested(request_device_code)
        interval, holds = float(info["interval"]), float(info["expires_in"])
        asked = Asked(_address(str(info["verification_uri_complete"])), str(info["user_code"]), holds)
    yield asked
    end = time.monotonic() + holds
    while time.monotonic() < end:
        yield from _pause(interval)
        try:  # one question: the client's own loop would hold this thread until the code runs out
            answer = poll_device_token({**info, "interval": 0, "expires_in": _STEP}, on_pending=_still_pending)
        except _Pending:
            continue
        except DeviceCodeError as error:
            if str(error.error_code or "").endswith("expired_token") and "timeout" in str(error):
                continue
            raise _denied(str(error.error_code or "")) from None
        with told(PLACE):
            _save_oauth_token(answer)
        account = who()
        if account is not None:
            return account
    raise _denied("expired_token")


def _requested(request: Callable[[], Any]) -> Any:
    """A code. Raises SourceError where the Hub gives none: the client says no more than that it could not."""
    try:
        return request()
    except Exception as error:
        raise (error.__cause__ if isinstance(error.__cause__, Exception) else error) from None


def _address(text: str) -> str:
    """Raises ValueError where `text` is nothing that a browser should be sent to."""
    if not text.startswith(("https://", "http://127.0.0.1:")):
        raise ValueError("no address")
    return text


class _Pending(Exception):  # noqa: N818
    """The Hub says that nobody has answered yet."""


def _still_pending() -> None:
    raise _Pending


def _pause(seconds: float) -> Generator[Unanswered, None, None]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield Unanswered()
        time.sleep(min(_STEP, max(0.0, end - time.monotonic())))


def _denied(code: str) -> SourceError:
    why = "the code has run out" if code.endswith("expired_token") else "the Hub was told no"
    return SourceError(f"nobody was signed in: {why}", hint="try again, or sign in with a token", code="hub-denied")
