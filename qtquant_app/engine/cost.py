"""What a run will cost in memory and time, from the sizes of its tensors."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from qtquant_app.engine.device import default_threads
from qtquant_app.engine.layout import Decision
from qtquant_app.formats.base import Format

CHUNK_BYTES = 4 << 20
"""Source bytes handled at once by a thread: a few fit the processor's caches together with what is made of them."""

DEVICE_CHUNK_BYTES = 64 << 20
"""Source bytes handled at once on an accelerator, where a transfer has a fixed price."""

_CPU_BASE = 190 << 20
_TORCH_BASE = 900 << 20
_DEVICE_FACTOR = 12
"""Device bytes per source byte of a chunk in the torch backend: float32 weights, codes, errors and their squares."""
_SECONDS_PER_BYTE = {"cpu": 0.9e-9, "device": 0.35e-9}
"""Read, quantize, write and verify, measured on two CPU cores and on one accelerator."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes of main memory and of device memory at the peak, and seconds."""

    ram: int
    device: int
    seconds: float


def chunk_rows(row_bytes: int, device: str, max_memory: int | None = None) -> int:
    """Rows of `row_bytes` source bytes that make one chunk; at least one."""
    budget = CHUNK_BYTES if device == "cpu" else DEVICE_CHUNK_BYTES
    if max_memory is not None:
        budget = min(budget, max(1 << 16, max_memory // (16 * default_threads())))
    return max(1, budget // max(1, row_bytes))


def estimate(decisions: Iterable[Decision], format: Format, device: str, max_memory: int | None) -> Cost:
    """The cost of a run over `decisions`: buffers for every thread, the largest scales, and the interpreter."""
    largest_row = largest_parameters = total = 0
    for decision in decisions:
        tensor = decision.tensor
        total += tensor.nbytes
        if decision.scheme is not None:
            largest_row = max(largest_row, tensor.nbytes // tensor.shape[0])
            small = sum(s.nbytes for s in format.stored(tensor, decision.scheme) if s.role != "codes")
            largest_parameters = max(largest_parameters, small + 40 * tensor.shape[0])
    budget = CHUNK_BYTES if device == "cpu" else DEVICE_CHUNK_BYTES
    chunk = max(largest_row, budget)
    buffers = default_threads() * chunk * 4 + 3 * largest_parameters
    if device == "cpu":
        return Cost(_CPU_BASE + buffers, 0, round(0.5 + total * _SECONDS_PER_BYTE["cpu"], 2))
    seconds = round(3 + total * _SECONDS_PER_BYTE["device"], 2)
    return Cost(_TORCH_BASE + buffers, chunk * _DEVICE_FACTOR, seconds)
