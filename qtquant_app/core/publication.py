"""Publishing a result: where it goes, how, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qtquant_app.core.card import Card

Proof = Literal["full", "quick"]


@dataclass(frozen=True, slots=True)
class Destination:
    """A repository on the Hub: `org/name`, or `name` alone for one of the signed-in user's own."""

    repo: str
    branch: str = ""
    """Made where there is none; empty for the main one."""
    private: bool = False
    """Of a repository that is made. One that is there and public is refused."""
    pull_request: bool = False
    """Whether the files are proposed to whoever owns the repository, on top of `branch`."""


@dataclass(frozen=True, slots=True)
class PublishOptions:
    """How to publish."""

    verify: Proof = "quick"
    """`quick`: every file is read and its hash compared. `full`: every weight is compared with `base` too."""
    base: str | None = None
    """The original: a folder, a file, or a Hub id."""
    base_model: str = ""
    """The base's name on the Hub, where `base` does not tell it."""
    message: str = ""
    """Of the commit."""
    card: str | None = None
    """The card's text, such as the user has edited it; None for README.md of the result, or one that is made."""
    overwrite: bool = False
    """Whether weight files that the repository holds may be replaced, and those that a reader would take for ours removed."""


@dataclass(frozen=True, slots=True)
class PublishedFile:
    """A file of the repository. `sent` is False where the Hub had its content already."""

    name: str
    bytes: int
    sha256: str
    sent: bool = False
    blob: str = ""
    """What git calls the content, of a file that travels in the commit itself."""

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name, "bytes": self.bytes, "sha256": self.sha256, "sent": self.sent}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What would be published: the card to look at and to edit, and the files."""

    card: Card
    text: str
    """README.md: the result's own where somebody has edited it, else made from `card`."""
    own: bool
    """Whether `text` is what somebody has written."""
    files: tuple[PublishedFile, ...]
    """Those of the result. README.md and pictures come on top."""
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    """PNG files by name."""
    warnings: tuple[str, ...] = ()
    """What is not known and should be, such as the base's licence."""

    def to_json(self) -> dict[str, Any]:
        return {
            **self.card.to_json(),
            "text": self.text,
            "edited": self.own,
            "files": [file.to_json() for file in self.files],
            "pictures": sorted(self.pictures),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True, slots=True)
class Published:
    """What stands on the Hub now."""

    repo: str
    url: str
    branch: str
    commit: str
    pull_request: str
    """The address of the pull request; empty where none was wanted."""
    private: bool
    files: tuple[PublishedFile, ...]
    removed: tuple[str, ...]
    """Weight files that the commit removed."""
    bytes_sent: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "repo": self.repo,
            "url": self.url,
            "branch": self.branch,
            "commit": self.commit,
            "pull_request": self.pull_request,
            "private": self.private,
            "files": [file.to_json() for file in self.files],
            "removed": list(self.removed),
            "bytes_sent": self.bytes_sent,
            "seconds": self.seconds,
        }
