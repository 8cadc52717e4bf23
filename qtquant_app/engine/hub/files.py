"""Small files of a repository, fetched whole into the cache that all of the Hub's tools share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qtquant_app.engine.hub.client import timeouts
from qtquant_app.engine.hub.faults import told
from qtquant_app.engine.hub.names import HubId


def fetch(place: HubId, file: str) -> Path:
    """The file of a repository, in the local cache: fetched where it is not there yet or has changed.

    Without a network the cache answers. Raises SourceError where there is no such repository, revision or file, where access
    is not granted, or where the Hub cannot be reached.
    """
    from huggingface_hub import hf_hub_download

    with _without_bars(), told(place, file):
        if cached(place, file) is None:
            _reach(place, file)
        return Path(hf_hub_download(place.repo, file, revision=place.revision or None))


def cached(place: HubId, file: str) -> Path | None:
    """The file in the local cache, as it was when it was last asked for; None where it is not there."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(place.repo, file, revision=place.revision or None)
    return Path(found) if isinstance(found, str) else None


def _reach(place: HubId, file: str) -> None:
    """Asks once for what the client, where there is no network, would ask for again and again for half a minute."""
    from huggingface_hub import hf_hub_url
    from huggingface_hub.utils import build_hf_headers, get_session

    url = hf_hub_url(place.repo, file, revision=place.revision or None)
    get_session().head(url, headers=build_hf_headers(), timeout=timeouts(), follow_redirects=False)


@contextmanager
def _without_bars() -> Iterator[None]:
    """stderr is the front end's."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    quiet = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if not quiet:
            enable_progress_bars()
