"""What files a commit holds, with their sizes and hashes: asked once, then known, since a commit never changes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qtquant_app.core.errors import SourceError
from qtquant_app.engine.foreign_files import portable, read_bounded
from qtquant_app.engine.hub.client import ask
from qtquant_app.engine.hub.faults import told
from qtquant_app.engine.hub.names import COMMIT, HubId
from qtquant_app.engine.scan_cache import default_file
from qtquant_app.engine.whole_file import write_file

MOST_FILES = 100_000
_MOST_BYTES = 64_000_000
_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Listed:
    """One file: its bytes, and its hash: sha256 where it is stored apart (`large`), else git's."""

    size: int
    hash: str
    large: bool


@dataclass(frozen=True)
class Listing:
    """The files of one commit, by name."""

    repo: str
    commit: str
    files: Mapping[str, Listed]

    @property
    def place(self) -> HubId:
        return HubId(self.repo, self.commit)


def listing(place: HubId) -> Listing:
    """The files of a revision. What a branch stands for is asked each time, and remembered for when there is no network.

    Raises SourceError where there is no such repository or revision, where access is not granted, or where the Hub cannot be
    reached and does not need to have been before.
    """
    if COMMIT.fullmatch(place.revision):
        known = _remembered(place.repo, place.revision)
        if known is not None:
            return known
    try:
        found = _asked(place)
    except SourceError as error:
        known = _last(place) if error.code == "hub-offline" else None
        if known is None:
            raise
        return known
    _remember(found, place.revision)
    return found


def _asked(place: HubId) -> Listing:
    from urllib.parse import quote

    at = f"/revision/{quote(place.revision, safe='')}" if place.revision else ""
    data = ask(f"/api/models/{place.repo}{at}", {"blobs": True}, place=place)
    with told(place):
        commit = data["sha"]
        if not COMMIT.fullmatch(commit) or len(data["siblings"]) > MOST_FILES:
            raise ValueError("no commit, or too many files")
        files = dict(_listed(entry) for entry in data["siblings"])
        return Listing(place.repo, commit, {name: file for name, file in files.items() if portable(name) is None})


def _listed(entry: Mapping[str, Any]) -> tuple[str, Listed]:
    """An entry of the API's list of files. Raises ValueError, KeyError or TypeError where it is none."""
    lfs = entry.get("lfs")
    size, digest = entry["size"], lfs["sha256"] if lfs else entry["blobId"]
    if type(size) is not int or not 0 <= size < 1 << 60 or not _HASH.fullmatch(digest):
        raise ValueError("no size or no hash")
    return str(entry["rfilename"]), Listed(size, digest, bool(lfs))


def _folder(repo: str) -> Path:
    return hub_folder() / "commits" / repo.replace("/", "--")


def hub_folder() -> Path:
    """Where what is known of the Hub is kept: in the folder of QTQUANT_CACHE, or among the user's caches."""
    return default_file().with_name("hub")


def _remember(found: Listing, revision: str) -> None:
    """Keeps a listing, and what a branch stands for. A folder that cannot be written to is done without."""
    rows = {name: list(asdict(file).values()) for name, file in found.files.items()}
    folder = _folder(found.repo)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / f"{found.commit}.json", json.dumps(rows))
        names = {**_branches(found.repo), revision: found.commit}
        write_file(folder / "branches.json", json.dumps(names))


def _branches(repo: str) -> dict[str, str]:
    try:
        names = json.loads(read_bounded(_folder(repo) / "branches.json", 1 << 20))
        return {name: commit for name, commit in names.items() if COMMIT.fullmatch(commit)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _last(place: HubId) -> Listing | None:
    """What the place was when the Hub was last asked for it."""
    commit = _branches(place.repo).get(place.revision)
    return _remembered(place.repo, commit) if commit else None


def _remembered(repo: str, commit: str) -> Listing | None:
    try:
        rows = json.loads(read_bounded(_folder(repo) / f"{commit}.json", _MOST_BYTES))
        files = {name: Listed(int(size), str(digest), bool(large)) for name, (size, digest, large) in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return Listing(repo, commit, {name: file for name, file in files.items() if portable(name) is None})
