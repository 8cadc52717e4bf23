"""What the Hub's client raises, in one sentence with a hint. An error's own text is never passed on: it may quote what was sent."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtquant_app.core.errors import SourceError
from qtquant_app.engine.hub.names import HubId

_INVALID = "Invalid credentials"
"""How the Hub's message begins where it does not know a token, or no longer."""


@contextmanager
def told(place: HubId, file: str = "") -> Iterator[None]:
    """Raises what the client raises within as SourceError, where it is the Hub's doing."""
    try:
        yield
    except Exception as error:
        found = translated(error, place, file)
        if found is None:
            raise
        raise found from None


def translated(error: Exception, place: HubId, file: str = "") -> SourceError | None:
    """What the client met when asked for `file` of `place`, or for the place itself; None for what is not the Hub's doing."""
    from huggingface_hub import errors

    if isinstance(error, SourceError):
        return error
    if isinstance(error, errors.HFValidationError):
        return SourceError(f"{place.repo!r} is not a name on the Hub", hint="write org/name", code="hub-name")
    if isinstance(error, errors.LocalEntryNotFoundError):  # the cache was asked as the last resort
        return unreachable(place, file)
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error, place, file)
    if isinstance(error, errors.OfflineModeIsEnabled) or _is_of_network(error):
        return unreachable(place, file)
    if isinstance(error, OSError):
        text = f"{file or place.label} of {place.label} cannot be kept in the local cache: {error.strerror}"
        return SourceError(text, hint="make room, or name another folder by HF_HOME", code="hub-cache")
    if isinstance(error, (ValueError, KeyError, TypeError, AttributeError)):
        text = f"what the Hub answered when asked for {place.label} makes no sense"
        return SourceError(text, hint="see that HF_ENDPOINT names a Hub, and try again", code="hub-answer")
    return None


def _refused(error: Exception, place: HubId, file: str) -> SourceError:
    """What an answer with an error's status says."""
    from huggingface_hub import errors

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", "nothing")
    if status == 401 and str(getattr(response, "headers", {}).get("X-Error-Message", "")).startswith(_INVALID):
        return expired()
    if isinstance(error, errors.GatedRepoError):
        return gated(place, status)
    if isinstance(error, errors.RevisionNotFoundError):
        hint = "check the branch, tag or commit after the @"
        return SourceError(f"{place.repo} has no revision {place.revision!r}", hint=hint, code="hub-revision")
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "check the name, which is no path here either; for a private one, log in with `hf auth login`"
        return SourceError(f"there is no repository {place.repo} on the Hub", hint=hint, code="hub-not-found")
    if isinstance(error, errors.EntryNotFoundError):
        return missing(place, file)
    if status == 429:
        hint = "wait a few minutes; whoever is logged in (`hf auth login`) may ask more often"
        return SourceError("the Hub answers no more: it was asked too often", hint=hint, code="hub-rate")
    hint = "log in with `hf auth login`" if status in (401, 403) else "try again later"
    return SourceError(f"the Hub answered {status} when asked for {place.label}", hint=hint, code="hub-refused")


def missing(place: HubId, file: str) -> SourceError:
    """The repository has no such file."""
    ours = file == "qtquant.json"
    hint = "QtQuant puts one beside each result; another tool's result has none" if ours else "check the name"
    return SourceError(f"{place.label} holds no {file}", hint=hint, code="hub-no-file")


def expired() -> SourceError:
    """The token is one that the Hub does not take."""
    from os import environ

    named = next((name for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN") if environ.get(name)), "")
    hint = f"set {named} to a new one, or unset it" if named else "log in again with `hf auth login --force`"
    return SourceError("the Hub does not take the token: it has expired or was revoked", hint=hint, code="hub-token")


def gated(place: HubId, status: object) -> SourceError:
    """The terms of a repository must be accepted first; 401 says that nobody is signed in who could have."""
    page = page_of(place.repo)
    if status == 401:
        text, hint = (
            f"{place.repo} is gated, and nobody is signed in",
            f"log in with `hf auth login`, then accept {page}",
        )
    else:
        text = f"{place.repo} is gated, and access to it is not granted to you"
        hint = f"ask for access on {page}, then log in with `hf auth login`"
    return SourceError(text, hint=hint, code="hub-gated")


def page_of(repo: str) -> str:
    """Where a person reads about a repository and accepts its terms."""
    from huggingface_hub import constants

    host = constants.ENDPOINT.rpartition("@")[2].removeprefix("https://").removeprefix("http://")
    return f"{host}/{repo}"


def unreachable(place: HubId | None = None, file: str = "") -> SourceError:
    """There is no network, or it is not to be used."""
    from huggingface_hub import constants

    why = "the Hub is switched off by HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else "the Hub cannot be reached"
    hint = "unset it" if constants.HF_HUB_OFFLINE else "check the connection and try again"
    kept = place is not None and "/" in place.repo  # lists and accounts are in no cache
    named = "" if place is None or not kept else f"{file} of {place.label}" if file else place.label
    text = f"{why}, and {named} is not in the local cache" if named else why
    return SourceError(text, hint=hint, code="hub-offline")


def was_cut(error: Exception) -> bool:
    """Whether a connection that was there broke off or fell silent, so that asking again makes sense."""
    return _is_of_network(error) and type(error).__name__ not in ("ConnectError", "ConnectTimeout", "ProxyError")


def _is_of_network(error: Exception) -> bool:
    """Whether it comes from the client's connection: its library's name differs between versions of the client."""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"httpx", "httpx2", "requests", "urllib3"}) or isinstance(
        error, (ConnectionError, TimeoutError)
    )
