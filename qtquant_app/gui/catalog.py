"""What can be chosen: formats and devices, as plain values read in a worker."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qtquant_app.formats.base import Format


@dataclass(frozen=True, slots=True)
class Choice:
    """One row of a combo box. One that is not available stays visible, disabled, with its reason."""

    name: str
    title: str
    description: str = ""
    available: bool = True
    reason: str = ""
    bits: tuple[int, ...] = ()
    readers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RuntimeChoice:
    """A runtime that reads a format: what of it is installed for this Python, and what to type where something is missing."""

    name: str
    title: str
    versions: Mapping[str, str]
    missing: tuple[str, ...]
    install: str

    @property
    def available(self) -> bool:
        return not self.missing


@dataclass(frozen=True, slots=True)
class Catalog:
    formats: tuple[Choice, ...] = (Choice("compressed-tensors", "compressed-tensors"),)
    devices: tuple[str, ...] = ("auto", "cpu")


def read_catalog() -> Catalog:
    """The registry as it is now. The formats bring numba along: call it in a worker."""
    from qtquant_app.formats.base import registry

    return Catalog(formats=tuple(_choice(item) for item in registry().values()), devices=_devices())


def _choice(item: Format) -> Choice:
    return Choice(
        name=item.name,
        title=item.title or item.name,
        description=item.description,
        available=item.available,
        reason=item.reason,
        bits=item.bits,
        readers=item.readers,
    )


def _devices() -> tuple[str, ...]:
    """Devices worth offering, told from the system alone: asking torch would cost a second for most runs in vain."""
    found = ["auto", "cpu"]
    if Path("/proc/driver/nvidia").exists() or sys.platform == "win32":
        found.append("cuda")
    if sys.platform == "darwin":
        found.append("mps")
    return tuple(found)
