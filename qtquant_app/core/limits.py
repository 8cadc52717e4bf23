"""Ceilings that a run keeps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of main memory and of device memory that a run may have at its peak; None for as much as it likes."""

    memory: int | None = None
    device_memory: int | None = None
