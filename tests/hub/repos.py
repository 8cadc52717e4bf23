"""Repositories in memory, and who may read them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from tests.hub.contents import Content, sha1_of, size_of

MAIN = "main"
LARGE = 10_000_000
"""Bytes from which a file is stored apart from git, as are those named like weights."""
_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt")


@dataclass
class Account:
    """Who a token belongs to."""

    name: str = "someone"
    orgs: tuple[str, ...] = ()
    role: str = "write"
    """`read` or `write`."""
    left: int | None = None
    """Requests after which the token has expired; None where it never does."""


@dataclass
class Repo:
    """The files of each revision; `token` is asked for where there is one, `gated` refuses whoever has none."""

    revisions: dict[str, dict[str, Content]] = field(default_factory=lambda: {MAIN: {}})
    """By branch."""
    token: str = ""
    gated: bool | str = False
    """True, or how it is asked for: `auto` or `manual`."""
    granted: set[str] = field(default_factory=set)
    """Names of the accounts that a gated repository has let in."""
    private: bool = False
    tags: dict[str, str] = field(default_factory=dict)
    """The branch that a tag stands for."""
    info: dict[str, Any] = field(default_factory=dict)
    """What the API says of it: downloads, likes, tags, pipeline_tag, library_name, cardData, lastModified, safetensors."""
    log: list[tuple[str, str, str]] = field(default_factory=list)
    """Branch, commit and title of each commit that was written to it."""

    def commit(self, revision: str) -> str:
        """The commit that a branch stands for: a hash of its files, as on the Hub it is one of all that led to them."""
        files = sorted((name, sha1_of(content)) for name, content in self.revisions[revision].items())
        return hashlib.sha1(repr(files).encode(), usedforsecurity=False).hexdigest()

    def resolve(self, name: str) -> str | None:
        """The branch that a branch, a tag or a commit names."""
        name = self.tags.get(name, name).removeprefix("refs/heads/")
        if name in self.revisions:
            return name
        return next((revision for revision in self.revisions if self.commit(revision) == name), None)


def is_large(name: str, content: Content) -> bool:
    """Whether the Hub keeps a file apart, and answers for it with a redirection and its hash."""
    return name.endswith(_WEIGHTS) or size_of(content) >= LARGE
