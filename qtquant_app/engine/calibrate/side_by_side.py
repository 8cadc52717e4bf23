"""Small matrices solved side by side: one alone goes through many short steps, between which all processors but one are idle."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cache
from itertools import islice
from typing import TypeVar

import torch

from qtquant_app.core.checkpoint import TensorInfo

SMALL = 1 << 22
"""Weights of a matrix, and squared columns, up to which it is small: larger ones keep all processors at work by themselves."""

Ready = TypeVar("Ready")
Found = TypeVar("Found")


def side_by_side(
    tensors: Sequence[TensorInfo], ready: Callable[[TensorInfo], Ready], solve: Callable[[Ready], Found], device: str
) -> Iterator[tuple[str, Ready, Found]]:
    """`solve(ready(tensor))` for each of `tensors`: its name, what was made ready and what was found, as they come.

    `ready` is called here and for few more than are solved at a time; `solve` on the CPU for as many small matrices at a time as
    torch has threads, each of which then computes alone. Raises what either raises.
    """
    workers = torch.get_num_threads() if device == "cpu" else 1
    small = [tensor for tensor in tensors if workers > 1 and _is_small(tensor)]
    small.sort(key=lambda tensor: tensor.shape[0] * tensor.shape[1] ** 2, reverse=True)
    if len(small) > 1:
        yield from _in_threads(small, ready, solve, workers)
    for tensor in tensors:
        if len(small) < 2 or tensor not in small:
            made = ready(tensor)
            yield tensor.name, made, solve(made)


def _in_threads(
    tensors: Sequence[TensorInfo], ready: Callable[[TensorInfo], Ready], solve: Callable[[Ready], Found], workers: int
) -> Iterator[tuple[str, Ready, Found]]:
    waiting: dict[Future[Found], tuple[str, Ready]] = {}
    left, pool = iter(tensors), _pool(workers)
    try:
        while True:
            for tensor in islice(left, workers + 1 - len(waiting)):
                made = ready(tensor)
                waiting[pool.submit(solve, made)] = tensor.name, made
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                name, made = waiting.pop(future)
                yield name, made, future.result()
    finally:
        for future in waiting:
            future.cancel()
        wait(waiting)
        torch.set_num_threads(workers)  # what a thread of the pool set for itself holds for threads to come, too


@cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """Threads that stay: what the libraries of linear algebra take for a thread they do not give back when it ends."""
    return ThreadPoolExecutor(workers, "solver", initializer=torch.set_num_threads, initargs=(1,))


def _is_small(tensor: TensorInfo) -> bool:
    rows, columns = tensor.shape
    return max(rows * columns, columns**2) <= SMALL
