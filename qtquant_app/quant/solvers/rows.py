"""Rows of a matrix shared out among threads: kernels hold no GIL, and no row knows of another."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_PIECE = 16
"""Rows at least, for a thread of their own."""


def over_rows(work: Callable[[int, int], None], rows: int) -> None:
    """Calls work(first, last) for ranges of rows that together are all of them, on as many threads as torch has."""
    pieces = max(1, min(torch.get_num_threads(), rows // _PIECE))
    bounds = [rows * piece // pieces for piece in range(pieces + 1)]
    if pieces == 1:
        work(0, rows)
        return
    with ThreadPoolExecutor(pieces) as pool:
        list(pool.map(work, bounds[:-1], bounds[1:]))
