"""What the Hub's client met, in one sentence with a hint. An error's own text, which may hold addresses that are secret, is never
passed on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from qtquant_app.core.errors import PublishError

AGAIN = "give the same command again: what has arrived is not sent again"
LOG_IN = "log in with `hf auth login`, and give the token the right to write"
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_QUOTA = ("quota", "storage", "too large", "limit", "exceed", "payment", "billing")
_OTHER_CONTENT = ("sha256", "hash", "oid", "checksum", "does not match", "mismatch")


@dataclass(frozen=True, slots=True)
class Place:
    """What was to be published where, for the sentences."""

    repo: str
    mine: bool = True
    """Whether its namespace is the user's, or one of an organisation of theirs."""
    file: str = ""


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from: the client wraps what happens while it sends a file."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def status_of(error: BaseException) -> int:
    """The HTTP status that was answered; 0 where there was none."""
    for one in chain(error):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return 0


def retry_after(error: BaseException) -> float | None:
    """Seconds that the Hub asked to wait."""
    for one in chain(error):
        asked = (getattr(getattr(one, "response", None), "headers", None) or {}).get("Retry-After", "")
        if asked.strip().isdigit():
            return float(asked.strip()[:6])
    return None


def of_network(error: BaseException) -> bool:
    """Whether the connection failed: its library's name differs between versions of the client."""
    for one in chain(error):
        modules = {kind.__module__.partition(".")[0] for kind in type(one).__mro__}
        if modules & {"httpx", "httpx2", "requests", "urllib3"} or isinstance(one, (ConnectionError, TimeoutError)):
            return not status_of(error)
    return False


def passing(error: BaseException) -> bool:
    """Whether it may well go better in a moment."""
    if of_closed_client(error) or _senseless(error):
        return True
    return status_of(error) in _PASSING or (of_network(error) and not _offline())


def of_closed_client(error: BaseException) -> bool:
    """Whether another thread lost its connection: the client then closes what all threads share, and opens it anew."""
    return any(isinstance(one, RuntimeError) and "client has been closed" in str(one) for one in chain(error))


def _senseless(error: BaseException) -> bool:
    """Whether what was answered is no JSON, as when something stands in between."""
    return any(isinstance(one, json.JSONDecodeError) for one in chain(error))


def translated(error: Exception, place: Place) -> PublishError | None:
    """The error in a sentence; None for what is not the Hub's doing."""
    from huggingface_hub import errors

    for one in chain(error):
        if isinstance(one, PublishError):
            return one
    status = status_of(error)
    if isinstance(error, ValueError) and "metadata in readme" in str(error).lower():
        return bad_card()
    if isinstance(error, errors.OfflineModeIsEnabled) or (_offline() and of_network(error)):
        hint = "unset it, or publish later"
        return PublishError("the Hub is switched off by HF_HUB_OFFLINE", hint=hint, code="hub-offline")
    if isinstance(error, errors.LocalTokenNotFoundError):
        return no_token()
    if status:
        return _refused(error, status, place)
    if of_network(error) or of_closed_client(error):
        text = "the Hub cannot be reached"
        return PublishError(text, hint=f"check the connection, then {AGAIN}", code="hub-offline")
    if isinstance(error, errors.HFValidationError):
        return PublishError(f"{place.repo!r} is not a name on the Hub", hint="write org/name", code="hub-name")
    if isinstance(error, ValueError):
        return _misunderstood(error, place)
    return None


def no_token() -> PublishError:
    return PublishError("you are not signed in to the Hub", hint=LOG_IN, code="hub-no-token")


def _refused(error: Exception, status: int, place: Place) -> PublishError:
    from huggingface_hub import errors

    named = f"{place.file} of {place.repo}" if place.file else place.repo
    said = " ".join(str(one) for one in chain(error)).lower()
    if status == 401 and not any(isinstance(one, errors.RepositoryNotFoundError) for one in chain(error)):
        text = "the Hub does not accept your token: it has expired, or was revoked"
        return PublishError(text, hint=f"sign in again with `hf auth login --force`, then {AGAIN}", code="hub-token")
    if status in (402, 413, 507) or (status in (400, 403, 422) and any(word in said for word in _QUOTA)):
        text = f"the Hub has no room for {named}: it is too large, or your storage is used up"
        hint = "see the storage in your Hub settings, make room there, or publish it publicly"
        return PublishError(text, hint=hint, code="hub-quota")
    if status == 403:
        return _forbidden(place)
    if status in (401, 404):
        text = f"there is no repository {place.repo} on the Hub that your token may see"
        return PublishError(text, hint="check the name, and the rights of the token", code="hub-not-found")
    if status in (409, 412):
        text = f"{place.repo} has been changed by somebody else in the meantime"
        return PublishError(text, hint=f"look at what has changed, then {AGAIN}", code="hub-changed")
    if status in (400, 422) and any(word in said for word in _OTHER_CONTENT):
        return other_content(place.file or place.repo)
    text = f"the Hub answered {status} when {named} was sent"
    return PublishError(text, hint=AGAIN, code="hub-busy" if status in _PASSING else "hub-refused")


def _forbidden(place: Place) -> PublishError:
    if place.mine:
        text = f"your token has no right to write to {place.repo}"
        return PublishError(text, hint=LOG_IN, code="hub-read-only")
    text = f"{place.repo} belongs to somebody else, and you may not write to it"
    hint = "publish under your own name, or propose it with --pull-request"
    return PublishError(text, hint=hint, code="hub-not-yours")


def other_content(file: str) -> PublishError:
    """A file is not on the Hub what it is here."""
    text = f"{file} arrived at the Hub with another content than it has here: its sha256 differs"
    return PublishError(text, hint=AGAIN, code="hub-hash")


def bad_card() -> PublishError:
    """The head of a card is not what the Hub wants there."""
    text = "the lines between the dashes at the head of the card make no sense to the Hub"
    return PublishError(text, hint="mend them as YAML, or leave them out", code="card")


def _misunderstood(error: Exception, place: Place) -> PublishError:
    said = str(error).lower()
    if "lfs batch" in said:
        if any(word in said for word in _QUOTA):
            text = f"the Hub has no room for {place.repo}: it is too large, or your storage is used up"
            return PublishError(text, hint="see the storage in your Hub settings", code="hub-quota")
        return PublishError(f"the Hub refuses files of {place.repo}", hint=AGAIN, code="hub-refused")
    text = f"what the Hub answered when asked for {place.repo} makes no sense"
    return PublishError(text, hint="see that HF_ENDPOINT names a Hub, and try again", code="hub-answer")


def _offline() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
