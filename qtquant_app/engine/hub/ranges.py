"""Ranges of a file by HTTP, over the client's own pooled connections: tried again, gone on with after a cut, and checked.

A file of a commit never changes. That it is the one that was listed is seen from its hash, which the Hub sends along, and from
its size. The place to which the Hub redirects is remembered for a while; no token is sent there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Event
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_text import shown
from qtquant_app.core.remote import GivenUp
from qtquant_app.engine.hub.client import TRIES, pause, timeouts
from qtquant_app.engine.hub.faults import translated
from qtquant_app.engine.hub.listing import Listing

_REMEMBERED = 240.0
"""Seconds for which a redirection serves; those of the Hub hold for longer."""


class _Again(Exception):  # noqa: N818 - not an error: a request to wait
    """To be asked again after `seconds`; `error` is what is told where that leads nowhere."""

    def __init__(self, seconds: float, error: Exception) -> None:
        super().__init__()
        self.seconds = seconds
        self.error = error


@dataclass
class Ranges:
    """Fetches ranges of the files of one commit. Threads may share it."""

    listing: Listing
    _places: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Where files are stored, and since when that is known."""
    _tags: dict[str, str] = field(default_factory=dict)
    """What the places where files are stored call their content."""

    def get(self, file: str, start: int, stop: int, given_up: Event | None = None) -> bytes:
        """Bytes `start` to `stop`. Raises SourceError where they cannot be had, or where the file is not the one listed; GivenUp
        where nobody waits for them any longer."""
        found, failures = bytearray(), 0
        while len(found) < stop - start:
            before = len(found)
            try:
                self._some(file, start + before, stop, found, failures, given_up)
            except GivenUp:
                raise
            except Exception as error:
                failures = 1 if len(found) > before else failures + 1
                _sleep(self._wait(error, file, failures), given_up)
        return bytes(found)

    def _wait(self, error: Exception, file: str, failures: int) -> float:
        """Seconds to wait before going on. Raises what there is to tell where there is no sense in that."""
        cause = error.error if isinstance(error, _Again) else error
        told = translated(cause, self.listing.place, file)
        if told is None:
            raise cause
        if failures >= TRIES or (told.code != "hub-offline" and not isinstance(error, _Again)) or _switched_off():
            raise told from None
        return error.seconds if isinstance(error, _Again) else 0.25 * 2 ** (failures - 1)

    def _some(
        self, file: str, start: int, stop: int, found: bytearray, failures: int, given_up: Event | None = None
    ) -> None:
        """Adds to `found` what one request brings of `start` to `stop`."""
        from huggingface_hub.utils import get_session

        url, headers = self._target(file)
        headers |= {"Range": f"bytes={start}-{stop - 1}", "Accept-Encoding": "identity"}
        with get_session().stream("GET", url, headers=headers, timeout=timeouts(), follow_redirects=True) as response:
            self._check_status(response, file, failures, url)
            self._check_same(response, file, start, stop)
            for chunk in response.iter_raw():  # as it comes: what is gathered would be lost with a cut
                found += chunk
                _check_wanted(given_up)
                if len(found) > stop:
                    raise self._changed(file)

    def _target(self, file: str) -> tuple[str, dict[str, str]]:
        """Where to ask for a file, and with what: where it is stored, if that is known."""
        from huggingface_hub.utils import build_hf_headers

        url, since = self._places.get(file, ("", 0.0))
        if url and monotonic() - since < _REMEMBERED:
            return url, dict(build_hf_headers(token=False))
        return self._target_of(file), dict(build_hf_headers())

    def _target_of(self, file: str) -> str:
        """Where the Hub itself answers for a file."""
        from huggingface_hub import hf_hub_url

        return str(hf_hub_url(self.listing.repo, file, revision=self.listing.commit))

    def _check_status(self, response: Any, file: str, failures: int, asked: str) -> None:
        from huggingface_hub.utils import hf_raise_for_status

        status = response.status_code
        if status in (200, 206):
            return
        if status == 416:
            raise self._changed(file)
        remembered = asked != self._target_of(file)
        if remembered and self._places.get(file, ("", 0.0))[0] == asked:  # another thread may have a new one already
            self._places.pop(file, None)
        with suppress(Exception):  # an answer that is cut off says no more than its status
            response.read()
        try:
            hf_raise_for_status(response)
        except Exception as error:
            waiting = (
                0.0 if remembered and status in (400, 401, 403, 404) else pause(status, response.headers, failures)
            )
            if waiting is not None:
                raise _Again(waiting, error) from None
            raise
        raise self._changed(file)

    def _check_same(self, response: Any, file: str, start: int, stop: int) -> None:
        """Raises SourceError where the answer is no part of the file that was listed."""
        listed = self.listing.files[file]
        whole = response.status_code == 200
        if whole and (start, stop) != (0, listed.size):
            raise SourceError(
                f"the Hub sends {shown(file)} whole where a part of it was asked for",
                hint="fetch the model with `hf download`, and open its folder",
                code="hub-ranges",
            )
        expected = f"bytes {start}-{stop - 1}/{listed.size}"
        if not whole and response.headers.get("Content-Range", "").strip() != expected:
            raise self._changed(file)
        history = [answer.headers for answer in response.history]
        self._check_tags(file, (*history, response.headers))
        if history and _origin(str(response.url)) != _origin(self._target_of(file)):
            self._places[file] = (str(response.url), monotonic())

    def _check_tags(self, file: str, answers: Sequence[Mapping[str, str]]) -> None:
        """The Hub names a file by the hash that it was listed under; the place that stores it names it always the same."""
        for headers in answers:
            tag = headers.get("X-Linked-ETag") or headers.get("ETag")
            if tag and headers.get("X-Repo-Commit") and _bare(tag) != self.listing.files[file].hash:
                raise self._changed(file)
        tag = answers[-1].get("ETag", "")
        if tag and self._tags.setdefault(file, tag) != tag:
            raise self._changed(file)

    def _changed(self, file: str) -> SourceError:
        return SourceError(
            f"{shown(file)} of {self.listing.place.label} is not the file that was listed: it has changed on the Hub",
            hint="open the model again",
            code="source-changed",
        )


def _sleep(seconds: float, given_up: Event | None) -> None:
    if given_up is None:
        time.sleep(seconds)
    elif given_up.wait(seconds):
        raise GivenUp


def _check_wanted(given_up: Event | None) -> None:
    if given_up is not None and given_up.is_set():
        raise GivenUp


def _switched_off() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _bare(tag: str) -> str:
    return tag.removeprefix("W/").strip('"')
