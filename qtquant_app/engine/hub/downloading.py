"""Whole files, fetched by the client's own means into the cache that all of the Hub's tools share: by hf-xet where it serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

from qtquant_app.core.errors import SourceError
from qtquant_app.core.json_text import shown
from qtquant_app.core.remote import GivenUp
from qtquant_app.engine.hub.faults import told
from qtquant_app.engine.hub.hashes import hash_of_file
from qtquant_app.engine.hub.listing import Listing


def download(listing: Listing, file: str, given_up: Event, progress: Callable[[int], None]) -> Path:
    """The file in the shared cache, its hash that of the Hub's list: fetched once more where it is another.

    `progress` is told how many bytes are there, in any thread. Raises GivenUp soon after the event is set, SourceError where the
    file cannot be had, or arrives with another hash again.
    """
    from huggingface_hub import hf_hub_download

    place, wanted = listing.place, listing.files[file].hash
    for anew in (False, True):
        bar = _bar(given_up, progress)
        with told(place, file):
            found = hf_hub_download(place.repo, file, revision=place.revision, force_download=anew, tqdm_class=bar)
        path = Path(found)
        if hash_of_file(path, wanted, given_up) == wanted:
            return path
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise wrong_hash(listing.place.label, file)


def wrong_hash(label: str, file: str) -> SourceError:
    """A file came twice, and was not what the Hub lists."""
    return SourceError(
        f"{shown(file)} of {label} arrived twice with another hash than the Hub lists",
        hint="something on the way changes it: try again later or over another connection",
        code="hub-hash",
    )


def _bar(given_up: Event, progress: Callable[[int], None]) -> type[Any]:
    """A progress bar, in the client's terms, that shows nothing and passes on what it is told."""
    from huggingface_hub.utils import tqdm

    class Quiet(tqdm):  # type: ignore[misc, type-arg]
        def __init__(self, *args: Any, **options: Any) -> None:
            self.there = int(options.get("initial", 0))
            super().__init__(*args, **{**options, "disable": True})

        def update(self, n: float | None = 1) -> bool | None:
            if given_up.is_set():
                raise GivenUp
            self.there += int(n or 0)
            progress(self.there)
            return None

    return Quiet
