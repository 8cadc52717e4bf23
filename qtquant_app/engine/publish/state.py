"""Uploads that have not ended, kept so that they can go on after a restart: what is sent, by its hash. Never a token."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtquant_app.core.json_fields import Fields
from qtquant_app.core.json_text import parse_json
from qtquant_app.core.publication import Destination, PublishedFile
from qtquant_app.engine.foreign_files import read_bounded
from qtquant_app.engine.scan_cache import default_file
from qtquant_app.engine.whole_file import write_file

_MAX_BYTES = 20_000_000
_MOST = 200
"""Unfinished uploads that are listed."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that was stopped, or is under way."""

    endpoint: str
    repo: str
    branch: str
    pull_request: bool
    output: str
    files: tuple[tuple[str, str], ...]
    """Names and hashes."""
    sent: frozenset[str] = frozenset()
    """Hashes of what the Hub has, as it said."""
    committing: bool = False
    """Whether the commit was asked for, and its answer never came."""

    @property
    def key(self) -> str:
        facts = [self.endpoint, self.repo, self.branch, str(self.pull_request), *(digest for _, digest in self.files)]
        return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]

    def to_json(self) -> dict[str, Any]:
        return {
            "endpoint": self.endpoint,
            "repo": self.repo,
            "branch": self.branch,
            "pull_request": self.pull_request,
            "output": self.output,
            "files": dict(self.files),
            "sent": sorted(self.sent),
            "committing": self.committing,
        }

    @classmethod
    def from_json(cls, data: object) -> Unfinished:
        """Raises ValueError naming the key at fault."""
        read = Fields(data)
        return cls(
            read.text("endpoint"),
            read.text("repo"),
            read.text("branch"),
            read.any("pull_request") is True,
            read.text("output"),
            tuple(read.texts("files").items()),
            frozenset(str(digest) for digest in read.items("sent")),
            read.any("committing") is True,
        )


def folder() -> Path:
    """Where they are: `uploads` in the folder that QTQUANT_CACHE names, or among the user's caches."""
    return default_file().with_name("uploads")


def unfinished() -> tuple[Unfinished, ...]:
    """Those there are. What cannot be read is none."""
    try:
        paths = sorted(folder().glob("*.json"))[:_MOST]
    except OSError:
        return ()
    return tuple(found for found in map(_read, paths) if found is not None)


class State:
    """The state of one upload, on disk as soon as it changes. Without a disk to write on the upload goes on all the same."""

    def __init__(self, destination: Destination, output: Path, endpoint: str, files: Sequence[PublishedFile]) -> None:
        names = tuple(sorted((file.name, file.sha256) for file in files))
        fresh = Unfinished(
            endpoint,
            destination.repo,
            destination.branch,
            destination.pull_request,
            str(output.absolute()),
            names,
        )
        self._path = folder() / f"{fresh.key}.json"
        known = _read(self._path)
        self.before = known if known is not None and known.files == names else fresh
        self._now = replace(self.before, committing=False)

    def sent(self, digests: Iterable[str]) -> None:
        """The Hub has these."""
        self._write(replace(self._now, sent=self._now.sent | frozenset(digests)))

    def committing(self) -> None:
        self._write(replace(self._now, committing=True))

    def done(self) -> None:
        """The upload has ended well."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write(self, now: Unfinished) -> None:
        self._now = now
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self._path, json.dumps(now.to_json()))


def _read(path: Path) -> Unfinished | None:
    try:
        return Unfinished.from_json(parse_json(read_bounded(path, _MAX_BYTES)))
    except (OSError, ValueError):
        return None
