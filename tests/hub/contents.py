"""What a file of a made-up repository holds: bytes, or a size and a function that makes the bytes of any stretch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class Sparse:
    """A file of `size` bytes that nobody holds: `make(start, stop)` gives the bytes between. `name` tells it from others."""

    name: str
    size: int
    make: Callable[[int, int], bytes]


Content = bytes | Sparse


def size_of(content: Content) -> int:
    return content.size if isinstance(content, Sparse) else len(content)


def part_of(content: Content, start: int, stop: int) -> bytes:
    return content.make(start, stop) if isinstance(content, Sparse) else content[start:stop]


@lru_cache(1024)
def sha256_of(content: Content) -> str:
    """The hash of what is there; of a sparse file one of its name and size, since nobody will read all of it."""
    data = f"{content.name} {content.size}".encode() if isinstance(content, Sparse) else content
    return hashlib.sha256(data).hexdigest()


@lru_cache(1024)
def sha1_of(content: Content) -> str:
    """The name of its blob, as git gives it; of a sparse file one of its hash."""
    data = sha256_of(content).encode() if isinstance(content, Sparse) else content
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
