"""The hashes by which the Hub names files: sha256 of those stored apart, git's own of the others."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from threading import Event

from qtquant_app.core.remote import GivenUp
from qtquant_app.engine import filesystem

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_BLOCK = 1 << 20
_SHA256 = 64


def hasher(wanted: str, size: int) -> hashlib._Hash:
    """What makes a hash of the kind of `wanted`, of a file of `size` bytes that are to follow.

    git hashes the length before the content: https://git-scm.com/book/en/v2/Git-Internals-Git-Objects.
    """
    if len(wanted) == _SHA256:
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def hash_of_file(path: Path, wanted: str, given_up: Event) -> str:
    """The file's hash, of the kind of `wanted`. Raises GivenUp soon after the event is set, OSError."""
    size = path.stat().st_size
    digest = hasher(wanted, size)
    take_in(path, size, digest.update, given_up)
    return digest.hexdigest()


def take_in(path: Path, size: int, take: Callable[[memoryview], object], given_up: Event) -> int:
    """Gives the first `size` bytes of a file to `take`; how many there were. Raises GivenUp, OSError."""
    view, at = memoryview(bytearray(_BLOCK)), 0
    with filesystem.open_for_reading(path) as stream:
        while at < size and (count := filesystem.read_into(stream, at, view[: min(_BLOCK, size - at)])):
            if given_up.is_set():
                raise GivenUp
            take(view[:count])
            at += count
    return at


def hash_in_cache(path: Path) -> str:
    """The hash of a file in the Hub's cache, where files are links to what their content is called; empty for any other."""
    try:
        target = path.readlink()
    except OSError:
        return ""
    return target.name if target.parent.name == "blobs" and _HASH.fullmatch(target.name) else ""
