"""What a run will cost in memory, from the sizes of its tensors, and how its tensors are cut into chunks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from qtquant_app.core.plan import OutFile
from qtquant_app.engine.device import default_threads
from qtquant_app.engine.layout import Decision
from qtquant_app.engine.memory import peak_bytes, resident_bytes
from qtquant_app.engine.peak import RUN, listing_peaks, parameters_peak, threads_peak
from qtquant_app.engine.warmth import warming
from qtquant_app.formats.base import Format

CHUNK_BYTES = 4 << 20
"""Source bytes handled at once by a thread: a few fit the processor's caches together with what is made of them."""

DEVICE_CHUNK_BYTES = 64 << 20
"""Source bytes handled at once on an accelerator, where a transfer has a fixed price."""

_TORCH_BASE = 900 << 20
_DEVICE_FACTOR = 12
"""Device bytes per source byte of a chunk in the torch backend: float32 weights, codes, errors and their squares."""

_KEPT_BACK, _MARGIN = 2, 16
"""Kernels are compiled before much else is held, and half of what that took is used again for it; measured."""

Verify = Literal["full", "quick", "none"]


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes of main memory and of device memory at the peak; `cold_seconds` of compiling come before the work."""

    ram: int
    device: int
    cold_seconds: float = 0.0


def chunk_rows(row_bytes: int, device: str, max_memory: int | None = None) -> int:
    """Rows of `row_bytes` source bytes that make one chunk; at least one."""
    budget = CHUNK_BYTES if device == "cpu" else DEVICE_CHUNK_BYTES
    if max_memory is not None:
        budget = min(budget, max(1 << 16, max_memory // (16 * default_threads())))
    return max(1, budget // max(1, row_bytes))


def estimate(
    decisions: Sequence[Decision],
    files: Sequence[OutFile],
    format: Format,
    device: str,
    max_memory: int | None,
    *,
    verify: Verify = "full",
    threads: int | None = None,
) -> Cost:
    """What a run over `decisions` costs when this process carries it out next.

    `ram` is the resident memory the process will have come to at its peak: what it holds now, libraries included, and what the
    run adds; or the peak it has had already, where that is more. On Linux file-backed pages of libraries count, those
    of weight files do not: they are read, not mapped.
    """
    threads = threads or default_threads()
    if device != "cpu":
        return _on_device(decisions, format, device, min(threads, 2))
    work = [(d.tensor.dtype, d.scheme) for d in decisions if d.scheme is not None]
    kernels = warming(work, verify=verify != "none")
    rows_of = partial(chunk_rows, device=device, max_memory=max_memory)
    chunks = threads_peak(decisions, format, threads, rows_of, CHUNK_BYTES, verify)
    hashing, listing = listing_peaks(len(decisions), files, verify)
    held = listing + chunks + parameters_peak(decisions, format, verify) + kernels.compiling // _KEPT_BACK
    working = RUN + kernels.ram + max(kernels.compiling, held) + kernels.compiling // _MARGIN
    return Cost(max(peak_bytes(), resident_bytes() + max(hashing, working)), 0, kernels.seconds)


def _on_device(decisions: Sequence[Decision], format: Format, device: str, threads: int) -> Cost:
    rows = [d.tensor.nbytes // d.tensor.shape[0] for d in decisions if d.scheme is not None]
    chunk = max([*rows, DEVICE_CHUNK_BYTES])
    ram = _TORCH_BASE + threads * chunk * 4 + parameters_peak(decisions, format, "full")
    return Cost(max(peak_bytes(), ram), chunk * _DEVICE_FACTOR)
