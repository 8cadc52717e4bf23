"""A device that may be short of memory: a chunk that does not fit is halved, down to one row, and such a row goes to the CPU.

What comes out is the same to the bit: backends agree, and rows do not depend on each other.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from qtquant_app.core.events import Warned
from qtquant_app.core.quantities import bytes_text
from qtquant_app.core.scheme import Scheme
from qtquant_app.engine.device import release_cached
from qtquant_app.quant.chunk import (
    Backend,
    Fixed,
    NonFinite,
    QuantizedChunk,
    Raw,
    RestoredOverflow,
    RowErrors,
    ScaleOverflow,
)

T = TypeVar("T")

_at_work = threading.local()


def working_on(name: str) -> None:
    """Says which tensor this thread's next chunk is of."""
    _at_work.name = name


class SparingBackend:
    """Drives `device`; hands to `spare` what it has no memory for. Threads may share one."""

    def __init__(self, device: Backend, spare: Backend, most: int | None = None) -> None:
        self.name = device.name
        self.halved = 0
        """How often a chunk did not fit."""
        self.on_spare: list[str] = []
        """Tensors with rows that did not fit by themselves."""
        self._device = device
        self._spare = spare
        self._most = most
        """Source bytes, of 16 bits a weight, that are handed over at once."""
        self._ceiling = most
        """Likewise, of a row: what does not fit by its size alone."""
        self._lock = threading.Lock()
        self._said: deque[Warned] = deque()

    def warnings(self) -> Sequence[Warned]:
        """What happened since the last call."""
        return [self._said.popleft() for _ in range(len(self._said))]

    def quantize(
        self,
        raw: Raw,
        dtype: str,
        scheme: Scheme,
        align: int,
        fixed: Fixed | None = None,
        importance: NDArray[np.float32] | None = None,
    ) -> QuantizedChunk:
        """As `Backend.quantize`."""
        if scheme.needs_extremes and fixed is None:
            fixed = self.fix(*self.extremes(raw, dtype), dtype, scheme)
        given = fixed
        return _joined(
            self._each(
                raw.shape,
                lambda backend, start, stop: backend.quantize(raw[start:stop], dtype, scheme, align, given, importance),
                scheme.row_block,
            ),
            scheme,
        )

    def extremes(self, raw: Raw, dtype: str) -> tuple[float, float]:
        """As `Backend.extremes`."""
        found = self._each(raw.shape, lambda backend, start, stop: backend.extremes(raw[start:stop], dtype))
        return min(low for low, _ in found), max(high for _, high in found)

    def fix(self, lo: float, hi: float, dtype: str, scheme: Scheme) -> Fixed:
        """As `Backend.fix`."""
        return self._device.fix(lo, hi, dtype, scheme)

    def compare(self, raw: Raw, dtype: str, chunk: QuantizedChunk, scheme: Scheme) -> RowErrors:
        """As `Backend.compare`."""

        def part(backend: Backend, start: int, stop: int) -> RowErrors:
            return backend.compare(raw[start:stop], dtype, _rows(chunk, scheme, start, stop), scheme)

        return RowErrors.concat(self._each(raw.shape, part, scheme.row_block))

    def dequantize(self, chunk: QuantizedChunk, dtype: str, scheme: Scheme, columns: int) -> NDArray[np.float32]:
        """As `Backend.dequantize`."""

        def part(backend: Backend, start: int, stop: int) -> NDArray[np.float32]:
            return backend.dequantize(_rows(chunk, scheme, start, stop), dtype, scheme, columns)

        parts = self._each((len(chunk.packed), columns), part, scheme.row_block)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _each(self, shape: tuple[int, ...], work: Callable[[Backend, int, int], T], step: int = 1) -> list[T]:
        """`work` on as many rows of a chunk of weights of `shape` at once as fit, and a multiple of `step`."""
        rows, row, results = shape[0], 2 * shape[1], []
        pending = deque([(0, rows)])
        while pending:
            start, stop = pending.popleft()
            most = max(step, (self._most or rows * row) // row // step * step)
            if stop - start > most:
                pending.extendleft([(start + most, stop), (start, start + most)])
            elif self._is_too_long(row * step):
                results.append(_located(work, self._spare, start, stop))
            else:
                try:
                    results.append(_located(work, self._device, start, stop))
                    continue
                except Exception as error:
                    if not out_of_memory(error):
                        raise
                # Only here is the error gone, and with it what its frames held on the device.
                release_cached()
                self._shorten(row, stop - start, step)
                pending.appendleft((start, stop))
        return results

    def _is_too_long(self, row: int) -> bool:
        """Whether a row goes to the spare backend at once."""
        name = getattr(_at_work, "name", "")
        if self._ceiling is not None and row > self._ceiling:
            self._pass_on(
                name, f"a row of it takes more than the {bytes_text(self._ceiling)} that the ceiling leaves it"
            )
        return name in self.on_spare

    def _shorten(self, row: int, rows: int, step: int) -> None:
        """`rows` rows of `row` bytes did not fit."""
        name = getattr(_at_work, "name", "")
        if rows <= step:
            self._pass_on(name, f"{self.name} has no memory for a row of it")
            return
        with self._lock:
            self.halved += 1
            self._most = min(self._most or sys.maxsize, -(-rows // 2) * row)
            text = (
                f"{self.name} ran out of memory at {name or 'a tensor'}: it now gets {bytes_text(self._most)} at a time"
            )
            self._said.append(Warned("device-memory", text))

    def _pass_on(self, name: str, why: str) -> None:
        with self._lock:
            if name not in self.on_spare:
                self.on_spare.append(name)
                self._said.append(Warned("device-memory", f"{name or 'a tensor'} is worked on by the CPU: {why}"))


def out_of_memory(error: BaseException) -> bool:
    """Whether a device had no memory left: torch says so in several ways."""
    torch = sys.modules.get("torch")
    kind = getattr(torch, "OutOfMemoryError", None)
    if kind is not None and isinstance(error, kind):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "alloc_failed" in text)


def _located(work: Callable[[Backend, int, int], T], backend: Backend, start: int, stop: int) -> T:
    """`work`, its complaints counted from the chunk's first row."""
    try:
        return work(backend, start, stop)
    except (NonFinite, ScaleOverflow, RestoredOverflow) as error:
        error.row += start
        raise


def _rows(chunk: QuantizedChunk, scheme: Scheme, start: int, stop: int) -> QuantizedChunk:
    packed, whole = chunk.packed[start:stop], scheme.strategy == "tensor"
    if whole:
        return replace(chunk, packed=packed)
    zero = None if chunk.zero is None else chunk.zero[start:stop]
    block = scheme.row_block if len(chunk.scale) != len(chunk.packed) else 1
    return replace(chunk, packed=packed, scale=chunk.scale[start // block : -(-stop // block)], zero=zero)


def _joined(parts: Sequence[QuantizedChunk], scheme: Scheme) -> QuantizedChunk:
    if len(parts) == 1:
        return parts[0]
    shared = parts[:1] if scheme.strategy == "tensor" else parts
    zeros = [part.zero for part in shared if part.zero is not None]
    return QuantizedChunk(
        np.concatenate([part.packed for part in parts]),
        np.concatenate([part.scale for part in shared]),
        np.concatenate(zeros) if zeros else None,
        RowErrors.concat([part.errors for part in parts]),
        parts[0].whole,
    )
