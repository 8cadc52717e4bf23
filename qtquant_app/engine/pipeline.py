"""Runs pieces of work on a pool of threads and hands the results back in order, a few at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, wait
from typing import TypeVar

T = TypeVar("T")


def ordered(pool: Executor, window: int, tasks: Iterable[Callable[[], T]]) -> Iterator[T]:
    """Each task's result, in the order of the tasks, with at most `window` of them under way.

    Tasks are drawn as room is made, so memory is bounded by the window. Closing the iterator waits for the tasks under way
    (each a chunk, so milliseconds) and starts no other.
    """
    pending: deque[Future[T]] = deque()
    try:
        for task in tasks:
            pending.append(pool.submit(task))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        wait(pending)
