"""What every piece of work of a run needs: a reader, a backend, a format, and threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qtquant_app.core.checkpoint import Checkpoint, TensorInfo
from qtquant_app.core.events import Warned
from qtquant_app.core.report import Shortages
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.cost import Cut, device_share, usual_cut
from qtquant_app.engine.device import backend_for
from qtquant_app.engine.reader import TensorReader
from qtquant_app.engine.sparing import SparingBackend
from qtquant_app.formats import Format
from qtquant_app.quant.chunk import Backend, Fixed, QuantizedChunk, Raw

if TYPE_CHECKING:
    from qtquant_app.engine.calibrate.solutions import Solutions


@dataclass(frozen=True, slots=True)
class Tools:
    """At most `window` chunks are under way in `pool` at once."""

    reader: TensorReader
    backend: Backend
    format: Format
    device: str
    pool: Executor
    window: int
    cut: Cut
    solutions: Solutions | None = None
    """What calibration found, where it is done."""

    def quantized(self, raw: Raw, tensor: TensorInfo, scheme: Scheme, fixed: Fixed | None = None) -> QuantizedChunk:
        """Rows of `tensor` under `scheme`, as a run writes them; columns weigh as the checkpoint's statistics say, if it has any.

        Raises what `Backend.quantize` does.
        """
        importance = self.reader.checkpoint.statistics.columns.get(tensor.name)
        return self.backend.quantize(raw, tensor.dtype, scheme, self.format.align, fixed, importance)

    def quantized_rows(
        self, raw: Raw, tensor: TensorInfo, scheme: Scheme, fixed: Fixed | None, start: int, stop: int
    ) -> QuantizedChunk:
        """As `quantized`, for the rows from `start` to `stop`: with the codes that calibration found, where it found some."""
        if self.solutions is None or tensor.name not in self.solutions:
            return self.quantized(raw, tensor, scheme, fixed)
        chunk = self.solutions.rows(tensor, start, stop)
        return replace(chunk, errors=self.backend.compare(raw, tensor.dtype, chunk, scheme))

    def warnings(self) -> Sequence[Warned]:
        """What the device had no memory for since the last call."""
        return self.backend.warnings() if isinstance(self.backend, SparingBackend) else ()

    def shortages(self) -> Shortages:
        """What was done for want of device memory so far."""
        if not isinstance(self.backend, SparingBackend):
            return Shortages()
        return Shortages(self.backend.halved, tuple(self.backend.on_spare))

    def spans(self, tensor: TensorInfo, scheme: Scheme | None = None) -> Iterator[tuple[int, int]]:
        """Row ranges that make up `tensor`, each a chunk; where a `scheme` is given, as the format can encode them."""
        rows = tensor.shape[0]
        step = self.cut.rows(tensor.nbytes // rows, 1 if scheme is None else self.format.row_step(scheme))
        return ((start, min(start + step, rows)) for start in range(0, rows, step))

    def byte_spans(self, tensor: TensorInfo) -> Iterator[tuple[int, int]]:
        """Byte ranges that make up `tensor`; one empty range where it has no bytes."""
        step = self.cut.kept
        return ((start, min(start + step, tensor.nbytes)) for start in range(0, max(1, tensor.nbytes), step))


@contextmanager
def open_tools(
    checkpoint: Checkpoint,
    format: Format,
    device: str,
    threads: int | None = None,
    *,
    cut: Cut | None = None,
    max_device_memory: int | None = None,
) -> Iterator[Tools]:
    """The tools for work on `checkpoint`; their threads and files end with the context. `cut` is the usual one where not given."""
    cut = cut or usual_cut(device, threads, max_device_memory)
    backend = backend_for(device)
    if device != "cpu":
        most = None if max_device_memory is None else device_share(max_device_memory, cut.threads)
        backend = SparingBackend(backend, backend_for("cpu"), most)
    with TensorReader(checkpoint) as reader, ThreadPoolExecutor(cut.threads, "quantize") as pool:
        yield Tools(reader, backend, format.bound(checkpoint), device, pool, 2 * cut.threads, cut)
