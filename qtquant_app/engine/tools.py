"""What every piece of work of a run needs: a reader, a backend, a format, and threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.engine.cost import chunk_rows
from qtquant_app.engine.device import backend_for, default_threads
from qtquant_app.engine.reader import TensorReader
from qtquant_app.formats import Format
from qtquant_app.quant.chunk import Backend


@dataclass(frozen=True, slots=True)
class Tools:
    """At most `window` chunks are under way in `pool` at once."""

    reader: TensorReader
    backend: Backend
    format: Format
    device: str
    pool: Executor
    window: int
    max_memory: int | None = None

    def spans(self, tensor: TensorInfo) -> Iterator[tuple[int, int]]:
        """Row ranges that make up `tensor`, each a chunk."""
        rows = tensor.shape[0]
        step = chunk_rows(tensor.nbytes // rows, self.device, self.max_memory)
        return ((start, min(start + step, rows)) for start in range(0, rows, step))


@contextmanager
def open_tools(
    checkpoint: Checkpoint, format: Format, device: str, threads: int | None = None, max_memory: int | None = None
) -> Iterator[Tools]:
    """The tools for work on `checkpoint`; their threads and files end with the context."""
    count = threads or default_threads()
    if device != "cpu":
        # One stream of work keeps the device busy; two overlap its transfers with reading and writing.
        count = min(count, 2)
    with TensorReader(checkpoint) as reader, ThreadPoolExecutor(count, "quantize") as pool:
        yield Tools(reader, backend_for(device), format, device, pool, 2 * count, max_memory)
