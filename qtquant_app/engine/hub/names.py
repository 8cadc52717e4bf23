"""What names a repository on the Hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

COMMIT = re.compile(r"[0-9a-f]{40}")


class HubId(NamedTuple):
    """A repository, and a branch, tag or commit of it; an empty one is the main branch."""

    repo: str
    revision: str = ""

    @property
    def label(self) -> str:
        return f"{self.repo}@{self.revision}" if self.revision else self.repo


def is_pinned(text: str) -> bool:
    """Whether `text` is `org/name@COMMIT`, which names the same files for ever."""
    repo, _, revision = text.partition("@")
    return bool(_ID.fullmatch(repo) and COMMIT.fullmatch(revision))


def hub_id(text: str) -> HubId | None:
    """`org/name` or `org/name@revision` taken apart; None where `text` is no such thing, or is the path of something here."""
    repo, at, revision = text.partition("@")
    if not _ID.fullmatch(repo) or (at and not revision) or Path(text).exists():
        return None
    return HubId(repo, revision)
