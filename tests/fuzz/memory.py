"""What a reader takes in memory, and what it may: twice the file, and a megabyte and a half whatever the file."""

from __future__ import annotations

import gc
import tracemalloc
from contextlib import suppress
from pathlib import Path

from tests.fuzz.mutation import LONGEST
from tests.fuzz.readers import Reader, outcome

FLOOR = 3 << 19
"""Bytes that a reader may take whatever the file: buffers, small values that are made whole, the caches of the interpreter."""


def allowed(reader: Reader, data: bytes) -> int:
    """The bytes that `reader` may take at most for `data`, which are not counted themselves."""
    return FLOOR + 2 * len(data) + reader.expressions * min(len(data), LONGEST)


def peak_of(reader: Reader, data: bytes, folder: Path) -> int:
    """The most memory that Python held at a time for one execution."""
    gc.collect()
    tracemalloc.start()
    try:
        with suppress(Exception):
            outcome(reader, data, folder)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
