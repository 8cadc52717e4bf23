"""What a run will cost in memory, from the sizes of its tensors, and how these are cut into chunks: small enough for a ceiling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from qtquant_app.core.errors import PlanError
from qtquant_app.core.plan import OutFile
from qtquant_app.core.quantities import bytes_text
from qtquant_app.engine.device import default_threads
from qtquant_app.engine.layout import Decision, alike
from qtquant_app.engine.memory import peak_bytes, resident_bytes
from qtquant_app.engine.peak import RUN, listing_peaks, parameters_peak, threads_peak
from qtquant_app.engine.warmth import warming
from qtquant_app.formats.base import Format

CHUNK_BYTES = 4 << 20
"""Source bytes handled at once by a thread: a few fit the processor's caches together with what is made of them."""

DEVICE_CHUNK_BYTES = 64 << 20
"""Source bytes handled at once on an accelerator, where a transfer has a fixed price."""

DEVICE_THREADS = 2
"""One stream of work keeps a device busy; two overlap its transfers with reading and writing."""

DEVICE_FACTOR = 12
"""Device bytes per source byte of a chunk in the torch backend: float32 weights, codes, errors and their squares."""

_LEAST_CHUNK = 1 << 16
_TORCH_BASE = 900 << 20
_KEPT_BACK, _MARGIN = 2, 16
"""Kernels are compiled before much else is held, and half of what that took is used again for it; measured."""

Verify = Literal["full", "quick", "none"]


@dataclass(frozen=True, slots=True)
class Cut:
    """`threads` at work at once, each on about `chunk` source bytes of what is quantized, or `kept` of what is carried over."""

    threads: int
    chunk: int
    kept: int

    def rows(self, row_bytes: int, step: int = 1) -> int:
        """Rows of `row_bytes` source bytes that make one chunk: a multiple of `step`."""
        return max(step, self.chunk // max(1, row_bytes) // step * step)


@dataclass(frozen=True, slots=True)
class Cost:
    """Bytes of main memory and of device memory at the peak; `cold_seconds` of compiling come before the work."""

    ram: int
    device: int
    cold_seconds: float = 0.0


def usual_cut(device: str, threads: int | None = None, max_device_memory: int | None = None) -> Cut:
    """The cut where main memory is no matter."""
    threads = threads or default_threads()
    if device == "cpu":
        return Cut(threads, CHUNK_BYTES, CHUNK_BYTES)
    threads = min(threads, DEVICE_THREADS)
    chunk = DEVICE_CHUNK_BYTES
    if max_device_memory is not None:
        chunk = max(_LEAST_CHUNK, min(chunk, device_share(max_device_memory, threads)))
    return Cut(threads, chunk, CHUNK_BYTES)


def device_share(max_device_memory: int, threads: int) -> int:
    """Source bytes of a chunk with which `threads` together stay below a ceiling on device memory."""
    return max_device_memory // (DEVICE_FACTOR * threads)


def fitting(
    decisions: Sequence[Decision],
    files: Sequence[OutFile],
    format: Format,
    device: str,
    max_memory: int | None,
    *,
    verify: Verify = "full",
    threads: int | None = None,
    max_device_memory: int | None = None,
    beside: int = 0,
) -> tuple[Cut, Cost]:
    """The quickest cut with which a run over `decisions`, carried out next by this process, stays below its ceilings; and its cost.

    `ram` is the resident memory the process will have come to at its peak: what it holds now, libraries included, and what the
    run adds; or the peak it has had already, where that is more. On Linux file-backed pages of libraries count, those
    of weight files do not: they are read, not mapped. `beside` is what the run
    holds for other ends. Raises PlanError where no cut is small enough.
    """
    now = resident_bytes()
    few = _representatives(decisions, threads or default_threads())
    kernels = warming(((d.tensor.dtype, d.scheme) for d in few if d.scheme is not None), verify=verify != "none")
    hashing, listing = listing_peaks(len(decisions), files, verify)

    def added(cut: Cut) -> int:
        held = listing + threads_peak(few, format, cut, verify) + parameters_peak(few, format, cut)
        if device != "cpu":
            return max(hashing, _TORCH_BASE + held)
        held += kernels.compiling // _KEPT_BACK
        return max(hashing, RUN + kernels.ram + max(kernels.compiling, held) + kernels.compiling // _MARGIN)

    need = 0
    for cut in _smaller(usual_cut(device, threads, max_device_memory)):
        need = now + beside + added(cut)
        if max_memory is None or need <= max_memory:
            return cut, Cost(max(peak_bytes(), need), _on_device(few, device, cut, max_device_memory), kernels.seconds)
    raise _too_low(max_memory or 0, need)


def _representatives(decisions: Sequence[Decision], threads: int) -> list[Decision]:
    """As many of each kind as could be at work at once: the others take nothing more."""
    return [decision for decision, many in alike(decisions) for _ in range(min(many, threads))]


def _smaller(cut: Cut) -> Iterator[Cut]:
    """`cut`, and ever smaller ones: first in their chunks, as long as these are still quick, then in their threads."""
    least = min(cut.chunk, _LEAST_CHUNK), min(cut.kept, _LEAST_CHUNK)
    for threads in range(cut.threads, 0, -1):
        for shift in (0, 1, 2, 4):
            yield Cut(threads, max(least[0], cut.chunk >> shift), max(least[1], cut.kept >> shift))
    yield Cut(1, *least)


def _too_low(ceiling: int, least: int) -> PlanError:
    enough = -(-least * 51 // 50_000_000)  # a process starts a little larger or smaller each time
    return PlanError(
        f"a ceiling of {bytes_text(ceiling)} on main memory is too low: this run takes {enough} MB with a single thread on the "
        "smallest chunks",
        hint=f"give --max-memory {enough}MB or more, or close what else this program has open",
        code="memory",
    )


def _on_device(decisions: Sequence[Decision], device: str, cut: Cut, ceiling: int | None) -> int:
    if device == "cpu":
        return 0
    rows = [d.tensor.nbytes // d.tensor.shape[0] for d in decisions if d.scheme is not None]
    least = max([*rows, cut.chunk]) * DEVICE_FACTOR
    return least if ceiling is None else min(least, ceiling)  # rows beyond it are worked on by the CPU


def estimate(
    decisions: Sequence[Decision],
    files: Sequence[OutFile],
    format: Format,
    device: str,
    max_memory: int | None,
    *,
    verify: Verify = "full",
    threads: int | None = None,
    max_device_memory: int | None = None,
    beside: int = 0,
) -> Cost:
    """What a run over `decisions` costs. Arguments and errors as `fitting`."""
    return fitting(
        decisions,
        files,
        format,
        device,
        max_memory,
        verify=verify,
        threads=threads,
        max_device_memory=max_device_memory,
        beside=beside,
    )[1]


def chunk_rows(row_bytes: int, device: str, step: int = 1) -> int:
    """Rows of `row_bytes` source bytes that make one chunk where memory is no matter: a multiple of `step`."""
    return usual_cut(device).rows(row_bytes, step)
