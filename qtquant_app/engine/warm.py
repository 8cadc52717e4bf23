"""Compiles, or loads from the cache, what the first preview would otherwise wait for."""

from __future__ import annotations

from collections.abc import Generator, Iterable

import numpy as np

from qtquant_app.core.events import ChunkDone, Event
from qtquant_app.core.matrix import WORKED
from qtquant_app.core.scheme import Scheme
from qtquant_app.core.view import View
from qtquant_app.quant.chunk import RAW_TYPES
from qtquant_app.quant.kernels.cpu import CpuBackend
from qtquant_app.quant.kernels.inspect import cell_errors, histogram
from qtquant_app.quant.kernels.view import view_cells


def warm_up(dtypes: Iterable[str]) -> Generator[Event, None, None]:
    """Runs every kernel that a preview needs once, on a few weights of what each of `dtypes` is worked in."""
    backend, scheme = CpuBackend(), Scheme(group_size=16)
    for dtype in dict.fromkeys(WORKED.get(stored, stored) for stored in dtypes):
        if dtype not in RAW_TYPES:
            continue
        raw = np.ones((2, 32), np.float32).astype(RAW_TYPES[dtype])
        backend.extremes(raw, dtype)
        yield ChunkDone("", 0)
        chunk = backend.quantize(raw, dtype, scheme, 4)
        yield ChunkDone("", 0)
        histogram(raw, dtype, 0.0, 1.0, 8)
        cell_errors(raw, dtype, chunk, scheme, 16)
        yield ChunkDone("", 0)
        view_cells(raw, dtype, chunk, scheme, View.ABSOLUTE, np.arange(32, dtype=np.int32), 2, 16)
        yield ChunkDone("", 0)
