"""What memory this process holds, and how much there is to have."""

from __future__ import annotations

from pathlib import Path

import psutil

_CONTAINER_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def used_bytes() -> int:
    """Bytes of this process in main memory. Takes microseconds."""
    return int(psutil.Process().memory_info().rss)


def ceiling_bytes() -> int:
    """Bytes of main memory this process may use: the machine's, or its container's limit where that is lower."""
    return min([int(psutil.virtual_memory().total), *_container_limits()])


def _container_limits() -> list[int]:
    limits = []
    for path in _CONTAINER_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # "max", or no such file: no limit
            continue
    return [limit for limit in limits if limit > 0]
