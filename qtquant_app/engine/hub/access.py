"""Who is signed in. Tokens live in the Hub client's own store and nowhere else: none is kept, logged or quoted here."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from qtquant_app.core.errors import SourceError
from qtquant_app.core.hub import HubAccount
from qtquant_app.engine.hub.client import ask
from qtquant_app.engine.hub.faults import told
from qtquant_app.engine.hub.names import HubId

PLACE = HubId("your account")
_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def who() -> HubAccount | None:
    """Whom the token belongs to that the client would use now; None where there is none.

    Raises SourceError where the Hub does not take it, or cannot be reached to say.
    """
    from huggingface_hub import get_token

    token = get_token()
    return None if token is None else _account(token, from_environment=_named() != "")


def sign_in(token: str) -> HubAccount:
    """Puts `token` into the client's store, once the Hub has said whose it is. Raises SourceError where it is no good."""
    token = token.strip()
    if not token or not token.isascii() or any(character.isspace() for character in token):
        raise SourceError("that is no token", hint="copy one whole from the settings of your account", code="hub-token")
    from huggingface_hub import login

    account = _account(token)
    refuse_environment()
    with told(PLACE):
        login(token=token, add_to_git_credential=False)
    return account


def refuse_environment() -> None:
    """Raises SourceError where a variable of the environment would come before any token that is stored."""
    if _named():
        raise SourceError(
            f"{_named()} is set, and comes before any token that is stored",
            hint=f"unset {_named()} first, or set it to the new token",
            code="hub-environment",
        )


def sign_out() -> bool:
    """Removes the tokens from the client's store; whether nobody is signed in now. One in the environment stays."""
    from huggingface_hub import get_token, logout

    with suppress(OSError):  # which is how the client says that the environment has one
        logout()
    return get_token() is None


def _account(token: str, *, from_environment: bool = False) -> HubAccount:
    try:
        answer = ask("/api/whoami-v2", place=PLACE, token=token)
    except SourceError as error:
        if error.code == "hub-refused" and "401" in error.message:
            text = "the Hub does not take the token: it has expired or was revoked"
            raise SourceError(text, hint=_again(), code="hub-token") from None
        raise
    with told(PLACE):
        orgs = [org["name"] for org in answer.get("orgs") or []]
        role = _role(answer)
        return HubAccount(str(answer["name"]), tuple(map(str, orgs)), role, from_environment)


def _role(answer: Any) -> str:
    token = (answer.get("auth") or {}).get("accessToken") or {}
    return str(token.get("role") or "")


def _again() -> str:
    return f"set {_named()} to a new one, or unset it" if _named() else "sign in again with a new one"


def _named() -> str:
    """The environment variable that a token comes from; empty where none does."""
    from os import environ

    return next((name for name in _VARIABLES if environ.get(name)), "")
