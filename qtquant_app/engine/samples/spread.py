"""Chooses a few of many."""

from __future__ import annotations

from collections.abc import Iterator


def spread(length: int, count: int) -> Iterator[int]:
    """All of 0 to `length` - 1, once each: first `count` evenly spread ones in order, then the others."""
    first = {i * length // count for i in range(count)} if count < length else set(range(length))
    yield from sorted(first)
    yield from (i for i in range(length) if i not in first)
