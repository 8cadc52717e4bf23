"""How much main memory this process uses, and how much there is to have."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def peak_bytes() -> int:
    """The most resident memory this process has had, in bytes."""
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    own = _linux("VmHWM")
    if own is not None:
        return own  # getrusage counts what the parent held when it started this process, too
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def resident_bytes() -> int:
    """The memory that this process has resident now, in bytes: its own, and its part of libraries and mapped files."""
    found = _linux("VmRSS")
    if found is not None:
        return found
    import psutil

    return int(psutil.Process().memory_info().rss)


def give_back() -> None:
    """Hands memory that was freed back to the system, where the C library keeps it for each thread that asked for it (glibc)."""
    if sys.platform == "linux":
        import ctypes

        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


def watch_device(device: str) -> None:
    """Counts the peak of `device` from here on."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def device_peak_bytes(device: str) -> int:
    """The most memory that tensors on `device` have had since `watch_device`, in bytes; 0 where it does not count."""
    if not device.startswith("cuda"):
        return 0
    import torch

    return int(torch.cuda.max_memory_allocated(device))


def _linux(field: str) -> int | None:
    """A field of Linux's account of this process, in bytes; None on other systems."""
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    found = next((line.split()[1] for line in lines if line.startswith(f"{field}:")), None)
    return None if found is None else int(found) * 1024


def available_bytes() -> int:
    """Main memory that could be taken without pushing anything out, in bytes."""
    import psutil

    return int(psutil.virtual_memory().available)


def ceiling_bytes() -> int:
    """Bytes of main memory this process may use: the machine's, or its container's limit where that is lower."""
    import psutil

    return min([int(psutil.virtual_memory().total), *_container_limits()])


def _container_limits() -> list[int]:
    limits = []
    for path in _CONTAINER_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # "max", or no such file: no limit
            continue
    return [limit for limit in limits if limit > 0]
