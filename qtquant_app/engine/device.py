"""Which device does the arithmetic, and the backend that drives it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from qtquant_app.core.errors import DeviceError, UsageError
from qtquant_app.engine.memory import ceiling_bytes
from qtquant_app.quant.chunk import Backend


def resolve(device: str) -> str:
    """The device that `device` names; "auto" is a CUDA device where there is one, else "cpu".

    Raises UsageError for a word that is no device and DeviceError for one that is not here.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps", "xpu") or (number and not number.isdigit()):
        raise UsageError(
            f"{device!r} is not a device", hint="use --device auto, cpu, cuda, cuda:N, mps or xpu", code="device"
        )
    if device == "cpu":
        return "cpu"
    if kind == "auto":
        return "cuda" if _gpu_driver() and _available("cuda") else "cpu"
    if not _available(kind) or (number and int(number) >= _count(kind)):
        raise DeviceError(f"there is no device {device} here", hint="use --device cpu", code="no-device")
    return device


def _gpu_driver() -> bool:
    """Whether an NVIDIA driver is present at all; spares loading torch where it is not."""
    return Path("/proc/driver/nvidia").exists() or Path("/dev/nvidia0").exists() or sys.platform == "win32"


def _available(kind: str) -> bool:
    import torch

    if kind == "mps":
        return torch.backends.mps.is_available()
    return bool(getattr(torch, kind).is_available())


def _count(kind: str) -> int:
    import torch

    return 1 if kind == "mps" else int(getattr(torch, kind).device_count())


def backend_for(device: str) -> Backend:
    """Fused CPU kernels for "cpu", torch for every other device."""
    if device == "cpu":
        from qtquant_app.quant.kernels.cpu import CpuBackend

        return CpuBackend()
    from qtquant_app.quant.torch_backend import TorchBackend

    return TorchBackend(device)


def total_bytes(device: str) -> int:
    """The memory that `device`, one other than the CPU, has in all; main memory where it does not say."""
    import torch

    kind = device.partition(":")[0]
    if kind in ("cuda", "xpu"):
        return int(getattr(torch, kind).get_device_properties(device).total_memory)
    return ceiling_bytes()


def default_threads() -> int:
    """Processors this process may use, at most 16: beyond that memory is the limit."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(count, 16))


def release_cached() -> None:
    """Gives device memory that torch keeps for later back to the device. Between two events of a run nothing else is held there.

    Loads nothing: without torch, or on the CPU, there is nothing to give back.
    """
    torch = sys.modules.get("torch")
    for kind in ("cuda", "xpu"):
        module = getattr(torch, kind, None)
        if module is not None and module.is_initialized():
            module.empty_cache()
    backends = getattr(getattr(torch, "backends", None), "mps", None)
    if torch is not None and backends is not None and backends.is_available():
        torch.mps.empty_cache()
