"""Work that says how much of it is done, inside other work."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeVar

Said = TypeVar("Said")
Found = TypeVar("Found")


def told(steps: Generator[float, None, Found], say: Callable[[float], Said]) -> Generator[Said, None, Found]:
    """What `steps` find; yields what `say` makes of each share that is done, 0.0 to 1.0."""
    try:
        while True:
            try:
                share = next(steps)
            except StopIteration as end:
                found: Found = end.value
                return found
            yield say(share)
    finally:
        steps.close()
