"""Small files of a repository on the Hub. What its client raises is said here in one sentence with a hint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from qtquant_app.core.errors import SourceError

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class HubId(NamedTuple):
    """A repository, and a branch, tag or commit of it; an empty one is the main branch."""

    repo: str
    revision: str = ""

    @property
    def label(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


def hub_id(text: str) -> HubId | None:
    """`org/name` or `org/name@revision` taken apart; None where `text` is no such thing, or is the path of something here."""
    repo, at, revision = text.partition("@")
    if not _ID.fullmatch(repo) or (at and not revision) or Path(text).exists():
        return None
    return HubId(repo, revision)


def fetch(place: HubId, file: str) -> Path:
    """The file of a repository, in the local cache: fetched where it is not there yet or has changed.

    Without a network the cache answers. Raises SourceError where there is no such repository, revision or file, where access
    is not granted, or where the Hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = are_progress_bars_disabled()
    disable_progress_bars()  # stderr is the front end's
    try:
        return Path(hf_hub_download(place.repo, file, revision=place.revision or None))
    except HFValidationError:
        raise SourceError(f"{place.repo!r} is not a name on the Hub", hint="write org/name", code="hub-name") from None
    except Exception as error:
        told = _translated(error, place, file)
        if told is None:
            raise
        raise told from None
    finally:
        if not quiet:
            enable_progress_bars()


def _translated(error: Exception, place: HubId, file: str) -> SourceError | None:
    """What the client met, in a sentence; None for what is not the Hub's doing. An error's own text is never passed on."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return SourceError(
            f"{place.repo} is gated, and access to it is not granted to you",
            hint=f"ask for access on the page of {place.repo}, then log in with `hf auth login`",
            code="hub-gated",
        )
    if isinstance(error, errors.RevisionNotFoundError):
        hint = "check the branch, tag or commit after the @"
        return SourceError(f"{place.repo} has no revision {place.revision!r}", hint=hint, code="hub-revision")
    if isinstance(error, errors.RepositoryNotFoundError):
        hint = "check the name, which is no path here either; for a private one, log in with `hf auth login`"
        return SourceError(f"there is no repository {place.repo} on the Hub", hint=hint, code="hub-not-found")
    if isinstance(error, errors.LocalEntryNotFoundError):  # the cache was asked as the last resort
        return _unreachable(place, file)
    if isinstance(error, errors.EntryNotFoundError):
        hint = "QtQuant puts one beside each result; another tool's result has none"
        return SourceError(f"{place.label} holds no {file}", hint=hint, code="hub-no-file")
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(error.response, "status_code", "nothing")
        hint = "log in with `hf auth login`" if status in (401, 403) else "try again later"
        return SourceError(f"the Hub answered {status} when asked for {place.label}", hint=hint, code="hub-refused")
    if _is_of_network(error):
        return _unreachable(place, file)
    if isinstance(error, OSError):
        text = f"{file} of {place.label} cannot be kept in the local cache: {error.strerror}"
        return SourceError(text, hint="make room, or name another folder by HF_HOME", code="hub-cache")
    if isinstance(error, (ValueError, KeyError, TypeError)):
        text = f"what the Hub answered when asked for {place.label} makes no sense"
        return SourceError(text, hint="see that HF_ENDPOINT names a Hub, and try again", code="hub-answer")
    return None


def _unreachable(place: HubId, file: str) -> SourceError:
    from huggingface_hub import constants

    why = "the Hub is switched off by HF_HUB_OFFLINE" if constants.HF_HUB_OFFLINE else "the Hub cannot be reached"
    hint = "unset it" if constants.HF_HUB_OFFLINE else "check the connection and try again"
    return SourceError(f"{why}, and {file} of {place.label} is not in the local cache", hint=hint, code="hub-offline")


def _is_of_network(error: Exception) -> bool:
    """Whether it comes from the client's connection: its library's name differs between versions of the client."""
    modules = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return bool(modules & {"httpx", "httpx2", "requests", "urllib3"}) or isinstance(
        error, (ConnectionError, TimeoutError)
    )
